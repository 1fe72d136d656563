// Captions and chapters in the console: added, edited, seen in the player, deleted. A part of
// console.e2e.mjs, for a content of some seconds that is ready and has neither.
import assert from "node:assert/strict";

const SUBRIP = `1
00:00:00,000 --> 00:00:04,000
Said in the file
`;
const EDITED = `WEBVTT

00:00:00.000 --> 00:00:04.000
Said in the <i>page</i>
`;

/** `page` is signed in as a user who may change the content at `${base}/watch/${id}`. */
export async function texts({ page, base, id, step, until, picture }) {
  const watch = async () => {
    await page.goto(`${base}/watch/${id}`);
    await page.locator("[data-testid=player] video").waitFor();
  };
  const list = page.getByTestId("caption-list");
  const editor = page.getByTestId("caption-editor");
  const text = editor.getByRole("textbox");
  const known = async () => (await fetch(`${base}/api/v1/contents/${id}`)).json();
  /** Waits until the player draws this text, or none. */
  const drawn = (wanted) =>
    until(
      (what) =>
        [...document.querySelectorAll("[data-testid=captions] .cue")].map((cue) => cue.textContent).join() ===
        what,
      wanted,
    );
  /** From the beginning, with the controls in sight. */
  const playFromStart = async () => {
    await page.keyboard.press("k");
    await until(() => document.querySelector("video")?.currentTime > 0.1);
    await page.keyboard.press("k");
    await page.keyboard.press("0");
    await until(
      () => document.querySelector("video")?.paused && document.querySelector("video").currentTime < 0.1,
    );
  };

  await step("captions are added from a file, whose name says the language", async () => {
    await watch();
    await page.getByRole("button", { name: "Add captions" }).click();
    const dialog = page.getByRole("dialog", { name: "Add captions" });
    await dialog
      .getByTestId("caption-file")
      .setInputFiles({ name: "clip.en.srt", mimeType: "application/x-subrip", buffer: Buffer.from(SUBRIP) });
    const language = dialog.getByRole("combobox", { name: /^Language/ });
    assert.equal(await language.inputValue(), "en");
    await language.fill("this is none");
    await dialog.getByRole("button", { name: "Add" }).click();
    await dialog.getByRole("alert").filter({ hasText: "this is none" }).waitFor();
    await language.fill("English");
    await dialog.getByRole("checkbox", { name: /^On by default/ }).check();
    await dialog.getByRole("button", { name: "Add" }).click();
    await dialog.waitFor({ state: "detached" });
    await list.getByText("English", { exact: true }).waitFor();
    await list.getByText(/on by default/).waitFor();
    const [made] = (await known()).captions;
    assert.equal(made.language, "en");
    assert.equal(made.default, true);
  });

  await step("captions that are on by default are drawn above the controls", async () => {
    await watch();
    await playFromStart();
    await drawn("Said in the file");
    await picture("captions");
    const seek = page.getByRole("slider", { name: "Position" });
    // They move up when the controls appear, which takes a moment.
    await until(() => {
      const cue = document.querySelector("[data-testid=captions] .cue")?.getBoundingClientRect();
      const bar = document.querySelector("[role=slider][aria-label=Position]")?.getBoundingClientRect();
      return cue && bar && cue.height > 0 && cue.bottom <= bar.top;
    });
    assert.ok(await seek.isVisible());
  });

  await step("the key and the menu turn captions off and on, and the choice is kept", async () => {
    await page.keyboard.press("c");
    await drawn("");
    await page.getByRole("button", { name: "Captions: off" }).waitFor();
    await watch();
    await playFromStart();
    await page.getByRole("button", { name: "Captions: off" }).click();
    const menu = page.getByRole("menu", { name: /^Captions/ });
    assert.deepEqual(await menu.getByRole("menuitemradio").allInnerTexts(), ["Off", "English"]);
    await drawn("");
    await menu.getByRole("menuitemradio", { name: "English" }).click();
    await page.getByRole("button", { name: "Captions: English" }).waitFor();
    await drawn("Said in the file");
  });

  await step("captions are drawn in full screen", async () => {
    await page.keyboard.press("f");
    await until(() => document.fullscreenElement?.querySelector("[data-testid=captions] .cue"));
    await picture("captions-full-screen");
    await page.keyboard.press("f");
    await until(() => !document.fullscreenElement);
  });

  await step("a text that is refused is kept with the reason, and can be mended", async () => {
    await list.getByRole("button", { name: /^Edit text/ }).click();
    await text.waitFor();
    assert.match(await text.inputValue(), /^WEBVTT[\s\S]*Said in the file/);
    await text.fill("This is no WebVTT.");
    await editor.getByRole("button", { name: "Save" }).click();
    await editor.getByRole("alert").waitFor();
    assert.equal(await text.inputValue(), "This is no WebVTT.");
    await picture("caption-refused");
    await text.fill(EDITED);
    await editor.getByRole("button", { name: "Save" }).click();
    await editor.waitFor({ state: "detached" });
    await drawn("Said in the page");
  });

  await step("a text that is not saved is not lost without a question", async () => {
    await list.getByRole("button", { name: /^Edit text/ }).click();
    await text.fill(`${EDITED}\nNOTE not saved\n`);
    const question = page.getByRole("dialog", { name: "Discard your changes?" });
    await page.getByRole("link", { name: "Library", exact: true }).click();
    await question.getByRole("button", { name: "Keep editing" }).click();
    assert.match(await text.inputValue(), /not saved/);
    await editor.getByRole("button", { name: "Cancel" }).click();
    await question.getByRole("button", { name: "Discard" }).click();
    await editor.waitFor({ state: "detached" });
    assert.equal(new URL(page.url()).pathname, `/watch/${id}`);
  });

  await step("a file of any kind replaces captions", async () => {
    await list
      .getByTestId("caption-replacement")
      .setInputFiles({ name: "clip.srt", mimeType: "application/x-subrip", buffer: Buffer.from(SUBRIP) });
    await drawn("Said in the file");
  });

  await step("captions get a name and a note, and are downloaded", async () => {
    await list.getByRole("button", { name: /^Details/ }).click();
    const dialog = page.getByRole("dialog", { name: "Details of the captions" });
    await dialog.getByRole("textbox", { name: /^Name in the menu/ }).fill("All of it");
    await dialog.getByRole("checkbox", { name: /^For the hard of hearing/ }).check();
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.waitFor({ state: "detached" });
    await list.getByText("All of it", { exact: true }).waitFor();
    await list.getByText(/English, for the hard of hearing/).waitFor();
    await page
      .getByRole("button", { name: "Captions: All of it, English, for the hard of hearing" })
      .waitFor();
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      list.getByRole("link", { name: /^Download/ }).click(),
    ]);
    assert.match(download.suggestedFilename(), /\.en\.vtt$/);
  });

  await step("chapters are written one per line, and a wrong line is named", async () => {
    const chapters = page.getByTestId("chapter-editor");
    await chapters.getByRole("textbox").fill("0:00 Intro\nThe rest");
    await chapters.getByRole("button", { name: "Save chapters" }).click();
    await chapters.getByRole("alert").filter({ hasText: "Line 2" }).waitFor();
    await chapters.getByRole("textbox").fill("0:02.5 The rest\n0:00 Intro");
    await chapters.getByRole("button", { name: "Save chapters" }).click();
    await page.getByTestId("chapter-mark").waitFor({ state: "attached" });
    await until(
      (wanted) => document.querySelector("[data-testid=chapter-editor] textarea")?.value === wanted,
      "0:00 Intro\n0:02.5 The rest",
    );
    assert.deepEqual((await known()).chapters, [
      { start: 0, title: "Intro" },
      { start: 2.5, title: "The rest" },
    ]);
  });

  await step("the player shows chapters on its time line, and jumps to them", async () => {
    await watch();
    await playFromStart();
    await page.getByTestId("chapter").filter({ hasText: "Intro" }).waitFor();
    const bar = await page.getByRole("slider", { name: "Position" }).boundingBox();
    await page.mouse.move(bar.x + bar.width * 0.9, bar.y + bar.height / 2);
    await page.getByTestId("chapter-preview").filter({ hasText: "The rest" }).waitFor();
    await picture("chapters");
    await page.getByRole("button", { name: /^Chapters/ }).click();
    await page.getByRole("menuitemradio", { name: /^The rest/ }).click();
    await until(() => document.querySelector("video")?.currentTime >= 2.5);
    await page.getByTestId("chapter").filter({ hasText: "The rest" }).waitFor();
    const slider = page.getByRole("slider", { name: "Position" });
    assert.match(await slider.getAttribute("aria-valuetext"), /, The rest$/);
  });

  await step("the menu of sounds is there when there is more than one", async () => {
    const { renditions } = await known();
    const sounds = new Set(renditions.filter(({ kind }) => kind === "audio").map(({ track }) => track ?? 0))
      .size;
    const menu = page.getByRole("button", { name: /^Sound/ });
    if (sounds < 2) {
      assert.equal(await menu.count(), 0);
      return;
    }
    await menu.click();
    const last = page.getByRole("menuitemradio").last();
    const name = (await last.innerText()).split("\n")[0].trim();
    assert.equal(await page.getByRole("menuitemradio").count(), sounds);
    await last.click();
    await page.getByRole("button", { name: `Sound: ${name}` }).waitFor();
    await page.keyboard.press("0");
    await page.keyboard.press("k");
    await until(() => document.querySelector("video")?.currentTime > 1);
    await page.keyboard.press("k");
  });

  await step("on a phone the player's menus are whole", async () => {
    const size = page.viewportSize();
    await page.setViewportSize({ width: 390, height: 844 });
    await watch();
    await playFromStart();
    for (const name of [/^Captions/, /^Chapters/]) {
      await page.getByRole("button", { name }).click();
      const menu = page.getByRole("menu", { name });
      await menu.waitFor();
      const [inner, outer] = [await menu.boundingBox(), await page.getByTestId("player").boundingBox()];
      assert.ok(inner.x >= outer.x && inner.y >= outer.y, `${name} begins at ${inner.x}, ${inner.y}`);
      assert.ok(inner.x + inner.width <= outer.x + outer.width, `${name} ends at ${inner.x + inner.width}`);
      await picture(`phone-menu-${String(name).replace(/\W/g, "")}`);
      await page.keyboard.press("Escape");
    }
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 390, `${width} px wide`);
    await page.setViewportSize(size);
  });

  await step("captions and chapters are removed", async () => {
    await list.getByRole("button", { name: /^Delete/ }).click();
    const question = page.getByRole("dialog", { name: /^Delete the captions/ });
    await question.getByRole("button", { name: "Delete permanently" }).click();
    await list.waitFor({ state: "detached" });
    await page.getByRole("button", { name: /^Captions:/ }).waitFor({ state: "detached" });
    const chapters = page.getByTestId("chapter-editor");
    await chapters.getByRole("textbox").fill("");
    await chapters.getByRole("button", { name: "Save chapters" }).click();
    await page.getByRole("button", { name: /^Chapters/ }).waitFor({ state: "detached" });
    const { captions, chapters: left } = await known();
    assert.deepEqual([captions, left], [[], []]);
  });
}
