import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Engine, type EngineState, INITIAL } from "./engine";

type Listener = (event: string, data: unknown) => void;

const engines = vi.hoisted(() => [] as { tell: Listener; config: { startPosition?: number } }[]);

vi.mock("hls.js", () => {
  class Hls {
    static isSupported = () => true;
    listeners = new Map<string, Listener>();
    constructor(readonly config: { startPosition?: number }) {
      engines.push(this);
    }
    tell: Listener = (event, data) => this.listeners.get(event)?.(event, data);
    on = (event: string, listener: Listener) => this.listeners.set(event, listener);
    loadSource = vi.fn();
    attachMedia = vi.fn();
    destroy = vi.fn();
  }
  return {
    default: Hls,
    Events: { ERROR: "error", FRAG_BUFFERED: "buffered" },
    ErrorTypes: { NETWORK_ERROR: "networkError" },
    ErrorDetails: { MANIFEST_LOAD_ERROR: "manifestLoadError" },
  };
});

function playing() {
  const states: EngineState[] = [];
  const video = { currentTime: 12, paused: false, canPlayType: () => "", play: async () => {} };
  new Engine(video as unknown as HTMLVideoElement, "/v/1/master.m3u8", (state) => states.push(state));
  return () => states.at(-1) ?? INITIAL;
}

function missing(details: string) {
  engines.at(-1)?.tell("error", { fatal: true, type: "networkError", details, response: { code: 404 } });
}

beforeEach(() => {
  engines.length = 0;
  vi.stubGlobal("navigator", { vendor: "Google Inc." });
  vi.stubGlobal("XMLHttpRequest", class {});
});
afterEach(() => vi.unstubAllGlobals());

describe("a segment that no longer exists", () => {
  it("has the playlist reloaded, which continues at the same position", () => {
    const state = playing();
    missing("fragLoadError");
    expect(engines.map((engine) => engine.config.startPosition)).toEqual([0, 12]);
    expect(state().trouble).toBeNull();
  });

  it("is reported if that does not help", () => {
    const state = playing();
    missing("fragLoadError");
    missing("fragLoadError");
    expect(engines).toHaveLength(2);
    expect(state().trouble).toBe("This video is no longer available.");
  });

  it("is reported at once if the whole video is gone", () => {
    const state = playing();
    missing("manifestLoadError");
    expect(engines).toHaveLength(1);
    expect(state().trouble).toBe("This video is no longer available.");
  });
});
