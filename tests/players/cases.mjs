// Plays each of many contents to its end in hls.js, dash.js, shaka-player and the browser's own HLS in
// headless Chromium, at four times the speed.
//
//   node cases.mjs SERVER-URL FILE [--rate 4] [--only hls.js,dash.js,...] [--case NAME]
//
// FILE contains a JSON array of { name, id, duration, picture, sound }: seconds, and whether there is
// any. Of contents longer than a minute only the first and the last seconds are played.
//
// Prints a table, then the failures, and exits 1 if there are any; all contents are tried before.

import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

import { launch } from './browser.mjs';
import { servePages } from './serve.mjs';

// Seconds of a content.
const LONG = 60;
const FIRST = 6;
const LAST = 4;
const NEAR = 0.3;
// Milliseconds of a clock on the wall.
const PATIENCE = 30_000;
const STALL = 5_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rate: { type: 'string', default: '4' },
    only: { type: 'string', default: '' },
    case: { type: 'string', default: '' },
  },
});
if (positionals.length !== 2) {
  console.error('usage: node cases.mjs SERVER-URL FILE [--rate N] [--only A,B] [--case NAME]');
  process.exit(2);
}
const [base, list] = positionals;
const rate = Number(values.rate);
const cases = JSON.parse(await readFile(list, 'utf8')).filter(({ name }) => name.includes(values.case));
const players = [
  { name: 'hls.js', page: 'hls', file: 'master.m3u8' },
  { name: 'dash.js', page: 'dash', file: 'manifest.mpd' },
  { name: 'shaka DASH', page: 'shaka', file: 'manifest.mpd' },
  { name: 'shaka HLS', page: 'shaka', file: 'master.m3u8' },
  { name: 'native HLS', page: 'native', file: 'master.m3u8' },
].filter(({ name }) => !values.only || values.only.split(',').some((wanted) => name.startsWith(wanted)));

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const seconds = (number) => (number === null ? 'unknown' : `${number.toFixed(2)} s`);

/** Plays until `done` is true or something is wrong, and returns the last report. */
async function playUntil(page, duration, done) {
  const patience = PATIENCE + duration * 1000;
  const begun = Date.now();
  for (;;) {
    const report = await page.evaluate(() => window.report());
    const stands = report.stalls.some(({ ms }) => ms > STALL);
    if (done(report) || report.ended || stands || report.errors.length > 0 || Date.now() - begun > patience) return report;
    await pause(50);
  }
}

async function play(browser, origin, player, content) {
  const page = await browser.newPage();
  const wrong = [];
  const demand = (holds, text) => holds || wrong.push(text);
  const { host } = new URL(base);
  page.on('response', (response) => {
    const target = new URL(response.url());
    if (target.host === host && response.status() >= 400) wrong.push(`${response.status()} ${target.pathname}`);
  });
  page.on('requestfailed', (request) => {
    // A player may cancel a segment that it no longer needs.
    const reason = request.failure()?.errorText ?? '';
    if (reason !== 'net::ERR_ABORTED') wrong.push(`${reason} ${request.url()}`);
  });
  const begun = Date.now();
  try {
    await page.goto(`${origin}/pages/${player.page}.html`);
    await page.waitForFunction(() => window.start);
    const url = new URL(`/v/${content.id}/${player.file}`, base).href;
    await page.evaluate((...args) => void window.start(...args), url, rate);
    const { duration } = content;
    const seeks = duration > LONG;
    if (seeks) {
      const { position, ended } = await playUntil(page, FIRST, (report) => report.position >= FIRST);
      demand(position >= FIRST && !ended, `its first seconds end at ${seconds(position)}`);
      await page.evaluate((to) => {
        document.querySelector('video').currentTime = to;
      }, duration - LAST);
    }
    const report = await playUntil(page, seeks ? LAST : duration, () => false);
    const near = (value) => value !== null && Math.abs(value - duration) <= NEAR;
    wrong.push(...report.errors);
    demand(report.ended, 'no end');
    demand(near(report.position), `it is at ${seconds(report.position)} of ${seconds(duration)}`);
    demand(near(report.duration), `it lasts ${seconds(report.duration)}, not ${seconds(duration)}`);
    demand(report.startedAt !== null && report.startedAt < NEAR, `it begins at ${seconds(report.startedAt)}`);
    const wanted = seeks ? FIRST + LAST : duration;
    demand(report.played >= wanted - 2 * NEAR, `${seconds(report.played)} of ${seconds(wanted)} were played`);
    const jumps = report.jumps.filter(([, to]) => !seeks || Math.abs(to - (duration - LAST)) > 2);
    demand(jumps.length === 0, `it jumps: ${JSON.stringify(jumps)}`);
    const stalls = report.stalls.filter(({ ms }) => ms > STALL);
    demand(stalls.length === 0, `it stalls: ${JSON.stringify(stalls)}`);
    demand(!content.picture || (report.heights.length > 0 && report.videoBytes > 0), 'no picture');
    demand(!content.sound || report.audioBytes > 0, 'no sound');
    if (wrong.length > 0) wrong.push(...report.warnings.map((text) => `warning: ${text}`));
  } catch (error) {
    wrong.push(error.message);
  }
  await page.close();
  return { wrong, taken: (Date.now() - begun) / 1000 };
}

const width = Math.max(...cases.map(({ name }) => name.length), 4);
const row = (first, cells) => console.log([first.padEnd(width), ...cells.map((cell) => cell.padStart(10))].join('  '));
const server = await servePages();
const origin = `http://127.0.0.1:${server.address().port}`;
const browser = await launch();
const faults = [];
try {
  row('file', players.map(({ name }) => name));
  for (const content of cases) {
    const cells = [];
    for (const player of players) {
      const { wrong, taken } = await play(browser, origin, player, content);
      cells.push(wrong.length === 0 ? `${taken.toFixed(1)} s` : 'NO');
      if (wrong.length > 0) faults.push(`${content.name} in ${player.name}: ${wrong.join('; ')}`);
    }
    row(content.name, cells);
  }
} finally {
  await browser.close();
  server.close();
}
for (const fault of faults) console.log(fault);
process.exit(cases.length > 0 && faults.length === 0 ? 0 : 1);
