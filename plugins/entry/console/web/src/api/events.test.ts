import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ChangeStream } from "./events";

/** An EventSource whose events the test makes. */
class FakeSource extends EventTarget {
  static readonly CLOSED = 2;
  static made: FakeSource[] = [];
  readyState = 0;
  constructor(readonly url: string) {
    super();
    FakeSource.made.push(this);
  }
  close() {
    this.readyState = 2;
  }
  open() {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }
  send(type: string, data: string) {
    this.dispatchEvent(new MessageEvent(type, { data }));
  }
  fail(closed: boolean) {
    this.readyState = closed ? 2 : 0;
    this.dispatchEvent(new Event("error"));
  }
}

const newPage = () => Object.assign(new EventTarget(), { visibilityState: "visible" });
let page = newPage();
const show = (state: string) => {
  page.visibilityState = state;
  page.dispatchEvent(new Event("visibilitychange"));
};
const latest = () => {
  const source = FakeSource.made.at(-1);
  if (!source) throw new Error("no EventSource was made");
  return source;
};

beforeEach(() => {
  vi.useFakeTimers();
  FakeSource.made = [];
  page = newPage();
  vi.stubGlobal("EventSource", FakeSource);
  vi.stubGlobal("document", page);
  vi.stubGlobal("window", page);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("ChangeStream", () => {
  it("shares one connection and closes it with its last listener", () => {
    const stream = new ChangeStream("/events");
    const [first, second] = [stream.subscribe({}), stream.subscribe({})];
    expect(FakeSource.made).toHaveLength(1);
    first();
    expect(latest().readyState).toBe(0);
    second();
    expect(latest().readyState).toBe(2);
  });

  it("passes changes and deletions on, and nothing that is not JSON", () => {
    const stream = new ChangeStream("/events");
    const changed = vi.fn();
    const deleted = vi.fn();
    stream.subscribe({ changed, deleted });
    latest().send("changed", '{"id":"a"}');
    latest().send("changed", "{");
    latest().send("deleted", '{"id":"b"}');
    expect(changed.mock.calls).toEqual([[{ id: "a" }]]);
    expect(deleted.mock.calls).toEqual([["b"]]);
  });

  it("asks for a refetch on every opening but the first, and on a reset", () => {
    const stream = new ChangeStream("/events");
    const opened = vi.fn();
    stream.subscribe({ opened });
    latest().open();
    expect(opened).not.toHaveBeenCalled();
    latest().fail(false);
    latest().open();
    expect(opened).toHaveBeenCalledTimes(1);
    latest().send("reset", "{}");
    expect(opened).toHaveBeenCalledTimes(2);
  });

  it("reconnects, later each time, when the browser has given up", () => {
    const stream = new ChangeStream("/events");
    const states: string[] = [];
    stream.subscribe({ connection: (state) => states.push(state) });
    latest().fail(true);
    expect(states.at(-1)).toBe("lost");
    vi.advanceTimersByTime(1_300);
    expect(FakeSource.made).toHaveLength(2);
    latest().fail(true);
    vi.advanceTimersByTime(1_400);
    expect(FakeSource.made).toHaveLength(2);
    vi.advanceTimersByTime(1_300);
    expect(FakeSource.made).toHaveLength(3);
  });

  it("sleeps while the page is long hidden and refetches when it is seen again", () => {
    const stream = new ChangeStream("/events");
    const opened = vi.fn();
    stream.subscribe({ opened });
    latest().open();
    show("hidden");
    vi.advanceTimersByTime(31_000);
    expect(latest().readyState).toBe(2);
    show("visible");
    expect(FakeSource.made).toHaveLength(2);
    latest().open();
    expect(opened).toHaveBeenCalledTimes(1);
  });

  it("keeps no connection of a page that was left, and opens one on return", () => {
    const stream = new ChangeStream("/events");
    const opened = vi.fn();
    const leave = stream.subscribe({ opened });
    latest().open();
    page.dispatchEvent(new Event("pagehide"));
    expect(latest().readyState).toBe(2);
    show("hidden");
    page.dispatchEvent(new Event("pageshow"));
    expect(FakeSource.made).toHaveLength(2);
    latest().open();
    expect(opened).toHaveBeenCalledTimes(1);
    leave();
    page.dispatchEvent(new Event("pageshow"));
    expect(FakeSource.made).toHaveLength(2);
  });
});
