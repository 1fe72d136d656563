// What the HTTP API answers, as the console uses it.

export type ContentState = "uploading" | "uploaded" | "transcoding" | "playable" | "ready" | "failed";

/** Facts of the uploaded file; null while unknown. */
export interface Source {
  filename: string | null;
  content_type: string | null;
  bytes: number | null;
  width: number | null;
  height: number | null;
  fps: number | null;
  video_codec: string | null;
  audio_codec: string | null;
  audio_channels: number | null;
}

export interface Rendition {
  name: string;
  kind: "video" | "audio";
  codec: string | null;
  width: number | null;
  height: number | null;
  fps: number | null;
  channels: number | null;
  sample_rate: number | null;
  /** Measured, bits a second; null before the first segment. */
  bitrate: number | null;
  target_bitrate: number | null;
  segments: number;
  complete: boolean;
  /** Of sounds: those of one number are the same at several bit rates; 0 plays by itself. */
  track?: number | null;
  /** BCP 47. */
  language?: string | null;
  label?: string | null;
  commentary?: boolean;
  /** It tells what the picture shows to those who do not see it. */
  described?: boolean;
}

/** Captions or subtitles: one WebVTT file. */
export interface Caption {
  /** The last part of its address within the content. */
  name: string;
  /** BCP 47. */
  language: string | null;
  label: string | null;
  /** Shown unless the viewer chose otherwise. */
  default: boolean;
  /** Only what everybody has to read: foreign speech, signs. */
  forced: boolean;
  hearing_impaired: boolean;
  commentary: boolean;
  bytes: number;
  /** Where the player gets it; another one after each change of its text. */
  url: string;
}

export interface Chapter {
  /** Seconds. */
  start: number;
  title: string;
}

export interface Content {
  id: string;
  title: string;
  description: string;
  tags: string[];
  state: ContentState;
  reason: string | null;
  /** It failed, and encoding it again may end better. */
  retryable: boolean;
  /** Of the current state, 0 to 1. */
  progress: number;
  /** Seconds; null while unknown. */
  duration: number | null;
  created_at: string;
  updated_at: string;
  source: Source;
  renditions: Rendition[];
  hls: string | null;
  dash: string | null;
  poster: string | null;
  thumbnails: string | null;
  /** In the order of menus. A server of an older version has none. */
  captions?: Caption[];
  /** In the order of their start; as old. */
  chapters?: Chapter[];
  /** A principal; null: nobody's. Only for who may change it. */
  owner?: string | null;
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

export type JobState = "queued" | "running" | "completed" | "dead" | "cancelled";

export interface Job {
  id: string;
  queue: string;
  state: JobState;
  payload: unknown;
  attempt: number;
  max_attempts: number;
  progress: number;
  error: string | null;
  /** Why a queued job waits, if its owner's quota is why. */
  waits_for?: string | null;
  created_at: string;
  updated_at: string;
}

export type HealthStatus = "healthy" | "degraded" | "unhealthy";
