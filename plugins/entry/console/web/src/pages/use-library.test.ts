import { describe, expect, it } from "vitest";
import type { Content } from "../api/types";
import { EMPTY_LIBRARY, type LibraryState, reduceLibrary } from "./use-library";

const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();
const content = (id: string, created: number, change: Partial<Content> = {}): Content => ({
  id,
  title: id,
  description: "",
  tags: [],
  state: "ready",
  reason: null,
  retryable: false,
  progress: 1,
  duration: null,
  created_at: at(created),
  updated_at: at(created),
  source: {
    filename: null,
    content_type: null,
    bytes: null,
    width: null,
    height: null,
    fps: null,
    video_codec: null,
    audio_codec: null,
    audio_channels: null,
  },
  renditions: [],
  hls: null,
  dash: null,
  poster: null,
  thumbnails: null,
  ...change,
});
const page = (
  items: Content[],
  cursor: string | null = null,
  append = false,
  state: LibraryState = EMPTY_LIBRARY,
) => reduceLibrary(state, { type: "page", items, cursor, append });
const changed = (state: LibraryState, of: Content, filter = {}) =>
  reduceLibrary(state, { type: "changed", content: of, filter });
const ids = (state: LibraryState) => state.items.map((item) => item.id);

describe("the list of contents", () => {
  it("appends pages without doubling what moved between them", () => {
    const first = page([content("c", 3), content("b", 2)], "next");
    const second = page([content("b", 2), content("a", 1)], null, true, first);
    expect(ids(second)).toEqual(["c", "b", "a"]);
    expect(second.cursor).toBeNull();
  });

  it("inserts a new content by its time", () => {
    expect(ids(changed(page([content("a", 1)]), content("b", 2)))).toEqual(["b", "a"]);
  });

  it("shows only changes of one's own contents with that filter", () => {
    const filter = { whose: "mine", me: "ann" } as const;
    const loaded = page([content("a", 1, { owner: "ann" })]);
    expect(ids(changed(loaded, content("b", 2, { owner: "ann" }), filter))).toEqual(["b", "a"]);
    expect(ids(changed(loaded, content("b", 2, { owner: "bob" }), filter))).toEqual(["a"]);
    expect(ids(changed(loaded, content("b", 2), filter))).toEqual(["a"]);
    // Handed over.
    expect(ids(changed(loaded, content("a", 1, { owner: "bob" }), filter))).toEqual([]);
    const shared = { whose: "shared", me: "ann" } as const;
    expect(ids(changed(loaded, content("b", 2), shared))).toEqual(["a"]);
  });

  it("keeps the order that was chosen, also when a title changes", () => {
    const loaded = page([content("a", 1, { title: "Ant" }), content("b", 2, { title: "bee" })]);
    const filter = { sort: "title" } as const;
    expect(ids(changed(loaded, content("c", 0, { title: "Bat" }), filter))).toEqual(["a", "c", "b"]);
    const renamed = content("a", 1, { title: "Zebra", updated_at: at(5) });
    expect(ids(changed(loaded, renamed, filter))).toEqual(["b", "a"]);
    expect(ids(changed(page([content("a", 1)]), content("b", 2), { sort: "oldest" }))).toEqual(["a", "b"]);
  });

  it("finds every word of a search in any of the texts, as the server does", () => {
    const card = content("a", 1, { title: "A test card", tags: ["Still"] });
    expect(ids(changed(page([]), card, { q: "CARD still test" }))).toEqual(["a"]);
    expect(ids(changed(page([]), card, { q: "card moving" }))).toEqual([]);
  });

  it("leaves a content of a page that is not loaded yet to that page", () => {
    const loaded = page([content("c", 3)], "next");
    expect(ids(changed(loaded, content("a", 1)))).toEqual(["c"]);
    expect(ids(changed(page([content("c", 3)]), content("a", 1)))).toEqual(["c", "a"]);
  });

  it("takes changes in place, but never an older state over a newer one", () => {
    const loaded = page([content("a", 1, { updated_at: at(5), progress: 0.5 })]);
    expect(changed(loaded, content("a", 1, { updated_at: at(6), progress: 0.6 })).items[0]?.progress).toBe(
      0.6,
    );
    expect(changed(loaded, content("a", 1, { updated_at: at(4), progress: 0.4 })).items[0]?.progress).toBe(
      0.5,
    );
    const answer = page([content("a", 1, { updated_at: at(4), progress: 0.4 })], null, false, loaded);
    expect(answer.items[0]?.progress).toBe(0.5);
  });

  it("drops what no longer matches the filter and adds what does now", () => {
    const loaded = page([content("a", 1)]);
    expect(ids(changed(loaded, content("a", 1), { state: "failed" }))).toEqual([]);
    expect(ids(changed(loaded, content("b", 2, { title: "Train" }), { q: "rai" }))).toEqual(["b", "a"]);
    expect(ids(changed(loaded, content("b", 2), { q: "zzz" }))).toEqual(["a"]);
  });

  it("removes what was deleted", () => {
    const state = reduceLibrary(page([content("a", 1), content("b", 0)]), { type: "deleted", id: "a" });
    expect(ids(state)).toEqual(["b"]);
  });

  it("keeps showing what it has when a refresh fails", () => {
    const loaded = page([content("a", 1)]);
    const failed = reduceLibrary(reduceLibrary(loaded, { type: "start", fresh: false }), {
      type: "failed",
      error: "The server cannot be reached.",
    });
    expect(ids(failed)).toEqual(["a"]);
    expect(failed).toMatchObject({ loading: false, error: "The server cannot be reached." });
  });
});
