// The sounds that a viewer can choose from: as hls.js lists them, and as the browser's own HLS does.

import type { MediaPlaylist } from "hls.js";
import type { Rendition } from "../api/types";
import { type SoundFacts, soundName, type TrackName } from "../lib/tracks";

export interface Sound {
  /** In the player's order. */
  index: number;
  /** The path element of its playlist, which is the rendition's name; empty: the browser does not say. */
  rendition: string;
  /** As the playlist calls it; no two are called the same. */
  name: string;
  language: string | null;
  commentary: boolean;
  described: boolean;
}

/** `AudioTrackList` of HTML, which not every browser has, nor TypeScript. */
export interface NativeSounds extends EventTarget {
  readonly length: number;
  [index: number]: { enabled: boolean; kind: string; label: string; language: string };
}

export function nativeSounds(video: HTMLVideoElement): NativeSounds | null {
  return (video as HTMLVideoElement & { audioTracks?: NativeSounds }).audioTracks ?? null;
}

export function soundsOfHls(tracks: MediaPlaylist[], base: string): Sound[] {
  return tracks.map((track, index) => ({
    index,
    rendition: track.url ? (new URL(track.url, base).pathname.split("/").at(-2) ?? "") : "",
    name: track.name,
    language: track.lang ?? null,
    commentary: false,
    described: /describes-video/.test(track.characteristics ?? ""),
  }));
}

export function soundsOfBrowser(tracks: NativeSounds): Sound[] {
  return Array.from({ length: tracks.length }, (_, index) => {
    const track = tracks[index];
    return {
      index,
      rendition: "",
      name: track?.label ?? "",
      language: track?.language || null,
      commentary: track?.kind === "commentary",
      described: track?.kind === "main-desc" || track?.kind === "descriptions",
    };
  });
}

/** What is known of a sound: the catalogue's word, where it can be told which one it is. */
function factsOf(sound: Sound, renditions: Rendition[]): SoundFacts {
  const found = renditions.find(({ kind, name }) => kind === "audio" && name === sound.rendition);
  const known = found?.language || found?.label || found?.commentary || found?.described;
  return known && found ? found : { ...sound, label: sound.name };
}

export function nameOfSound(sound: Sound, renditions: Rendition[]): TrackName {
  return soundName(factsOf(sound, renditions), sound.name || `Sound ${sound.index + 1}`);
}

/** The language that is heard; while nobody has chosen, that of the sound that plays by itself. */
export function languageHeard(sound: Sound | undefined, renditions: Rendition[]): string | null {
  if (sound) return factsOf(sound, renditions).language ?? null;
  return renditions.find(({ kind, track }) => kind === "audio" && (track ?? 0) === 0)?.language ?? null;
}

/** How many sounds a content has; several renditions may be one of them. */
export function countSounds(renditions: Rendition[]): number {
  return new Set(renditions.filter(({ kind }) => kind === "audio").map(({ track }) => track ?? 0)).size;
}
