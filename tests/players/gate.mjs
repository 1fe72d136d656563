// A content that is not public, as a person sees it: its player, or the refusal.

import assert from 'node:assert/strict';

/** The message for a viewer whose access was revoked. */
export const ENDED = ['revoked', 'not-entitled'];

/** Waits for a refusal of one of these kinds. */
export const refused = (page, ...kinds) =>
  page.waitForSelector(kinds.map((kind) => `[data-refusal="${kind}"]`).join(','));

/** Waits until the server knows the block that grants access. */
export const allowed = (page, content) =>
  page.waitForFunction(
    async (id) => (await (await fetch(`/api/v1/access/contents/${id}/me`)).json()).verdict === 'allowed',
    { polling: 200 },
    content,
  );

/** The server's decision: the verdict, and the kind of refusal. */
export const verdict = (page, content) =>
  page.evaluate(async (id) => {
    const { verdict, type } = await (await fetch(`/api/v1/access/contents/${id}/me`)).json();
    return [verdict, type];
  }, content);

/** Waits until it plays, past this second. */
export const plays = (page, from) =>
  page.waitForFunction(
    (start) => {
      const video = document.querySelector('[data-testid=player] video');
      return video && !video.paused && video.currentTime > start;
    },
    {},
    from,
  );

export const time = (page) => page.evaluate(() => document.querySelector('video').currentTime);

export const pause = (page) => page.evaluate(() => document.querySelector('video').pause());

/** The second at which a refusal stopped it. */
export async function stopped(page) {
  assert.ok(await page.evaluate(() => document.querySelector('video').paused));
  return page.evaluate(() => Number(document.querySelector('[data-testid=refused]').dataset.at));
}
