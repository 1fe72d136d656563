// The player's menus: chapters, captions, sound, quality. Those without a choice are hidden.

import type { Chapter, Rendition } from "../api/types";
import { chapterTitle } from "../lib/chapters";
import { bitrate, clock } from "../lib/format";
import { captionName, inOneLine } from "../lib/tracks";
import { Icon } from "../ui/icons";
import { OFF } from "./caption-choice";
import type { EngineState } from "./engine";
import { levelName, qualityName } from "./levels";
import { Menu } from "./menu";
import { nameOfSound } from "./sounds";
import { type Captions, fallbackName } from "./use-captions";

interface ChapterMenuProps {
  chapters: Chapter[];
  /** Index of the current one; -1: none is. */
  current: number;
  onSeek(time: number): void;
  onOpen(open: boolean): void;
}

export function ChapterMenu({ chapters, current, onSeek, onOpen }: ChapterMenuProps) {
  if (chapters.length === 0) return null;
  return (
    <Menu
      label={current < 0 ? "Chapters" : `Chapters: ${chapterTitle(chapters, current)}`}
      button={<Icon name="chapters" />}
      choices={chapters.map(({ start }, index) => ({
        value: index,
        label: chapterTitle(chapters, index),
        hint: clock(start),
      }))}
      value={current}
      onChoose={(index) => onSeek(chapters[index]?.start ?? 0)}
      onOpen={onOpen}
    />
  );
}

export function CaptionMenu({ captions, onOpen }: { captions: Captions; onOpen(open: boolean): void }) {
  const { choices, on, choose } = captions;
  if (choices.length === 0) return null;
  const nameOf = (index: number) => {
    const caption = choices[index];
    return caption ? captionName(caption, fallbackName(caption, choices)) : null;
  };
  const name = on && nameOf(choices.indexOf(on));
  return (
    <Menu
      label={name ? `Captions: ${inOneLine(name)}` : "Captions: off"}
      keys="C"
      button={
        <span className={`grid border-b-2 pb-0.5 ${on ? "border-[#63d3b8]" : "border-transparent"}`}>
          <Icon name="captions" />
        </span>
      }
      choices={[
        { value: OFF, label: "Off" },
        ...choices.map((caption, index) => ({
          value: caption.name,
          label: nameOf(index)?.name ?? "",
          hint: nameOf(index)?.hints.join(", ") ?? "",
        })),
      ]}
      value={on?.name ?? OFF}
      onChoose={choose}
      onOpen={onOpen}
    />
  );
}

interface SoundMenuProps {
  engine: EngineState;
  renditions: Rendition[];
  onSound(index: number): void;
  onOpen(open: boolean): void;
}

export function SoundMenu({ engine, renditions, onSound, onOpen }: SoundMenuProps) {
  if (engine.sounds.length < 2) return null;
  const names = engine.sounds.map((sound) => nameOfSound(sound, renditions));
  const heard = names[engine.heard];
  return (
    <Menu
      label={heard ? `Sound: ${inOneLine(heard)}` : "Sound"}
      button={<Icon name="headphones" />}
      choices={names.map(({ name, hints }, index) => ({ value: index, label: name, hint: hints.join(", ") }))}
      value={engine.heard}
      onChoose={onSound}
      onOpen={onOpen}
    />
  );
}

interface QualityMenuProps {
  engine: EngineState;
  onLevel(level: number): void;
  onOpen(open: boolean): void;
}

export function QualityMenu({ engine, onLevel, onOpen }: QualityMenuProps) {
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
          <span data-testid="quality" className="max-sm:hidden">
            {short}
          </span>
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
