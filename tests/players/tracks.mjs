// Chooses sounds and texts of a content in hls.js, dash.js, shaka-player and the browser's own HLS in
// headless Chromium, checks that they are played and shown, and plays to the end.
//
//   node tracks.mjs SERVER-URL CONTENT-ID [--only hls.js,dash.js,...]
//
// The content has two sounds, English at 440 Hz and German at 1000 Hz, and two texts in which second N of
// two of the time line reads `English N` and `Deutsch N`, from 1 on. The browser's own HLS may not
// support texts or sounds: what it lists is only reported, and `<track>` elements have to show the texts
// instead.
//
// Prints one JSON object and exits 1 if any player failed.

import { parseArgs } from 'node:util';

import { launch } from './browser.mjs';
import { servePages } from './serve.mjs';

const PATIENCE = 20_000;
const tones = { en: 440, de: 1000 };
const words = { en: 'English', de: 'Deutsch' };

const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: 'string', default: '' } } });
if (positionals.length !== 2) {
  console.error('usage: node tracks.mjs SERVER-URL CONTENT-ID [--only A,B]');
  process.exit(2);
}
const address = (name) => new URL(`/v/${positionals[1]}/${name}`, positionals[0]).href;
const [hls, dash] = [address('master.m3u8'), address('manifest.mpd')];
const plays = [
  { name: 'hls.js', page: 'hls', url: hls },
  { name: 'dash.js', page: 'dash', url: dash },
  { name: 'shaka-player (DASH)', page: 'shaka', url: dash },
  { name: 'shaka-player (HLS)', page: 'shaka', url: hls },
  { name: 'native (HLS)', page: 'native', url: hls },
].filter(({ name }) => !values.only || values.only.split(',').some((wanted) => name.startsWith(wanted)));

// BCP 47 and ISO 639-2 alike.
const short = (language) => ({ eng: 'en', deu: 'de', ger: 'de' })[language] ?? (language ?? '').split('-')[0];

async function until(what, holds, patience = PATIENCE) {
  const started = Date.now();
  for (;;) {
    const answer = await holds();
    if (answer.ok) return { ...answer, ms: Date.now() - started };
    if (Date.now() - started > patience) throw new Error(`${what}: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const heard = (page, language) =>
  until(`${language} is heard`, async () => {
    const tone = await page.evaluate(() => window.tone());
    return { ok: Math.abs(tone - tones[language]) < 15, tone };
  });

// Only the current text is shown.
const shown = (page, language) =>
  until(`${language} is shown`, () =>
    page.evaluate((word) => {
      const { position } = window.report();
      const cues = window.shown();
      return { ok: cues.length === 1 && cues[0] === `${word} ${Math.floor(position / 2) + 1}`, position, cues };
    }, words[language]),
  );

const report = (page) => page.evaluate(() => window.report());

function only(listed, language) {
  const found = listed.filter((one) => short(one.language) === language);
  if (found.length !== 1) throw new Error(`${found.length} are ${language}: ${JSON.stringify(listed)}`);
  return found[0];
}

async function chooseSound(page) {
  const sounds = await page.evaluate(() => window.sounds());
  if (short(sounds[0]?.language) !== 'en') throw new Error(`the default is not the first: ${JSON.stringify(sounds)}`);
  await heard(page, 'en');
  await page.evaluate((key) => window.hear(key), only(sounds, 'de').key);
  return { sounds, switched_ms: (await heard(page, 'de')).ms };
}

async function chooseText(page) {
  const texts = await page.evaluate(() => window.texts());
  for (const language of ['de', 'en']) {
    await page.evaluate((key) => window.read(key), only(texts, language).key);
    await shown(page, language);
  }
  return { texts };
}

// Another picture, and the chosen sound stays.
async function chooseQuality(page) {
  const levels = await page.evaluate(() => window.levels());
  const now = (await report(page)).heights.at(-1);
  const other = now && levels.find((level) => level.height !== now);
  if (!other) return { quality: null };
  await page.evaluate((key) => window.choose(key), other.key);
  await until('another quality is shown', async () => {
    const { heights } = await report(page);
    return { ok: heights.at(-1) === other.height, heights, wanted: other.height };
  });
  await heard(page, 'de');
  return { quality: [now, other.height] };
}

// The files that the playlists name, in `<track>` elements.
async function addTracks(page) {
  await page.evaluate(async (master) => {
    const video = document.querySelector('video');
    const text = await (await fetch(master)).text();
    for (const line of text.split('\n').filter((one) => one.includes('TYPE=SUBTITLES'))) {
      const [, uri] = line.match(/URI="([^"]+)"/);
      const playlist = new URL(uri, master);
      const lines = (await (await fetch(playlist)).text()).split('\n');
      const track = document.createElement('track');
      track.srclang = line.match(/LANGUAGE="([^"]+)"/)?.[1] ?? '';
      track.kind = 'subtitles';
      track.src = new URL(lines.find((one) => one && !one.startsWith('#')), playlist).href;
      video.append(track);
    }
  }, hls);
}

async function play(browser, origin, { name, page: pageName, url }) {
  const page = await browser.newPage();
  const native = pageName === 'native';
  const errors = [];
  const told = { player: name, url };
  const host = new URL(url).host;
  page.on('response', (response) => {
    const target = new URL(response.url());
    if (target.host === host && response.status() >= 400) errors.push(`${response.status()} ${target.pathname}`);
  });
  await page.goto(`${origin}/pages/${pageName}.html`);
  await page.waitForFunction(() => window.start);
  try {
    await page.evaluate(() => {
      document.querySelector('video').crossOrigin = 'anonymous';
    });
    await page.evaluate((address) => void window.start(address, 1), url);
    await until('it plays', async () => {
      const { position, errors: trouble } = await report(page);
      if (trouble.length > 0) throw new Error(trouble.join('; '));
      return { ok: position > 0.5, position };
    });
    // The browser's own HLS lists no texts.
    if (native && (await page.evaluate(() => window.texts())).length === 0) await addTracks(page);
    Object.assign(told, await chooseSound(page), await chooseText(page), await chooseQuality(page));
    await shown(page, 'en');
    // The browser's own HLS plays what it has buffered of the previous sound: the clip may end with that.
    if (!native) {
      await page.evaluate((key) => window.hear(key), told.sounds[0].key);
      told.back_ms = (await heard(page, 'en')).ms;
    }
    const { duration } = await report(page);
    await until(
      'it ends',
      async () => {
        const { ended, position, stalls, errors: trouble } = await report(page);
        if (trouble.length > 0) throw new Error(trouble.join('; '));
        return { ok: ended || position >= duration - 0.1, position, duration, stalls };
      },
      PATIENCE + duration * 1000,
    );
  } catch (error) {
    errors.push(error.message);
  }
  told.warnings = (await report(page)).warnings;
  await page.close();
  return { ...told, ok: errors.length === 0, errors };
}

const server = await servePages();
const origin = `http://127.0.0.1:${server.address().port}`;
const browser = await launch();
const results = [];
try {
  for (const one of plays) results.push(await play(browser, origin, one));
} finally {
  await browser.close();
  server.close();
}
const ok = results.length > 0 && results.every((result) => result.ok);
console.log(JSON.stringify({ ok, results }, null, 2));
process.exit(ok ? 0 : 1);
