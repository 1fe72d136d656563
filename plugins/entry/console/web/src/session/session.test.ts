import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../api/client";
import { may, ownName, renewIn, SessionStore } from "./session";

const PROBLEM = "urn:streamgate:problem:";
const soon = () => new Date(Date.now() + 600_000).toISOString();

/** A server that answers each path with its answers in order, the last one repeatedly. */
function server(answers: Record<string, [status: number, body: unknown][]>) {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (path: string) => {
    const name = path.replace("/api/v1/auth/", "");
    asked.push(name);
    const left = answers[name] ?? [[404, {}]];
    const [status, body] = (left.length > 1 ? left.shift() : left[0]) as [number, unknown];
    return new Response(JSON.stringify(body), { status });
  });
  return asked;
}

const identity = (expires_at: string) => ({
  principal: "p",
  roles: ["viewer"],
  scopes: ["content:read"],
  wallets: [],
  session: "s",
  api_key: null,
  expires_at,
});
const expired: [number, unknown] = [401, { type: `${PROBLEM}token-expired`, detail: "It ran out." }];
const stranger: [number, unknown] = [200, { principal: null, site: null }];

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  vi.stubGlobal("navigator", {});
  vi.stubGlobal("window", { location: new URL("https://video.example.org/") });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("the session", () => {
  it("is open without a sign-in, and then everyone has all rights", async () => {
    server({});
    const store = new SessionStore();
    await store.load();
    expect(store.get()).toEqual({ state: "open" });
    expect(may(store.get(), "admin")).toBe(true);
  });

  it("is anonymous without a credential", async () => {
    const asked = server({ me: [stranger] });
    const store = new SessionStore();
    await store.load();
    expect(store.get().state).toBe("out");
    expect(asked).toEqual(["me"]);
    expect(may(store.get(), "content:read")).toBe(false);
  });

  it("continues with new tokens when the old ones expired", async () => {
    const asked = server({ me: [expired, expired, [200, identity(soon())]], refresh: [[200, {}]] });
    const store = new SessionStore();
    await store.load();
    expect(asked).toEqual(["me", "me", "refresh", "me"]);
    expect(store.get().state).toBe("in");
    expect(may(store.get(), "content:read")).toBe(true);
    expect(may(store.get(), "content:write")).toBe(false);
  });

  it("is renewed before it ends, once, for any number of requests", async () => {
    const first = identity(soon());
    const asked = server({
      me: [
        [200, first],
        [200, first],
        [200, identity("1970-01-02")],
      ],
      refresh: [[200, {}]],
    });
    const store = new SessionStore();
    await store.load();
    await vi.advanceTimersByTimeAsync(539_000);
    expect(asked).toEqual(["me"]);
    const renewals = [vi.advanceTimersByTimeAsync(2_000), store.renew(), store.renew()];
    await Promise.all(renewals);
    expect(asked.filter((name) => name === "refresh")).toHaveLength(1);
  });

  it("takes over what another tab has renewed", async () => {
    const asked = server({
      me: [
        [200, identity(soon())],
        [200, identity("1970-01-02")],
      ],
    });
    const store = new SessionStore();
    await store.load();
    expect(await store.renew()).toBe(true);
    expect(asked).toEqual(["me", "me"]);
  });

  it("is over when the server refuses to renew it", async () => {
    server({ me: [[200, identity(soon())], expired], refresh: [[401, { type: `${PROBLEM}session-ended` }]] });
    const store = new SessionStore();
    await store.load();
    const refused = new ApiError("", 401, { type: `${PROBLEM}token-expired` });
    expect(await store.refused(refused)).toBe(false);
    expect(store.get().state).toBe("out");
  });

  it("is requested again while the server cannot answer", async () => {
    server({
      me: [
        [503, {}],
        [200, identity(soon())],
      ],
    });
    const store = new SessionStore();
    await store.load();
    expect(store.get().state).toBe("unknown");
    await vi.advanceTimersByTimeAsync(3_000);
    expect(store.get().state).toBe("in");
  });
});

describe("ownName", () => {
  const go = (here: string, site: string | null) => ownName(new URL(here), site);
  it("leads from an address of this machine to the name of its cookies", () => {
    const at = "http://localhost:8080";
    expect(go("http://127.0.0.1:8080/watch/7?t=1#x", at)).toBe("http://localhost:8080/watch/7?t=1#x");
    expect(go("http://[::1]:8080/", at)).toBe("http://localhost:8080/");
  });
  it("leads nowhere else", () => {
    for (const [here, site] of [
      ["http://localhost:8080/", "http://localhost:8080"],
      ["http://127.0.0.1:9000/", "http://localhost:8080"],
      ["http://127.0.0.1:8080/", "https://video.example.org"],
      ["http://192.168.1.5:8080/", "http://localhost:8080"],
      ["http://127.0.0.1:8080/", "no address"],
      ["http://127.0.0.1:8080/", null],
    ] as const) {
      expect(go(here, site)).toBeNull();
    }
  });
});

describe("renewIn", () => {
  it("leaves a minute, or half of what is short, and never hurries", () => {
    expect(renewIn(600_000)).toBe(540_000);
    expect(renewIn(90_000)).toBe(45_000);
    expect(renewIn(30_000)).toBe(15_000);
    expect(renewIn(-600_000)).toBe(15_000);
    expect(renewIn(1e12)).toBe(86_400_000);
  });
});
