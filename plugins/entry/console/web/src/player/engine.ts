// Plays one HLS address in a video element: with hls.js, or with the browser's own HLS where that is
// better (Safari). Knows levels, not buttons.

import Hls, { ErrorDetails, ErrorTypes, Events, type HlsConfig, type Level } from "hls.js";
import workerPath from "hls.js/dist/hls.worker.js?url";
import type { Rendition } from "../api/types";
import { type LevelFacts, usableLevels } from "./levels";
import { type Refusal, refusalOf, textOf } from "./refusal";
import {
  countSounds,
  type NativeSounds,
  nativeSounds,
  type Sound,
  soundsOfBrowser,
  soundsOfHls,
} from "./sounds";

export interface EngineState {
  levels: LevelFacts[];
  /** -1: the engine chooses. */
  chosen: number;
  /** The current level; -1 while unknown. */
  playing: number;
  /** In menu order; one or none: there is no choice. */
  sounds: Sound[];
  /** Index of the current sound; -1 while unknown. */
  heard: number;
  /** More is still being added at the end. */
  growing: boolean;
  /** Seconds up to which sound and video both reach; null while unknown. */
  edge: number | null;
  /** For people; the engine has given up, or waits for the network. */
  trouble: string | null;
  /** The server refuses playback; nothing plays until `reload`. */
  refusal: Refusal | null;
  /** Seconds: the position of the refusal, where playback resumes. */
  stoppedAt: number | null;
  /** The browser chooses the quality, and cannot be controlled. */
  native: boolean;
}

export const INITIAL: EngineState = {
  levels: [],
  chosen: -1,
  playing: -1,
  sounds: [],
  heard: -1,
  growing: false,
  edge: null,
  trouble: null,
  refusal: null,
  stoppedAt: null,
  native: false,
};

const SOUND_EVENTS = ["addtrack", "removetrack", "change"];
const RETRY_MS = 3_000;
const RECOVERY_GAP_MS = 5_000;
/** The assumed bandwidth before any measurement, bits a second. */
const FIRST_ESTIMATE = 4_000_000;

/** Captions are not the engine's (`caption-track.tsx`): hls.js would empty all of the video's text tracks. */
const NO_TEXTS = {
  subtitleTrackController: undefined,
  subtitleStreamController: undefined,
  timelineController: undefined,
} as unknown as Partial<HlsConfig>;

/** Safari's own HLS supports AirPlay and saves power; that of other browsers cannot choose a quality. */
function playsItself(video: HTMLVideoElement): boolean {
  const can = video.canPlayType("application/vnd.apple.mpegurl") !== "";
  return can && (/Apple/.test(navigator.vendor) || !Hls.isSupported());
}

export class Engine {
  private hls: Hls | null = null;
  private state = INITIAL;
  private renditions: Rendition[] = [];
  /** The playlist was loaded since. */
  private loadedReady = false;
  private retry: ReturnType<typeof setTimeout> | null = null;
  /** The manually chosen rendition: its index may change with the playlist. */
  private wanted: string | null = null;
  /** The name of the manually chosen sound. */
  private wantedSound: string | null = null;
  /** The token of its addresses if the content is not public: with it a reload is the same player. */
  private token: string | null = null;
  private recoveredAt = Number.NEGATIVE_INFINITY;
  private reloadedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly src: string,
    private readonly onState: (state: EngineState) => void,
    /** Everything is encoded, and every sound is in the playlist. */
    private ready = false,
  ) {
    if (playsItself(video)) {
      this.set({ native: true });
      video.src = src;
      video.addEventListener("error", this.onNativeError);
      for (const name of SOUND_EVENTS) nativeSounds(video)?.addEventListener(name, this.onNativeSounds);
    } else if (Hls.isSupported()) {
      this.start(0);
    } else {
      this.set({ trouble: "This browser can play neither HLS nor Media Source. Please try a newer one." });
    }
  }

  destroy(): void {
    this.stop();
    this.video.removeEventListener("error", this.onNativeError);
    for (const name of SOUND_EVENTS) nativeSounds(this.video)?.removeEventListener(name, this.onNativeSounds);
    this.video.removeAttribute("src");
    this.video.load();
  }

  /** -1 means automatic. */
  choose(level: number): void {
    if (!this.hls) return;
    // The next segment, not the current one: no buffered data is thrown away twice.
    this.hls.nextLevel = level;
    this.wanted = this.state.levels[level]?.rendition ?? null;
    this.set({ chosen: level });
  }

  /** Plays another sound, by its index. */
  listen(index: number): void {
    const sound = this.state.sounds[index];
    if (!sound) return;
    this.wantedSound = sound.name;
    this.set({ heard: index });
    if (this.hls) this.hls.audioTrack = index;
    else enable(nativeSounds(this.video), index);
  }

  /** What is encoded by now: the engine avoids renditions that lag behind. */
  know(renditions: Rendition[], ready: boolean): void {
    this.renditions = renditions;
    this.ready = ready;
    this.judge();
  }

  /** Whether there are complete renditions that the loaded playlist does not list yet. */
  get outdated(): boolean {
    if (!this.hls || this.state.levels.length === 0) return false;
    // Once, whatever the result: a playlist may permanently leave out a sound.
    if (this.ready && !this.loadedReady && countSounds(this.renditions) > this.state.sounds.length)
      return true;
    const known = new Set(this.state.levels.map((level) => level.rendition));
    return this.renditions.some((r) => r.kind === "video" && r.complete && !known.has(r.name));
  }

  /** Stops at once: buffered data is not shown either. */
  refuse(refusal: Refusal): void {
    if (this.state.refusal) return;
    const stoppedAt = this.video.currentTime;
    this.video.pause();
    this.stop();
    this.token = null;
    this.video.removeAttribute("src");
    this.video.load();
    this.set({ refusal, stoppedAt, trouble: null });
  }

  /** Reloads the playlist and continues at the same position. */
  reload(): void {
    const { stoppedAt } = this.state;
    const currentTime = stoppedAt ?? this.video.currentTime;
    const paused = stoppedAt === null && this.video.paused;
    this.set({ trouble: null, refusal: null, stoppedAt: null });
    if (this.state.native) {
      this.video.src = this.src;
      this.video.currentTime = currentTime;
    } else {
      this.stop();
      this.start(currentTime);
    }
    if (!paused) void this.video.play().catch(() => {});
  }

  private start(position: number): void {
    this.loadedReady = this.ready;
    this.set({ levels: [], chosen: -1, playing: -1, sounds: [], heard: -1, trouble: null });
    const hls = new Hls({
      ...NO_TEXTS,
      workerPath,
      startPosition: position,
      abrEwmaDefaultEstimate: FIRST_ESTIMATE,
      backBufferLength: 60,
    });
    this.hls = hls;
    hls.on(Events.MANIFEST_PARSED, (_, { levels }) => {
      const facts = levels.map((level, index) => factsOf(level, index));
      this.token = tokenOf(levels);
      const chosen = facts.findIndex((level) => level.rendition === this.wanted);
      if (chosen >= 0) {
        hls.startLevel = chosen;
        hls.nextLevel = chosen;
      }
      this.set({ levels: facts, chosen, trouble: null });
      this.judge();
    });
    hls.on(Events.LEVEL_SWITCHED, (_, { level }) => this.set({ playing: level }));
    // The list is that of a level's group, and may change with the level; the engine's own choice counts.
    hls.on(Events.AUDIO_TRACKS_UPDATED, (_, { audioTracks }) => {
      const sounds = soundsOfHls(audioTracks, location.href);
      this.set({ sounds });
      const again = sounds.findIndex(({ name }) => name === this.wantedSound);
      if (again >= 0) hls.audioTrack = again;
    });
    hls.on(Events.AUDIO_TRACK_SWITCHED, (_, { id }) => this.set({ heard: id }));
    // Sound is encoded faster than video: the playable part ends where the first of both does.
    const edges: Record<"video" | "audio", number> = {
      video: Number.POSITIVE_INFINITY,
      audio: Number.POSITIVE_INFINITY,
    };
    const reaches = (kind: "video" | "audio", edge: number) => {
      edges[kind] = edge;
      const both = Math.min(edges.video, edges.audio);
      this.set({ edge: Number.isFinite(both) ? both : null });
    };
    hls.on(Events.LEVEL_UPDATED, (_, { details }) => {
      this.set({ growing: details.live, trouble: null });
      reaches("video", details.edge);
    });
    hls.on(Events.AUDIO_TRACK_UPDATED, (_, { details }) => reaches("audio", details.edge));
    hls.on(Events.FRAG_BUFFERED, () => {
      if (this.state.trouble) this.set({ trouble: null });
    });
    hls.on(Events.ERROR, (_, error) => {
      const refusal = refusalOf(error.response?.code ?? 0, textOf(error.networkDetails));
      if (refusal) {
        this.refuse(refusal);
        return;
      }
      if (!error.fatal) return;
      if (error.type === ErrorTypes.NETWORK_ERROR) {
        const status = error.response?.code ?? 0;
        const atManifest =
          error.details === ErrorDetails.MANIFEST_LOAD_ERROR ||
          error.details === ErrorDetails.MANIFEST_LOAD_TIMEOUT;
        if (status === 404 || status === 410) {
          // A replaced encoding is removed after a while: the current one is listed again.
          if (!atManifest && performance.now() - this.reloadedAt > RECOVERY_GAP_MS) {
            this.reloadedAt = performance.now();
            this.reload();
          } else {
            this.set({ trouble: "This video is no longer available." });
          }
          return;
        }
        this.set({ trouble: "The connection was lost. Playback resumes when it is back." });
        this.retry = setTimeout(() => {
          if (atManifest) hls.loadSource(this.address());
          else hls.startLoad();
        }, RETRY_MS);
      } else if (
        error.type === ErrorTypes.MEDIA_ERROR &&
        performance.now() - this.recoveredAt > RECOVERY_GAP_MS
      ) {
        this.recoveredAt = performance.now();
        hls.recoverMediaError();
      } else {
        this.set({ trouble: "This video cannot be played in this browser." });
      }
    });
    hls.loadSource(this.address());
    hls.attachMedia(this.video);
  }

  private address(): string {
    return this.token ? `${this.src}?t=${encodeURIComponent(this.token)}` : this.src;
  }

  private stop(): void {
    if (this.retry !== null) clearTimeout(this.retry);
    this.retry = null;
    this.hls?.destroy();
    this.hls = null;
  }

  private judge(): void {
    const { levels } = this.state;
    if (!this.hls || levels.length === 0) return;
    const usable = usableLevels(levels, this.renditions);
    const lagging = usable.indexOf(false);
    this.hls.autoLevelCapping = lagging <= 0 ? -1 : lagging - 1;
    if (levels.some((level, index) => level.usable !== usable[index])) {
      this.set({ levels: levels.map((level, index) => ({ ...level, usable: usable[index] ?? true })) });
    }
  }

  /** The browser gives no reason: requesting the same address again does. */
  private readonly onNativeError = async () => {
    if (this.state.refusal) return;
    const answer = await fetch(this.src, { cache: "no-store" }).catch(() => null);
    const refusal = answer && !answer.ok && refusalOf(answer.status, await answer.text().catch(() => ""));
    if (refusal) this.refuse(refusal);
    else this.set({ trouble: "This video cannot be played right now." });
  };

  private readonly onNativeSounds = (event: Event) => {
    const tracks = nativeSounds(this.video);
    if (!tracks) return;
    const sounds = soundsOfBrowser(tracks);
    // After a reload the browser plays its own default.
    const again = sounds.findIndex(({ name }) => name !== "" && name === this.wantedSound);
    if (event.type === "addtrack" && again >= 0) enable(tracks, again);
    this.set({ sounds, heard: sounds.findIndex(({ index }) => tracks[index]?.enabled) });
  };

  private set(change: Partial<EngineState>): void {
    this.state = { ...this.state, ...change };
    this.onState(this.state);
  }
}

function enable(tracks: NativeSounds | null, index: number): void {
  for (let i = 0; tracks && i < tracks.length; i++) {
    const track = tracks[i];
    if (track) track.enabled = i === index;
  }
}

function tokenOf(levels: Level[]): string | null {
  return new URL(levels[0]?.url[0] ?? "", location.href).searchParams.get("t");
}

function factsOf(level: Level, index: number): LevelFacts {
  const path = new URL(level.url[0] ?? "", location.href).pathname.split("/");
  return {
    index,
    rendition: path.at(-2) ?? "",
    width: level.width,
    height: level.height,
    fps: level.frameRate ?? 0,
    bitrate: level.averageBitrate || level.bitrate,
    usable: true,
  };
}
