// What a person sees of a content that is not for everybody: its player, or why there is none.

import assert from 'node:assert/strict';

/** What somebody is told who may watch no more. */
export const ENDED = ['revoked', 'not-entitled'];

/** Waits for a refusal of one of these kinds. */
export const refused = (page, ...kinds) =>
  page.waitForSelector(kinds.map((kind) => `[data-refusal="${kind}"]`).join(','));

/** Waits until the server knows the block by which somebody may watch. */
export const allowed = (page, content) =>
  page.waitForFunction(
    async (id) => (await (await fetch(`/api/v1/access/contents/${id}/me`)).json()).verdict === 'allowed',
    { polling: 200 },
    content,
  );

/** What the server says of whether somebody may watch: the verdict, and what kind of refusal it is. */
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
