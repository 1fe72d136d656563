import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Engine, type EngineState, INITIAL } from "./engine";
import { refusal } from "./refusal";

/** A video element of a browser that plays HLS itself. */
class Video extends EventTarget {
  src = "";
  currentTime = 0;
  paused = true;
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

  it("has other trouble where the server refuses nothing", async () => {
    vi.stubGlobal(
      "fetch",
      vi.fn(async () => new Response("#EXTM3U")),
    );
    const { video, state } = playing();
    video.dispatchEvent(new Event("error"));
    await vi.waitFor(() => expect(state().trouble).toMatch(/cannot be played/));
    expect(state().refusal).toBeNull();
  });

  it("stops at once when access ends, and goes on at the same place", () => {
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
