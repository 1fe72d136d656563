// Speed and remaining time of a transfer, from samples of its progress. The speed is an average weighted
// to the last seconds, so that it neither jumps nor lags.

/** Seconds after which a sample counts for about a third. */
const MEMORY_S = 5;
/** Below this the samples are too close together to be meaningful. */
const SHORTEST_S = 0.05;
/** Before this the buffers on the way are filling, which looks like speed. */
const SETTLED_S = 1;

export class TransferRate {
  private last: { at: number; done: number } | null = null;
  private speed: number | null = null;
  private began = 0;

  /** `at` in milliseconds, rising; `done` in bytes. Going back (a resume) starts over. */
  sample(at: number, done: number): void {
    if (!this.last || done < this.last.done) {
      this.last = { at, done };
      this.began = at;
      this.speed = null;
      return;
    }
    const seconds = (at - this.last.at) / 1000;
    if (seconds < SHORTEST_S) return;
    const now = (done - this.last.done) / seconds;
    const weight = 1 - Math.exp(-seconds / MEMORY_S);
    this.speed = this.speed === null ? now : this.speed + (now - this.speed) * weight;
    this.last = { at, done };
  }

  reset(): void {
    this.last = null;
    this.speed = null;
  }

  /** Bytes a second; null while unknown. */
  get bytesPerSecond(): number | null {
    const settled = this.last !== null && this.last.at - this.began >= SETTLED_S * 1000;
    return settled ? this.speed : null;
  }

  /** Seconds until `total`; null while unknown or stalled. */
  eta(total: number): number | null {
    const speed = this.bytesPerSecond;
    if (speed === null || speed < 1 || !this.last) return null;
    return Math.max(0, total - this.last.done) / speed;
  }
}
