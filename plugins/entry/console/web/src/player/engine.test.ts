import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Engine, type EngineState, INITIAL } from "./engine";
import { refusal } from "./refusal";

/** Its sounds, one of which plays. */
class Sounds extends EventTarget {
  [index: number]: { enabled: boolean; kind: string; label: string; language: string };
  length = 0;
  list(...labels: string[]) {
    for (const [index, label] of labels.entries())
      this[index] = { enabled: index === 0, kind: "main", label, language: "" };
    this.length = labels.length;
    this.dispatchEvent(new Event("addtrack"));
  }
  get heard() {
    return Array.from({ length: this.length }, (_, index) => this[index])
      .filter((track) => track?.enabled)
      .map((track) => track?.label);
  }
}

/** A video element of a browser that plays HLS itself. */
class Video extends EventTarget {
  src = "";
  currentTime = 0;
  paused = true;
  audioTracks = new Sounds();
  canPlayType = () => "maybe";
  load = vi.fn();
  play = vi.fn(async () => {
    this.paused = false;
  });
  pause = () => {
    this.paused = true;
  };
  removeAttribute = () => {
    this.src = "";
  };
}

const SRC = "/v/1/master.m3u8";
const REFUSED = refusal("revoked", "The token is gone.");

function playing() {
  const video = new Video();
  const states: EngineState[] = [];
  const engine = new Engine(video as unknown as HTMLVideoElement, SRC, (state) => states.push(state));
  video.currentTime = 12;
  video.paused = false;
  return { video, engine, state: () => states.at(-1) ?? INITIAL };
}

beforeEach(() => {
  vi.stubGlobal("navigator", { vendor: "Apple Computer, Inc." });
  vi.stubGlobal("XMLHttpRequest", class {});
});
afterEach(() => vi.unstubAllGlobals());

describe("a browser that plays HLS itself", () => {
  it("says why the server refuses, which its own error does not", async () => {
    const body = JSON.stringify({
      type: "urn:streamgate:problem:not-entitled",
      detail: "A token is missing.",
    });
    vi.stubGlobal(
      "fetch",
      vi.fn(async () => new Response(body, { status: 403 })),
    );
    const { video, state } = playing();
    video.dispatchEvent(new Event("error"));
    await vi.waitFor(() => expect(state().refusal?.kind).toBe("not-entitled"));
    expect(state()).toMatchObject({ stoppedAt: 12, trouble: null });
    expect([video.src, video.paused]).toEqual(["", true]);
  });

  it("reports other trouble if the server does not refuse", async () => {
    vi.stubGlobal(
      "fetch",
      vi.fn(async () => new Response("#EXTM3U")),
    );
    const { video, state } = playing();
    video.dispatchEvent(new Event("error"));
    await vi.waitFor(() => expect(state().trouble).toMatch(/cannot be played/));
    expect(state().refusal).toBeNull();
  });

  it("plays the sound that was chosen, also after it was loaded again", () => {
    const { video, engine, state } = playing();
    video.audioTracks.list("One", "Two");
    expect(state()).toMatchObject({ heard: 0, sounds: [{ name: "One" }, { name: "Two" }] });
    engine.listen(1);
    expect(video.audioTracks.heard).toEqual(["Two"]);
    expect(state().heard).toBe(1);
    engine.reload();
    video.audioTracks.list("One", "Two");
    expect(video.audioTracks.heard).toEqual(["Two"]);
    expect(state().heard).toBe(1);
    engine.listen(9);
    expect(state().heard).toBe(1);
  });

  it("reports the sound when the browser's own menu changed it", () => {
    const { video, state } = playing();
    video.audioTracks.list("One", "Two");
    for (const index of [0, 1]) Object.assign(video.audioTracks[index] ?? {}, { enabled: index === 1 });
    video.audioTracks.dispatchEvent(new Event("change"));
    expect(state().heard).toBe(1);
  });

  it("stops at once when access ends, and resumes at the same position", () => {
    const { video, engine, state } = playing();
    engine.refuse(REFUSED);
    expect(state()).toMatchObject({ refusal: REFUSED, stoppedAt: 12 });
    expect([video.src, video.paused]).toEqual(["", true]);
    video.currentTime = 0;
    engine.refuse(refusal("not-entitled", "Later."));
    expect(state().stoppedAt).toBe(12);
    engine.reload();
    expect(state()).toMatchObject({ refusal: null, stoppedAt: null });
    expect([video.src, video.currentTime, video.paused]).toEqual([SRC, 12, false]);
  });
});
