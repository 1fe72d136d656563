import { describe, expect, it } from "vitest";
import { ofOpenness, refusal, refusalOf } from "./refusal";

const problem = (kind: string, detail: string) =>
  JSON.stringify({ type: `urn:streamgate:problem:${kind}`, title: "T", detail });

describe("refusalOf", () => {
  it("has a remedy for each type of problem", () => {
    const remedies = [
      [401, "not-signed-in", "sign-in"],
      [403, "not-entitled", "own"],
      [403, "revoked", "own"],
      [503, "chain-unavailable", "again"],
      [429, "too-many-sessions", "again"],
    ] as const;
    for (const [status, kind, remedy] of remedies) {
      const found = refusalOf(status, problem(kind, "The server's words."));
      expect(found).toMatchObject({ kind, remedy, detail: "The server's words." });
      expect(found?.title).not.toBe("");
    }
  });

  it("treats an unknown problem as a refusal only by its status", () => {
    expect(refusalOf(401, "")?.remedy).toBe("sign-in");
    expect(refusalOf(403, problem("something-new", "No."))).toMatchObject({
      kind: "not-entitled",
      detail: "No.",
    });
    for (const status of [0, 404, 410, 429, 500, 503]) expect(refusalOf(status, "")).toBeNull();
  });
});

describe("ofOpenness", () => {
  const refused = refusal("not-entitled", "This content is private.");
  it("suggests no wallet if none helps", () => {
    expect(ofOpenness(refused, "private")).toMatchObject({ title: "This video is private", remedy: "none" });
    expect(ofOpenness(refusal("revoked", "Shared."), "private")).toMatchObject({
      detail: "Shared.",
      remedy: "none",
    });
  });
  it("leaves refusals with a remedy unchanged", () => {
    expect(ofOpenness(refused, "gated")).toBe(refused);
    const stranger = refusal("not-signed-in", "");
    expect(ofOpenness(stranger, "private")).toBe(stranger);
  });
});
