// WebSockets of a real browser: in headless Chromium two pages of the server's own talk in the example `chat`; a page of
// another origin on the same host, which the browser sends cookies for, gets none; a sign-out closes them.
//
//   node socket.mjs SERVER-URL SETUP-URL

import assert from 'node:assert/strict';
import { createServer } from 'node:http';

import { launch } from './browser.mjs';

const [base, setup] = process.argv.slice(2);
if (!setup) {
  console.error('usage: node socket.mjs SERVER-URL SETUP-URL');
  process.exit(2);
}
const address = `${base.replace('http:', 'ws:')}/chat`;

/** Opens a socket in a page, as `window.socket`, and answers `open` or the code it was closed with. */
const open = (page) =>
  page.evaluate(
    (url) =>
      new Promise((resolve) => {
        window.heard = [];
        window.socket = new WebSocket(url);
        window.socketClosed = new Promise((done) => {
          window.socket.onclose = ({ code }) => {
            done(code);
            resolve(code);
          };
        });
        window.socket.onmessage = ({ data }) => window.heard.push(data);
        window.socket.onopen = () => resolve('open');
      }),
    address,
  );
const post = (page, path, body) =>
  page.evaluate(
    async (to, text) =>
      (await fetch(to, { method: 'POST', headers: { 'content-type': 'application/json' }, body: text })).status,
    `/api/v1/auth/${path}`,
    JSON.stringify(body),
  );

const browser = await launch();
const elsewhere = createServer((_, answer) => answer.setHeader('content-type', 'text/html').end('<p>elsewhere'));
await new Promise((listening) => elsewhere.listen(0, 'localhost', listening));
try {
  const own = await browser.newPage();
  await own.goto(`${base}/health/live`);
  assert.equal(await open(own), 1006, 'not signed in');
  assert.equal(await post(own, 'setup', { code: setup.split('/').pop(), cookies: true }), 200);
  assert.equal(await open(own), 'open');

  const other = await browser.newPage();
  await other.goto(`http://localhost:${elsewhere.address().port}/`);
  assert.equal(await open(other), 1006, 'a page of another origin');
  await other.goto(`${base}/health/live`);
  assert.equal(await open(other), 'open');

  // Five megabytes to each of the two.
  await own.evaluate(async () => {
    for (let n = 0; n < 100; n += 1) {
      window.socket.send(String(n).padStart(50_000, '.'));
      while (window.heard.length < n - 50) await new Promise((later) => setTimeout(later, 1));
    }
  });
  for (const page of [own, other]) {
    await page.waitForFunction(() => window.heard.length === 100, { timeout: 20_000 });
    assert.ok(await page.evaluate(() => window.heard.every((text, n) => text.length === 50_000 && Number(text.replaceAll('.', '')) === n)));
  }

  assert.equal(await post(own, 'logout', {}), 204);
  for (const page of [own, other]) {
    assert.equal(await page.evaluate(() => window.socketClosed), 1008, 'the session has ended');
  }
  assert.equal(await open(own), 1006, 'and with it the right to open another one');
} finally {
  elsewhere.close();
  await browser.close();
}
