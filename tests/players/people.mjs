// Users of the console: a browser each, and what they see, press and wait for.

import { join } from 'node:path';

import { launch } from './browser.mjs';

const PATIENCE_MS = 40_000;

/** Opens a browser; `pictures` is a folder for pictures, if they are wanted. */
export async function open(pictures) {
  const browser = await launch();
  const complaints = [];
  /** The requests of each page in progress. */
  const unanswered = new Map();
  const picture = (page, name) => pictures && page.screenshot({ path: join(pictures, `${name}.png`) });

  /** A page in a browser profile of its own. */
  async function visitor() {
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    // Each is a user at a separate screen: without this only one page of all has the focus, and a page
    // without it may not use the clipboard.
    await page.emulateFocusedPage(true);
    await page.setViewport({ width: 1280, height: 900 });
    const waiting = new Set();
    unanswered.set(page, waiting);
    page.on('request', (request) => waiting.add(request));
    for (const end of ['requestfinished', 'requestfailed']) page.on(end, (request) => waiting.delete(request));
    page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) {
        complaints.push(`console: ${message.text()}`);
      }
    });
    return page;
  }

  async function step(name, run) {
    try {
      const said = await run();
      console.log(`ok   ${name}${typeof said === 'string' ? ` (${said})` : ''}`);
    } catch (error) {
      console.log(`FAIL ${name}`);
      for (const [index, page] of (await browser.pages()).entries()) {
        for (const request of unanswered.get(page) ?? []) console.log(`waits for ${request.method()} ${request.url()}`);
        console.log(`--- ${page.url()}\n${await page.evaluate(() => document.body.innerText).catch(() => '')}`);
        await picture(page, `failed-${index}`)?.catch(() => {});
      }
      throw error;
    }
  }

  return { browser, complaints, picture, visitor, step };
}

export const see = (page, text) => page.locator(`::-p-text(${text})`).wait();

export const press = (page, name, role = 'button') =>
  page.locator(`::-p-aria([name="${name}"][role="${role}"])`).click();

export const fill = (page, name, text) =>
  page.locator(`::-p-aria([name="${name}"][role="textbox"])`).fill(text);

/**
 * Presses something that late answers may still move, until the page shows the effect: between finding
 * the place and the press it may have moved.
 */
export async function pressUntil(page, selector, text, tries = 4) {
  for (let left = tries; ; left--) {
    await page.locator(selector).click();
    const said = page.locator(`::-p-text(${text})`).setTimeout(5_000).wait();
    if (left === 1) return said;
    if (await said.then(() => true).catch(() => false)) return;
  }
}

/** Waits until nothing matches the selector any more. */
export const gone = (page, selector) => page.waitForFunction((s) => !document.querySelector(s), {}, selector);

/** Waits until the page is at this path. */
export const at = (page, path) => page.waitForFunction((p) => location.pathname === p, {}, path);

/** Waits for an alert with this text. */
export const alert = (page, pattern) =>
  page.waitForFunction(
    (source) => [...document.querySelectorAll('[role=alert]')].some((a) => new RegExp(source).test(a.textContent)),
    {},
    pattern.source,
  );

/** Presses the button of a wallet. */
export const choose = (page, name = 'Virtual wallet') =>
  page.locator(`[data-testid=wallets] ::-p-text(${name})`).click();

/** The server's identity of the user signed in on a page. */
export const me = (page) => page.evaluate(async () => (await fetch('/api/v1/auth/me')).json());
