// The row of the player's controls.

import { useCallback } from "react";
import type { Chapter, Content } from "../api/types";
import { chapterAt, chapterTitle } from "../lib/chapters";
import { clock } from "../lib/format";
import type { Thumbnail } from "../lib/vtt";
import { Icon } from "../ui/icons";
import type { EngineState } from "./engine";
import { Menu } from "./menu";
import { CaptionMenu, ChapterMenu, QualityMenu, SoundMenu } from "./menus";
import { SeekBar } from "./seek-bar";
import { type Command, SPEEDS } from "./shortcuts";
import type { Captions } from "./use-captions";
import type { VideoState } from "./use-video";

interface ControlsProps {
  content: Content;
  video: VideoState;
  engine: EngineState;
  total: number;
  /** How far one can seek now. */
  available: number;
  /** More will come; how much is unknown. */
  openEnded: boolean;
  thumbnails: Thumbnail[];
  captions: Captions;
  fullscreen: boolean;
  visible: boolean;
  canPip: boolean;
  run(command: Command): void;
  onSeek(time: number): void;
  onVolume(volume: number): void;
  onSpeed(speed: number): void;
  onLevel(level: number): void;
  onSound(index: number): void;
  /** Something is held open or dragged: do not hide. */
  onHold(held: boolean): void;
}

const NO_CHAPTERS: Chapter[] = [];

export function Controls(props: ControlsProps) {
  const { content, video, engine, captions, total, run, onHold } = props;
  const chapters = content.chapters ?? NO_CHAPTERS;
  const chapter = chapterAt(chapters, video.time);
  // On a phone the clock moves to its own row when there are more buttons than usual.
  const crowded = chapters.length > 0 || captions.choices.length > 0 || engine.sounds.length > 1;
  const silent = video.muted || video.volume === 0;
  const hold = useCallback((held: boolean) => onHold(held), [onHold]);
  return (
    <div className="pointer-events-none px-3 pt-14 pb-2 text-white sm:px-4">
      <div className={props.visible ? "pointer-events-auto" : ""}>
        <SeekBar
          time={video.time}
          total={total}
          available={Math.min(props.available, total)}
          openEnded={props.openEnded}
          buffered={video.buffered}
          thumbnails={props.thumbnails}
          chapters={chapters}
          onSeek={props.onSeek}
          onScrub={hold}
        />
        <div className={`relative flex items-center gap-0.5 sm:gap-1 ${crowded ? "max-sm:flex-wrap" : ""}`}>
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
          <div
            className={`ml-1 flex min-w-0 flex-1 items-baseline gap-2 text-sm ${crowded ? "max-sm:order-first max-sm:basis-full" : ""}`}
          >
            <p className="digits whitespace-nowrap" data-testid="clock">
              {clock(video.time)}{" "}
              <span className="text-white/70">
                / {clock(total)}
                {props.openEnded && "+"}
              </span>
            </p>
            {chapter >= 0 && (
              <p className="min-w-0 truncate" data-testid="chapter" title={chapterTitle(chapters, chapter)}>
                {chapterTitle(chapters, chapter)}
              </p>
            )}
          </div>
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
            <ChapterMenu chapters={chapters} current={chapter} onSeek={props.onSeek} onOpen={hold} />
            <CaptionMenu captions={captions} onOpen={hold} />
            <SoundMenu
              engine={engine}
              renditions={content.renditions}
              onSound={props.onSound}
              onOpen={hold}
            />
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
