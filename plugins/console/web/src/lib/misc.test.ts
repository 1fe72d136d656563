import { describe, expect, it } from "vitest";
import { parseRoute, paths } from "./router";
import { readReport } from "./system";
import { parseTags } from "./tags";

describe("parseRoute", () => {
  it("knows the pages, with or without a slash at the end", () => {
    expect(parseRoute("/")).toEqual({ page: "library" });
    expect(parseRoute("/system/")).toEqual({ page: "system" });
    expect(parseRoute(paths.content("a b"))).toEqual({ page: "content", id: "a b" });
  });
  it("answers unknown for everything else, broken escapes too", () => {
    for (const path of ["/watch", "/watch/a/b", "/x", "/watch/%zz"]) {
      expect(parseRoute(path).page).toBe("unknown");
    }
  });
});

describe("parseTags", () => {
  it("takes each tag once, without signs and spaces", () => {
    expect(parseTags("a, #b ,, a, ##c d ")).toEqual(["a", "b", "c d"]);
    expect(parseTags(" , #, ")).toEqual([]);
  });
});

describe("readReport", () => {
  it("reads what the kernel reports", () => {
    const report = readReport({
      status: "degraded",
      kernel: { version: "0.1.0", started_at: "2026-01-01T00:00:00Z" },
      plugins: [
        {
          name: "storage-fs",
          state: "running",
          status: "degraded",
          reason: "disk: nearly full",
          components: [
            { name: "disk", status: "degraded", reason: "nearly full", since: "2026-01-01T00:00:01Z" },
          ],
          version: "0.1.0",
          provides: ["storage"],
          prefixes: [],
        },
        {
          name: "transcoder",
          state: "failed",
          status: "unhealthy",
          reason: "x264enc is missing",
          components: [],
        },
      ],
    });
    expect(report.version).toBe("0.1.0");
    expect(report.plugins[0]).toMatchObject({ status: "degraded", reason: "", provides: ["storage"] });
    expect(report.plugins[0]?.components[0]).toMatchObject({ name: "disk", reason: "nearly full" });
    expect(report.plugins[1]).toMatchObject({ status: "unhealthy", reason: "x264enc is missing" });
  });
  it("stands anything", () => {
    for (const odd of [null, 7, [], {}, { plugins: [null, 3, { components: "x" }], kernel: [] }]) {
      expect(() => readReport(odd)).not.toThrow();
    }
  });
});
