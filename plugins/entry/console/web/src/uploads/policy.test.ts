import { describe, expect, it } from "vitest";
import {
  belongsTo,
  contentIdOf,
  explainUploadError,
  fingerprintOf,
  isWorthRetrying,
  titleFrom,
} from "./policy";

const file = { name: "a.mp4", type: "video/mp4", size: 10, lastModified: 5 };

describe("retries", () => {
  it("are for failures that may go away: no connection, busy, conflict of offsets, server errors", () => {
    for (const status of [0, 408, 409, 423, 429, 500, 502, 503, 504]) {
      expect(isWorthRetrying(status), String(status)).toBe(true);
    }
  });
  it("are not for what will be refused again", () => {
    for (const status of [400, 403, 404, 410, 413, 415, 460, 507]) {
      expect(isWorthRetrying(status), String(status)).toBe(false);
    }
  });
});

describe("fingerprints", () => {
  it("tell an interrupted upload's file from every other", () => {
    const key = `tus::${fingerprintOf(file)}::123`;
    expect(belongsTo(key, file)).toBe(true);
    for (const other of [{ name: "b.mp4" }, { size: 11 }, { lastModified: 6 }, { type: "" }]) {
      expect(belongsTo(key, { ...file, ...other })).toBe(false);
    }
  });
});

describe("contentIdOf", () => {
  it("is the last part of the upload's address", () => {
    expect(contentIdOf("http://host/files/0193a1b2")).toBe("0193a1b2");
    expect(contentIdOf("/files/7/?x=1")).toBe("7");
    expect(contentIdOf(null)).toBeNull();
  });
});

describe("titleFrom", () => {
  it("drops the extension and underscores, and nothing else", () => {
    expect(titleFrom("holiday_2024-08.final.mp4")).toBe("holiday 2024-08.final");
    expect(titleFrom("noext")).toBe("noext");
    expect(titleFrom(".mp4")).toBe(".mp4");
  });
});

describe("explainUploadError", () => {
  const answered = (status: number, body: string) => ({
    originalRequest: {},
    originalResponse: { getStatus: () => status, getBody: () => body },
  });
  it("shows the server's text", () => {
    const error = answered(413, '{"title":"Too large","detail":"At most 10 GB are accepted"}');
    expect(explainUploadError(error)).toEqual({ status: 413, message: "At most 10 GB are accepted." });
  });
  it("has its own text for a bare status, for no answer and for an unreadable file", () => {
    expect(explainUploadError(answered(507, "")).message).toMatch(/disk is full/);
    expect(explainUploadError({ originalRequest: {}, originalResponse: null })).toMatchObject({ status: 0 });
    expect(explainUploadError(new Error("boom"))).toMatchObject({ status: -1 });
  });
});
