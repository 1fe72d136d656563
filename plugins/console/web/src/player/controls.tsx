// The row of the player's controls.

import { useCallback } from "react";
import { bitrate, clock } from "../lib/format";
import type { Thumbnail } from "../lib/vtt";
import { Icon } from "../ui/icons";
import type { EngineState } from "./engine";
import { levelName, qualityName } from "./levels";
import { Menu } from "./menu";
import { SeekBar } from "./seek-bar";
import { type Command, SPEEDS } from "./shortcuts";
import type { VideoState } from "./use-video";

interface ControlsProps {
  video: VideoState;
  engine: EngineState;
  total: number;
  /** How far one can seek now. */
  available: number;
  /** There will be more, nobody knows yet how much. */
  openEnded: boolean;
  thumbnails: Thumbnail[];
  fullscreen: boolean;
  visible: boolean;
  canPip: boolean;
  run(command: Command): void;
  onSeek(time: number): void;
  onVolume(volume: number): void;
  onSpeed(speed: number): void;
  onLevel(level: number): void;
  /** Something is held open or dragged: do not hide. */
  onHold(held: boolean): void;
}

export function Controls(props: ControlsProps) {
  const { video, engine, total, run, onHold } = props;
  const silent = video.muted || video.volume === 0;
  const hold = useCallback((held: boolean) => onHold(held), [onHold]);
  return (
    <div className="pointer-events-none bg-gradient-to-t from-black/85 via-black/55 to-transparent px-3 pt-14 pb-2 text-white sm:px-4">
      <div className={props.visible ? "pointer-events-auto" : ""}>
        <SeekBar
          time={video.time}
          total={total}
          available={Math.min(props.available, total)}
          openEnded={props.openEnded}
          buffered={video.buffered}
          thumbnails={props.thumbnails}
          onSeek={props.onSeek}
          onScrub={hold}
        />
        <div className="flex items-center gap-0.5 sm:gap-1">
          <button
            type="button"
            className="player-button"
            aria-label={video.ended ? "Play again" : video.paused ? "Play" : "Pause"}
            onClick={() => run({ do: "toggle" })}
          >
            <Icon name={video.ended ? "replay" : video.paused ? "play" : "pause"} size={22} />
          </button>
          <div className="group flex items-center">
            <button
              type="button"
              className="player-button"
              aria-label={silent ? "Unmute" : "Mute"}
              onClick={() => run({ do: "mute" })}
            >
              <Icon name={silent ? "muted" : "volume"} />
            </button>
            <input
              type="range"
              min={0}
              max={1}
              step={0.05}
              value={silent ? 0 : video.volume}
              aria-label="Volume"
              aria-valuetext={`${Math.round((silent ? 0 : video.volume) * 100)} percent`}
              className="volume-slider max-sm:hidden"
              onChange={(event) => props.onVolume(Number(event.target.value))}
            />
          </div>
          <p className="digits ml-1 whitespace-nowrap text-sm" data-testid="clock">
            {clock(video.time)}{" "}
            <span className="text-white/70">
              / {clock(total)}
              {props.openEnded && "+"}
            </span>
          </p>
          <div className="ml-auto flex items-center">
            <button
              type="button"
              className="player-button max-sm:hidden"
              aria-label="Keyboard shortcuts"
              title="Keyboard shortcuts (?)"
              onClick={() => run({ do: "help" })}
            >
              <Icon name="keys" />
            </button>
            <Menu
              label={`Speed: ${video.speed}×`}
              button={<span className="digits text-sm">{video.speed}×</span>}
              choices={SPEEDS.map((speed) => ({
                value: speed,
                label: speed === 1 ? "1× (normal)" : `${speed}×`,
              }))}
              value={video.speed}
              onChoose={props.onSpeed}
              onOpen={hold}
            />
            <QualityMenu engine={engine} onLevel={props.onLevel} onOpen={hold} />
            {props.canPip && (
              <button
                type="button"
                className="player-button max-sm:hidden"
                aria-label="Picture in picture"
                title="Picture in picture (P)"
                onClick={() => run({ do: "pip" })}
              >
                <Icon name="pip" />
              </button>
            )}
            <button
              type="button"
              className="player-button"
              aria-label={props.fullscreen ? "Exit full screen" : "Full screen"}
              title="Full screen (F)"
              onClick={() => run({ do: "fullscreen" })}
            >
              <Icon name={props.fullscreen ? "unfull" : "full"} />
            </button>
          </div>
        </div>
      </div>
    </div>
  );
}

interface QualityMenuProps {
  engine: EngineState;
  onLevel(level: number): void;
  onOpen(open: boolean): void;
}

function QualityMenu({ engine, onLevel, onOpen }: QualityMenuProps) {
  const nameOf = (index: number) => {
    const level = engine.levels[index];
    return level ? levelName(level) : null;
  };
  const { short, spoken } = qualityName(nameOf(engine.chosen), nameOf(engine.playing));
  const levels = [...engine.levels].reverse();
  return (
    <Menu
      label={spoken}
      button={
        <span className="digits flex items-center gap-1.5 whitespace-nowrap text-sm">
          <Icon name="gear" size={18} />
          <span data-testid="quality">{short}</span>
        </span>
      }
      choices={[
        { value: -1, label: "Automatic", hint: engine.native ? "by the browser" : "" },
        ...levels.map((level) => ({
          value: level.index,
          label: levelName(level),
          hint: level.usable ? bitrate(level.bitrate) : "still encoding",
          disabled: !level.usable,
        })),
      ]}
      value={engine.chosen}
      onChoose={onLevel}
      onOpen={onOpen}
    />
  );
}
