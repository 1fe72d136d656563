// What the HTTP API answers, as the console uses it.

export type ContentState = "uploading" | "uploaded" | "transcoding" | "playable" | "ready" | "failed";

export interface Source {
  filename: string;
  content_type: string;
  bytes: number;
  width: number;
  height: number;
  fps: number | null;
  video_codec: string;
  audio_codec: string;
  audio_channels: number;
}

export interface Rendition {
  name: string;
  kind: "video" | "audio";
  codec: string;
  width: number;
  height: number;
  fps: number | null;
  channels: number;
  sample_rate: number;
  /** Measured, bits a second; 0 or null before the first segment. */
  bitrate: number | null;
  target_bitrate: number;
  segments: number;
  complete: boolean;
}

export interface Content {
  id: string;
  title: string;
  description: string;
  tags: string[];
  state: ContentState;
  reason: string | null;
  /** Of the current state, 0 to 1. */
  progress: number;
  /** Seconds; null while unknown. */
  duration: number | null;
  created_at: string;
  updated_at: string;
  source: Partial<Source> | null;
  renditions: Rendition[];
  hls: string | null;
  dash: string | null;
  poster: string | null;
  thumbnails: string | null;
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
  created_at: string;
  updated_at: string;
  due_at: string | null;
}

export type HealthStatus = "healthy" | "degraded" | "unhealthy";
