import { describe, expect, it } from "vitest";
import { actionText, actorText } from "./actions";

describe("the audit log", () => {
  it("describes known actions, and shows unknown ones unchanged", () => {
    expect(actionText("upload.terminate")).toBe("Upload cancelled");
    expect(actionText("host.reload")).toBe("Configuration reloaded");
    expect(actionText("view.count")).toBe("view.count");
    expect(actionText("constructor")).toBe("constructor");
  });

  it("names local users of the server", () => {
    expect(actorText("uid:1000")).toBe("local user 1000");
    expect(actorText("0190163d-8694-739b-aea5-966c26f8ad91")).toBe("0190163d-8694-739b-aea5-966c26f8ad91");
  });
});
