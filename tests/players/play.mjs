// Plays a content to its end with hls.js, dash.js, shaka-player and the browser's own HLS in
// headless Chromium, from its beginning, forcing quality switches on the way.
//
//   node play.mjs HLS-URL DASH-URL [--rate 1] [--timeout 300] [--only hls.js,dash.js,...]
//   node play.mjs SERVER-URL CONTENT-ID [...]
//
// With BEARER in the environment the content is not public: a player's first request carries these
// credentials, and everything else must carry the token of its address.
//
// Prints one JSON object and exits 1 if any player failed. Chromium: $CHROMIUM, else
// /usr/bin/chromium. The pages have an origin of their own, so that CORS is tested too.

import { parseArgs } from 'node:util';

import { launch } from './browser.mjs';
import { servePages } from './serve.mjs';

// The positions in a content, in seconds, where another quality is chosen.
const switchesAt = [2, 4.5, 7];

function usage(text) {
  console.error(`${text}\nusage: node play.mjs HLS-URL DASH-URL | SERVER-URL CONTENT-ID [--rate N] [--timeout S] [--only A,B]`);
  process.exit(2);
}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rate: { type: 'string', default: '1' },
      timeout: { type: 'string', default: '300' },
      only: { type: 'string', default: '' },
    },
  });
  if (positionals.length !== 2) usage('two arguments are needed');
  let [hls, dash] = positionals;
  if (!new URL(hls).pathname.endsWith('.m3u8')) {
    const content = `/v/${dash}/`;
    dash = new URL(`${content}manifest.mpd`, hls).href;
    hls = new URL(`${content}master.m3u8`, hls).href;
  }
  const plays = [
    { name: 'hls.js', page: 'hls', url: hls },
    { name: 'dash.js', page: 'dash', url: dash },
    { name: 'shaka-player (DASH)', page: 'shaka', url: dash },
    { name: 'shaka-player (HLS)', page: 'shaka', url: hls },
    { name: 'native (HLS)', page: 'native', url: hls },
  ];
  const only = values.only.split(',').filter(Boolean);
  const wanted = plays.filter((play) => only.length === 0 || only.some((name) => play.name.startsWith(name)));
  if (wanted.length === 0) usage(`--only ${values.only} names no player`);
  return { plays: wanted, rate: Number(values.rate), timeout: Number(values.timeout) * 1000 };
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Chooses the lowest and the highest quality in turn, different from the current one.
async function switchQuality(page, report, switches) {
  const due = switchesAt[switches.length];
  if (due === undefined || report.position < due || report.position < (switches.at(-1)?.at ?? -9) + 2) return;
  const levels = await page.evaluate(() => window.levels());
  if (levels.length < 2) return;
  const shown = report.heights.at(-1);
  const candidates = switches.length % 2 === 0 ? levels : levels.toReversed();
  const level = candidates.find((one) => one.height !== shown) ?? candidates[0];
  await page.evaluate((key) => window.choose(key), level.key);
  switches.push({ at: report.position, to: level.height });
}

// dash.js (5.2.1) does not always end a stream whose quality was replaced when all of it was loaded
// already: all frames are shown, and the last one stays forever. What was played is checked anyway.
function standsAtEnd({ duration, stalls }) {
  const last = stalls.at(-1);
  return duration !== null && last !== undefined && last.at >= duration - 0.1 && last.ms > 3_000;
}

async function play(browser, origin, { name, page: pageName, url }, { rate, timeout }) {
  const page = await browser.newPage();
  const failures = [];
  const outside = [];
  const host = new URL(url).host;
  page.on('response', (response) => {
    const target = new URL(response.url());
    if (target.protocol === 'data:' || target.protocol === 'blob:') return;
    if (target.host === host && response.status() >= 300 && response.status() !== 304) {
      failures.push(`${response.status()} ${target.pathname}`);
    }
  });
  page.on('requestfailed', (request) => {
    // A player may cancel a segment that it no longer needs.
    const reason = request.failure()?.errorText ?? '';
    if (reason !== 'net::ERR_ABORTED') failures.push(`${reason} ${request.url()}`);
  });
  page.on('request', (request) => {
    const target = new URL(request.url());
    if (target.protocol.startsWith('http') && target.host !== host && target.origin !== origin) outside.push(target.href);
  });
  const bearer = process.env.BEARER;
  if (bearer) {
    await page.setRequestInterception(true);
    page.on('request', (request) => {
      const target = new URL(request.url());
      if (target.host !== host || target.searchParams.has('t')) return void request.continue();
      if (target.pathname !== new URL(url).pathname) failures.push(`no token: ${target.href}`);
      request.continue({ headers: { ...request.headers(), authorization: `Bearer ${bearer}` } });
    });
  }
  page.on('console', (message) => {
    if (process.env.VERBOSE) console.error(`[${name}] ${message.text()}`);
  });
  const started = Date.now();
  const switches = [];
  await page.goto(`${origin}/pages/${pageName}.html`);
  await page.waitForFunction(() => window.start);
  await page.evaluate((...args) => void window.start(...args), url, rate);
  let report = await page.evaluate(() => window.report());
  let levels = [];
  while (!report.ended && !standsAtEnd(report) && report.errors.length === 0 && Date.now() - started < timeout) {
    await pause(100);
    report = await page.evaluate(() => window.report());
    await switchQuality(page, report, switches);
  }
  levels = await page.evaluate(() => window.levels()).catch(() => []);
  const errors = [...report.errors, ...failures];
  const heights = [...new Set(report.heights)];
  const demand = (holds, text) => holds || errors.push(text);
  demand(report.ended || standsAtEnd(report), `it did not reach the end: at ${report.position.toFixed(2)} s of ${report.duration}`);
  demand(report.startedAt !== null && report.startedAt < 1, `it started at ${report.startedAt} s`);
  if (report.duration !== null) {
    demand(report.played >= report.duration - 1, `${report.played.toFixed(2)} s of ${report.duration.toFixed(2)} s were played`);
  }
  demand(switches.length === 0 || heights.length > 1, `no other quality was shown: ${heights}`);
  demand(outside.length === 0, `it asked another server: ${outside}`);
  await page.close();
  return {
    player: name,
    url,
    ok: errors.length === 0,
    errors,
    warnings: report.warnings,
    ended: report.ended,
    started_at: report.startedAt,
    played_seconds: Number(report.played.toFixed(3)),
    duration: report.duration,
    levels: levels.map((level) => level.height),
    heights_seen: report.heights,
    switches,
    jumps: report.jumps,
    stalls: report.stalls,
    first_picture_ms: report.firstPictureMs,
    dropped_frames: report.droppedFrames,
    audio_bytes: report.audioBytes,
    video_bytes: report.videoBytes,
    wall_seconds: Number(((Date.now() - started) / 1000).toFixed(1)),
  };
}

const options = readArguments();
const server = await servePages();
const origin = `http://127.0.0.1:${server.address().port}`;
const browser = await launch();
const results = [];
try {
  for (const one of options.plays) results.push(await play(browser, origin, one, options));
} finally {
  await browser.close();
  server.close();
}
console.log(JSON.stringify({ ok: results.every((result) => result.ok), results }, null, 2));
process.exit(results.every((result) => result.ok) ? 0 : 1);
