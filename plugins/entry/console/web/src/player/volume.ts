// The volume, stored across visits.

const KEY = "streamgate.volume";

export function rememberedVolume(): { volume: number; muted: boolean } {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "null") as {
      volume?: unknown;
      muted?: unknown;
    } | null;
    const volume =
      typeof stored?.volume === "number" && stored.volume >= 0 && stored.volume <= 1 ? stored.volume : 1;
    return { volume, muted: stored?.muted === true };
  } catch {
    return { volume: 1, muted: false };
  }
}

export function rememberVolume({ volume, muted }: { volume: number; muted: boolean }): void {
  try {
    localStorage.setItem(KEY, JSON.stringify({ volume, muted }));
  } catch {
    // Without storage it lasts as long as the page.
  }
}
