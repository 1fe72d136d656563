// The console in a real browser against a running server: uploads a file, waits until
// it can be watched, plays it, changes the quality, edits it, its captions and its chapters, and deletes it.
//
//   node console.e2e.mjs http://127.0.0.1:8080 clip.mp4 [folder for pictures]
//
// CHROMIUM names the browser (default /usr/bin/chromium). SETUP_URL is the one-time address that the
// server printed, if it has a sign-in. Exits 0 on success.
import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { chromium } from "playwright-core";
import { texts } from "./texts.mjs";

const [base, clip, pictures] = process.argv.slice(2);
if (!base || !clip) {
  console.error("usage: node console.e2e.mjs BASE_URL CLIP [PICTURE_FOLDER]");
  process.exit(2);
}
const ENCODING_MS = 120_000;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
});
let passed = 0;
let failed = 0;

async function step(name, run) {
  try {
    const value = await run();
    passed += 1;
    console.log(`ok   ${name}`);
    return value;
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}\n${error.stack}`);
    await picture("failed")?.catch(() => {});
    throw error;
  }
}

const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
const complaints = [];
page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
page.on("console", (message) => {
  // A missing file is no error of the page; a policy violation is.
  if (message.type() === "error" && !/Failed to load resource/.test(message.text())) {
    complaints.push(`console: ${message.text()}`);
  }
});
const picture = (name) => pictures && page.screenshot({ path: join(pictures, `${name}.png`) });
const video = page.locator("[data-testid=player] video");
const read = (what) => video.evaluate((element, key) => element[key], what);
const until = (check, what, timeout = 30_000) => page.waitForFunction(check, what, { timeout, polling: 100 });

try {
  const setup = process.env.SETUP_URL;
  if (setup) {
    await step("the one-time address makes an admin", async () => {
      await page.goto(setup);
      await page.getByRole("button", { name: "Become the admin" }).click();
      await page.getByRole("heading", { name: "You are the admin of this server" }).waitFor();
    });
  }

  await step("the library opens", async () => {
    await page.goto(base);
    await page.getByRole("heading", { name: "Library" }).waitFor({ state: "attached" });
    await page.getByRole("button", { name: "Choose files" }).waitFor();
  });

  const id = await step("a chosen file is uploaded and can be watched", async () => {
    const created = page.waitForResponse(
      (response) => response.request().method() === "POST" && new URL(response.url()).pathname === "/files",
    );
    await page.getByTestId("file-picker").setInputFiles(clip);
    const response = await created;
    assert.equal(response.status(), 201);
    const location = (await response.allHeaders()).location;
    const uploaded = location.split("/").at(-1);
    const row = page.locator(`[data-content="${uploaded}"]`);
    await page
      .locator(`[data-content="${uploaded}"]:is([data-state=playable], [data-state=ready])`)
      .waitFor({ timeout: ENCODING_MS });
    await picture("library");
    await row.getByRole("link").click();
    await page.waitForURL(`**/watch/${uploaded}`);
    return uploaded;
  });

  await step("nothing of the upload stays in the browser's storage", async () => {
    const left = await page.evaluate(() =>
      Object.keys(localStorage).filter((key) => key.startsWith("tus::")),
    );
    assert.deepEqual(left, []);
  });

  await step("the video plays", async () => {
    await video.waitFor();
    await page.keyboard.press("k");
    await until(() => document.querySelector("video")?.currentTime > 0.5);
    assert.equal(await read("paused"), false);
    await picture("playing");
  });

  await step("the keyboard pauses, jumps and changes the speed", async () => {
    await page.keyboard.press("Space");
    await until(() => document.querySelector("video")?.paused);
    await page.keyboard.press("0");
    await until(() => document.querySelector("video")?.currentTime < 0.1);
    await page.keyboard.press(">");
    assert.equal(await read("playbackRate"), 1.25);
    await page.keyboard.press("<");
    await page.keyboard.press("m");
    assert.equal(await read("muted"), true);
  });

  await step("the focus is seen on the buttons of the player's dialogs", async () => {
    await page.keyboard.press("?");
    const close = page.getByRole("dialog").getByRole("button", { name: "Close" });
    await close.focus();
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Tab");
    const contrast = await close.evaluate((button) => {
      const canvas = document.createElement("canvas").getContext("2d");
      const luminance = (color) => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) => {
          const share = part / 255;
          return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ring = luminance(getComputedStyle(button).outlineColor);
      const ground = luminance(getComputedStyle(button.closest("dialog")).backgroundColor);
      return (Math.max(ring, ground) + 0.05) / (Math.min(ring, ground) + 0.05);
    });
    assert.ok(contrast >= 3, `the ring has a contrast of ${contrast.toFixed(2)}`);
    await page.keyboard.press("Escape");
  });

  await step("every quality is there once it is ready", async () => {
    await page.locator("aside").getByText("Ready", { exact: true }).first().waitFor({ timeout: ENCODING_MS });
    const content = await (await fetch(`${base}/api/v1/contents/${id}`)).json();
    const rungs = content.renditions.filter((rendition) => rendition.kind === "video").length;
    await page.getByRole("button", { name: /^Quality/ }).click();
    const menu = page.getByRole("menu", { name: /^Quality/ });
    await until((count) => document.querySelectorAll("[role=menuitemradio]").length === count + 1, rungs);
    assert.equal(await menu.getByRole("menuitemradio", { disabled: true }).count(), 0);
    await picture("qualities");
  });

  await step("a chosen quality plays", async () => {
    const item = page.getByRole("menuitemradio").last();
    const name = (await item.innerText()).split("\n")[0].trim();
    await item.click();
    await page.keyboard.press("0");
    await page.keyboard.press("k");
    await until((wanted) => document.querySelector("[data-testid=quality]")?.textContent === wanted, name);
    const before = await read("currentTime");
    await until((time) => document.querySelector("video")?.currentTime > time + 0.3, before);
  });

  await step("the video plays to its end", async () => {
    await until(() => document.querySelector("video")?.ended, undefined, ENCODING_MS);
    await page.getByRole("button", { name: "Play again" }).waitFor();
  });

  await step("the title can be edited", async () => {
    const title = `Edited ${basename(clip)}`;
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByRole("textbox", { name: "Title" }).fill(title);
    await page.getByRole("textbox", { name: /^Tags/ }).fill("one, two");
    const form = page.locator("form").filter({ has: page.getByRole("textbox", { name: "Title" }) });
    await form.getByRole("button", { name: "Save" }).click();
    await page.getByRole("heading", { name: title }).waitFor();
    const content = await (await fetch(`${base}/api/v1/contents/${id}`)).json();
    assert.equal(content.title, title);
    assert.deepEqual(content.tags, ["one", "two"]);
  });

  await texts({ page, base, id, step, until, picture });

  await step("the system page shows the plugins and the job", async () => {
    await page.getByRole("link", { name: "System" }).click();
    await page.getByTestId("plugins").getByRole("heading", { name: "console" }).waitFor();
    await page.getByTestId("jobs").locator("[data-job=completed]").first().waitFor();
    await picture("system");
  });

  await step("on a phone it plays by touch and nothing is wider than the screen", async () => {
    const phone = await browser.newContext({
      viewport: { width: 390, height: 844 },
      hasTouch: true,
      isMobile: true,
      storageState: await page.context().storageState(),
    });
    const small = await phone.newPage();
    for (const path of ["/", "/system", `/watch/${id}`]) {
      await small.goto(base + path);
      await small.locator("[data-content], [data-testid=plugins], [data-testid=player]").first().waitFor();
      const width = await small.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 390, `${path} is ${width} px wide`);
    }
    await small.getByRole("button", { name: /^Play / }).tap();
    await small.waitForFunction(() => document.querySelector("video")?.currentTime > 0.3);
    await phone.close();
  });

  await step("the library can be sorted", async () => {
    await page.goto(`${base}/`);
    for (const sort of ["oldest", "title", "newest"]) {
      const listed = page.waitForResponse((answer) => answer.url().includes(`sort=${sort}`) && answer.ok());
      await page.getByLabel("Sort").selectOption(sort);
      await listed;
      await page.locator(`[data-content="${id}"]`).waitFor();
    }
  });

  await step("the content can be deleted", async () => {
    await page.goto(`${base}/watch/${id}`);
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("button", { name: "Delete permanently" }).click();
    await page.waitForURL((url) => url.pathname === "/");
    await page.locator(`[data-content="${id}"]`).waitFor({ state: "detached" });
    const gone = await fetch(`${base}/api/v1/contents/${id}`);
    assert.ok(gone.status === 404 || gone.status === 410, `status ${gone.status}`);
  });

  await step("the browser reported no errors", async () => assert.deepEqual(complaints, []));
} catch {
  // The step has reported it.
} finally {
  await browser.close();
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
