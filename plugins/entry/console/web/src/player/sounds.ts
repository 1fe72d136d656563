// The sounds that a viewer can choose from: as listed by hls.js, and by the browser's own HLS.

import type { MediaPlaylist } from "hls.js";
import type { Rendition } from "../api/types";
import { type SoundFacts, soundName, type TrackName } from "../lib/tracks";

export interface Sound {
  /** In the player's order. */
  index: number;
  /** The path element of its playlist, which is the rendition's name; empty: the browser does not provide it. */
  rendition: string;
  /** The playlist's name for it, which is unique. */
  name: string;
  language: string | null;
  commentary: boolean;
  described: boolean;
}

/** `AudioTrackList` of HTML, which some browsers and TypeScript do not have. */
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

/** The properties of a sound: the catalogue's, if it can be identified. */
function factsOf(sound: Sound, renditions: Rendition[]): SoundFacts {
  const found = renditions.find(({ kind, name }) => kind === "audio" && name === sound.rendition);
  const known = found?.language || found?.label || found?.commentary || found?.described;
  return known && found ? found : { ...sound, label: sound.name };
}

export function nameOfSound(sound: Sound, renditions: Rendition[]): TrackName {
  return soundName(factsOf(sound, renditions), sound.name || `Sound ${sound.index + 1}`);
}

/** The language of the sound; without a choice, that of the default one. */
export function languageHeard(sound: Sound | undefined, renditions: Rendition[]): string | null {
  if (sound) return factsOf(sound, renditions).language ?? null;
  return renditions.find(({ kind, track }) => kind === "audio" && (track ?? 0) === 0)?.language ?? null;
}

/** The number of a content's sounds; several renditions may be one of them. */
export function countSounds(renditions: Rendition[]): number {
  return new Set(renditions.filter(({ kind }) => kind === "audio").map(({ track }) => track ?? 0)).size;
}
