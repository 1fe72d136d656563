import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiError, api, explain, messageOf, wholeMessageOf } from "./client";

const answer = (status: number, body: string) =>
  vi.stubGlobal(
    "fetch",
    vi.fn(async () => new Response(status === 204 ? null : body, { status })),
  );
const asked = () => vi.mocked(fetch).mock.calls[0] as [string, RequestInit];

afterEach(() => vi.unstubAllGlobals());

describe("explain", () => {
  it("prefers the server's detail, then its title, then a sentence for the status", () => {
    expect(explain(400, '{"title":"Bad","detail":"No such tag"}').message).toBe("No such tag.");
    expect(explain(400, '{"title":"Bad request!"}').message).toBe("Bad request!");
    const known = '{"type":"urn:streamgate:problem:session-ended","title":"Session ended"}';
    expect(explain(401, known).message).toBe("Session ended. Sign in again.");
    expect(explain(507, "").message).toMatch(/disk is full/);
    expect(explain(418, "<html>").message).toBe("The server answered with error 418.");
    expect(explain(0, "").message).toMatch(/cannot be reached/);
  });

  it("shows people no JSON pointer and no code", () => {
    const errors = [
      { pointer: "/title", detail: "must be at most 200 characters long, not 210" },
      { pointer: "/tags", detail: "must be a list" },
    ];
    const detail = "/title must be at most 200 characters long, not 210.";
    const said = explain(422, JSON.stringify({ detail, errors })).message;
    expect(said).toBe("Title must be at most 200 characters long, not 210. Tags must be a list.");
    expect(explain(422, JSON.stringify({ detail })).message).toBe(
      "Must be at most 200 characters long, not 210.",
    );
    const pointed = { detail: "/rule/all/0/erc721: `asset`: `x` is no contract." };
    expect(explain(422, JSON.stringify(pointed)).message).toBe("“asset”: “x” is no contract.");
    expect(explain(404, '{"detail":"There is nothing at /watch/1."}').message).toBe(
      "There is nothing at /watch/1.",
    );
  });
});

describe("wholeMessageOf", () => {
  it("has the title before a detail that is only a remedy", () => {
    const error = new ApiError("Link another one first.", 409, { title: "The last wallet stays" });
    expect(wholeMessageOf(error)).toBe("The last wallet stays. Link another one first.");
    expect(wholeMessageOf(new ApiError("T.", 409, { title: "T" }))).toBe("T.");
    expect(wholeMessageOf(new Error("x"))).toBe("x");
  });
});

describe("api", () => {
  it("sends only the filters that are set", async () => {
    answer(200, '{"items":[],"next_cursor":null}');
    await api.contents({ q: "a&b", state: "" }, null, 24);
    expect(asked()[0]).toBe("/api/v1/contents?limit=24&q=a%26b");
  });

  it("edits with a JSON merge patch", async () => {
    answer(200, "{}");
    await api.edit("x/y", { title: "T" });
    const [url, init] = asked();
    expect(url).toBe("/api/v1/contents/x%2Fy");
    expect(init.method).toBe("PATCH");
    expect(new Headers(init.headers).get("content-type")).toBe("application/merge-patch+json");
    expect(init.body).toBe('{"title":"T"}');
  });

  it("turns a problem into an error with its sentence and status", async () => {
    answer(409, '{"title":"Wrong state","detail":"It is being encoded","status":409}');
    const error = await api.encodeAgain("x").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: 409, message: "It is being encoded." });
  });

  it("tells an unreachable server from an unreadable answer", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("network")));
    await expect(api.system()).rejects.toMatchObject({ status: 0 });
    answer(200, "<html>");
    await expect(api.system()).rejects.toThrow("could not be read");
  });

  it("lets a cancelled request be a cancelled request", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new DOMException("gone", "AbortError")));
    await expect(api.system()).rejects.toMatchObject({ name: "AbortError" });
  });

  it("deletes without expecting a body", async () => {
    answer(204, "");
    await expect(api.remove("x")).resolves.toBeUndefined();
  });
});

describe("messageOf", () => {
  it("always returns a message", () => {
    expect(messageOf(new ApiError("Full.", 507, null))).toBe("Full.");
    expect(messageOf(null)).toBe("Something went wrong.");
  });
});
