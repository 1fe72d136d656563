import { describe, expect, it } from "vitest";
import { ApiError } from "../api/client";
import { tokenFailure } from "./sign-in";

describe("tokenFailure", () => {
  it("shows the server's text, and that an older one does not support this sign-in", () => {
    const wrong = new ApiError("It was revoked.", 401, { title: "The token is not valid" });
    expect(tokenFailure(wrong)).toBe("The token is not valid. It was revoked.");
    for (const status of [404, 405]) {
      expect(tokenFailure(new ApiError("Nothing here.", status, null))).toMatch(/Update it, or use a wallet/);
    }
  });
});
