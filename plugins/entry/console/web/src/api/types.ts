// The answers of the HTTP API, as far as the console uses them.

export type ContentState = "uploading" | "uploaded" | "transcoding" | "playable" | "ready" | "failed";

/** Properties of the uploaded file; null while unknown. */
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
  /** Of sounds: those with one number are the same at several bit rates; 0 is the default. */
  track?: number | null;
  /** BCP 47. */
  language?: string | null;
  label?: string | null;
  commentary?: boolean;
  /** It describes the video to viewers who do not see it. */
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
  /** Only what every viewer needs to read: foreign speech, signs. */
  forced: boolean;
  hearing_impaired: boolean;
  commentary: boolean;
  bytes: number;
  /** Where the player loads it from; changes with its text. */
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
  /** It failed, and a retry of the encoding may succeed. */
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
  /** In menu order. An older server has none. */
  captions?: Caption[];
  /** In the order of their start; an older server has none. */
  chapters?: Chapter[];
  /** A principal; null: no owner. Only for users who may change it. */
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
  /** Why a queued job waits, if it is for its owner's quota. */
  waits_for?: string | null;
  created_at: string;
  updated_at: string;
}

export type HealthStatus = "healthy" | "degraded" | "unhealthy";
