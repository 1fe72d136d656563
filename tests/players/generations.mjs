// Plays a content that is encoded again differently meanwhile, with hls.js and dash.js in headless
// Chromium:
//
//   node generations.mjs SERVER-URL CONTENT-ID
//
// Prints `playing` once both play, then the outcome of each, and exits 1 if one did not reach the end.
// The server may be unavailable for a while.

import { launch } from './browser.mjs';
import { servePages } from './serve.mjs';

const [server, content] = process.argv.slice(2);
const timeout = 240_000;
const nearEnd = 38;
const browsers = [];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// dash.js does not always end a stream: see play.mjs. Before this second only the edge of what there is is reached.
const standsAtEnd = ({ duration, position, stalls }) => {
  const last = stalls.at(-1);
  return position > nearEnd && position >= duration - 0.2 && last !== undefined && last.ms > 3_000;
};

// A browser each: a page that is covered by another one does not start playing.
async function begin(origin, name, address) {
  const browser = await launch();
  browsers.push(browser);
  const page = await browser.newPage();
  page.on('console', (message) => process.env.VERBOSE && console.error(`[${name}] ${message.text()}`));
  const fetched = new Set();
  page.on('response', (response) => {
    const { pathname } = new URL(response.url());
    if (response.ok() && /\.(mp4|m4s)$/.test(pathname)) fetched.add(pathname);
  });
  await page.goto(`${origin}/pages/${name}.html?patient`);
  await page.waitForFunction(() => window.start);
  await page.evaluate((url) => void window.start(url, 1), new URL(`/v/${content}/${address}`, server).href);
  return { name, page, fetched };
}

const reportOf = ({ page }) => page.evaluate(() => window.report());

async function end({ name, page, fetched }, began) {
  let report = await page.evaluate(() => window.report());
  while (!report.ended && !standsAtEnd(report) && report.errors.length === 0 && Date.now() - began < timeout) {
    await pause(200);
    report = await page.evaluate(() => window.report());
  }
  const anew = [...fetched].some((path) => /\.1\//.test(path));
  // hls.js reports it for a playlist that removes what it listed.
  if (report.warnings.some((text) => text.includes('ParsingError'))) report.errors.push('a playlist was refused');
  const ok = (report.ended || standsAtEnd(report)) && report.errors.length === 0 && anew && report.position > nearEnd;
  return { name, ok, anew, ...report };
}

const pages = await servePages();
const origin = `http://127.0.0.1:${pages.address().port}`;
let ok = false;
try {
  const began = Date.now();
  const players = [
    await begin(origin, 'hls', 'master.m3u8'),
    await begin(origin, 'dash', 'manifest.mpd'),
  ];
  for (const player of players) {
    while ((await reportOf(player)).position < 1 && Date.now() - began < timeout) await pause(50);
  }
  console.log('playing');
  const results = await Promise.all(players.map((player) => end(player, began)));
  console.log(JSON.stringify(results, null, 2));
  ok = results.every((result) => result.ok);
} finally {
  await Promise.all(browsers.map((browser) => browser.close()));
  pages.close();
}
process.exit(ok ? 0 : 1);
