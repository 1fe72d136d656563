// Numbers for people.

/** `1:05`, `1:00:05`; never negative. */
export function clock(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "0:00";
  const whole = Math.floor(seconds);
  const s = String(whole % 60).padStart(2, "0");
  const m = Math.floor(whole / 60) % 60;
  const h = Math.floor(whole / 3600);
  return h > 0 ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}

/** For screen readers: `1 hour 2 minutes 5 seconds`. */
export function spokenTime(seconds: number): string {
  const whole = Number.isFinite(seconds) ? Math.max(0, Math.floor(seconds)) : 0;
  const parts: [number, string][] = [
    [Math.floor(whole / 3600), "hour"],
    [Math.floor(whole / 60) % 60, "minute"],
    [whole % 60, "second"],
  ];
  const said = parts.filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}${n === 1 ? "" : "s"}`);
  return said.length > 0 ? said.join(" ") : "0 seconds";
}

const BYTE_UNITS = ["B", "KB", "MB", "GB", "TB"];

export function bytes(value: number): string {
  if (!Number.isFinite(value) || value < 0) return "–";
  let n = value;
  let unit = 0;
  while (n >= 1000 && unit < BYTE_UNITS.length - 1) {
    n /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || n >= 100 ? 0 : 1;
  return `${n.toFixed(digits)} ${BYTE_UNITS[unit]}`;
}

export function bitrate(bitsPerSecond: number | null | undefined): string {
  if (!bitsPerSecond) return "–";
  const kilobits = bitsPerSecond / 1000;
  return kilobits >= 1000 ? `${(kilobits / 1000).toFixed(1)} Mb/s` : `${Math.round(kilobits)} kb/s`;
}

export function percent(fraction: number): string {
  return `${Math.floor(Math.min(1, Math.max(0, fraction)) * 100)}%`;
}

/** `a few seconds left`, `2 min left`, `1 h 10 min left`. */
export function remaining(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds)) return "";
  if (seconds < 5) return "a few seconds left";
  if (seconds < 60) return `${Math.ceil(seconds / 5) * 5} s left`;
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 60) return `${minutes} min left`;
  if (minutes >= 48 * 60) return `${Math.round(minutes / 60 / 24)} days left`;
  const rest = minutes % 60;
  return `${Math.floor(minutes / 60)} h${rest ? ` ${rest} min` : ""} left`;
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const STEPS: [number, Intl.RelativeTimeFormatUnit][] = [
  [60, "second"],
  [60, "minute"],
  [24, "hour"],
  [7, "day"],
  [4.35, "week"],
  [12, "month"],
];

export function ago(when: string | number | Date, now = Date.now()): string {
  const time = new Date(when).getTime();
  if (Number.isNaN(time)) return "";
  let n = (time - now) / 1000;
  if (Math.abs(n) < 10) return "just now";
  for (const [size, unit] of STEPS) {
    if (Math.abs(n) < size) return relative.format(Math.round(n), unit);
    n /= size;
  }
  return relative.format(Math.round(n), "year");
}

/** The text for a `title` attribute; empty for an invalid date. */
export function dateTime(when: string | number | Date): string {
  const date = new Date(when);
  return Number.isNaN(date.getTime())
    ? ""
    : date.toLocaleString("en", { dateStyle: "medium", timeStyle: "medium" });
}

export function frameRate(fps: number | null | undefined): string {
  if (!fps) return "";
  const rounded = Math.round(fps * 100) / 100;
  return `${rounded} fps`;
}

/** RFC 3339 as `datetime-local` has it, in local time; and back, in UTC. */
export function toLocal(text: string): string {
  const time = Date.parse(text);
  if (Number.isNaN(time)) return "";
  return new Date(time - new Date(time).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export function fromLocal(text: string): string {
  const time = Date.parse(text);
  return Number.isNaN(time) ? "" : new Date(time).toISOString();
}
