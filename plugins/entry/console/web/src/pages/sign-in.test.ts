import { describe, expect, it } from "vitest";
import { ApiError } from "../api/client";
import { tokenFailure } from "./sign-in";

describe("tokenFailure", () => {
  it("says what the server says, and that an older one knows no such sign-in", () => {
    const wrong = new ApiError("It was revoked.", 401, { title: "The token is not valid" });
    expect(tokenFailure(wrong)).toBe("The token is not valid. It was revoked.");
    for (const status of [404, 405]) {
      expect(tokenFailure(new ApiError("Nothing here.", status, null))).toMatch(/Update it, or use a wallet/);
    }
  });
});
