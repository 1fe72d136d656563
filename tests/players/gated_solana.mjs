// Contents that are gated by holdings of wallets on Solana, in the console in headless Chromium: holders
// watch, others get the reason; access ends with the token, in the middle of playback, and returns with
// it. A rule over two chains states only what is known of both.
//
//   node gated_solana.mjs FACTS [folder for pictures]
//
// The facts are JSON, as `tests/tests/e2e/gated_solana.rs` writes them. The chain is the front of
// `tests/chains-solana`.

import assert from 'node:assert/strict';

import { call } from './chain.mjs';
import { ENDED, allowed, pause, plays, refused, stopped, time, verdict } from './gate.mjs';
import { alert, at, choose, fill, me, open, press, see } from './people.mjs';
import { account, addEvmWallet, addSolanaWallet } from './wallets.mjs';

const [text, pictures] = process.argv.slice(2);
if (!text) {
  console.error('usage: node gated_solana.mjs FACTS [PICTURE-FOLDER]');
  process.exit(2);
}
const { server, setup, cluster, seeds, coin, ticket, silent, limit_ms: limit } = JSON.parse(text);
const { browser, complaints, picture, visitor, step } = await open(pictures);
const SOLANA = 'Virtual Solana wallet';

/** Transfers an amount of a token to the other one. */
async function pass({ accounts }, from, to, amount) {
  const [source, destination] = [accounts[from.number], accounts[to.number]];
  await call(cluster, 'test_transfer', [source, destination, from.address, amount]);
}

/** A user with a wallet of each kind. */
async function person(number) {
  const page = await visitor();
  await addEvmWallet(page, { account: account(seeds[number]) });
  const { address } = await addSolanaWallet(page, seeds[number]);
  return { page, address, number };
}

const watch = (page, { content }) => page.goto(`${server}/watch/${content}`);

/** Gates a content by one condition, with the console's forms. */
async function gate(content, kind, fields) {
  await watch(admin, content);
  await admin.locator('input[value=gated]').click();
  await admin.locator('::-p-aria([name="Condition to add"][role="combobox"])').fill(kind);
  await press(admin, 'Add');
  for (const [name, value] of Object.entries(fields)) await fill(admin, name, value);
  await press(admin, 'Save');
  await see(admin, 'Saved. Takes effect immediately.');
}

/** Gates a content by any rule. */
async function rule({ content }, wanted) {
  const status = await admin.evaluate(
    async (id, policy) => {
      const headers = { 'content-type': 'application/json' };
      const options = { method: 'PUT', headers, body: JSON.stringify(policy) };
      return (await fetch(`/api/v1/access/contents/${id}`, options)).status;
    },
    content,
    { openness: 'gated', rule: wanted },
  );
  assert.equal(status, 200);
}

/** Waits until playback has ended after a transfer, and returns how long that took. */
async function ends(page, since) {
  await refused(page, ...ENDED);
  const took = Date.now() - since;
  assert.ok((await stopped(page)) > 0, 'in the middle');
  assert.ok(took <= limit, `it ended after ${took} ms, and had ${limit} ms`);
  return `after ${took} ms of at most ${limit}`;
}

const admin = await visitor();
const owner = await person(0);
const other = await person(1);
const byCoin = { solana_mint: { asset: coin.asset, at_least: coin.at_least } };
const bySilent = { erc721: { asset: silent } };
try {
  await step('an admin gates one content by a token of Token-2022, and one by a collection', async () => {
    await admin.goto(setup);
    await press(admin, 'Become the admin');
    await see(admin, 'You are the admin of this server');
    await gate(coin, 'solana_mint', { Asset: coin.asset, 'At least, in the smallest unit': coin.at_least });
    await gate(ticket, 'solana_collection', { Asset: ticket.asset });
    await picture(admin, 'solana-policy');
  });

  await step('who signs in with a wallet without the token is told what is missing', async () => {
    await watch(other.page, coin);
    await refused(other.page, 'not-signed-in');
    await other.page.locator('[data-testid=refused] ::-p-aria([name="Sign in"])').click();
    await at(other.page, '/sign-in');
    await choose(other.page, SOLANA);
    await at(other.page, `/watch/${coin.content}`);
    assert.deepEqual((await me(other.page)).wallets, [`solana:${other.address}`]);
    await refused(other.page, 'not-entitled');
    await alert(other.page, new RegExp(`it holds 0 of ${coin.at_least}, read at slot \\d+`));
    await picture(other.page, 'solana-not-entitled');
  });

  await step('who holds enough of it watches', async () => {
    const next = encodeURIComponent(`/watch/${coin.content}`);
    await owner.page.goto(`${server}/sign-in?next=${next}`);
    await choose(owner.page, SOLANA);
    await owner.page.waitForSelector('[data-testid=player] video');
    await press(owner.page, 'Play');
    await plays(owner.page, 1.5);
  });

  let stoppedAt;
  await step('when it holds less than enough, playback ends by itself', async () => {
    await pass(coin, owner, other, 1);
    const said = await ends(owner.page, Date.now());
    stoppedAt = await stopped(owner.page);
    await alert(owner.page, /it holds 1 of 2/);
    await picture(owner.page, 'solana-revoked');
    return said;
  });

  await step('when the token comes back, playback goes on at the same place', async () => {
    await press(owner.page, 'Try again');
    await refused(owner.page, ...ENDED);
    await pass(coin, other, owner, 1);
    const given = Date.now();
    await allowed(owner.page, coin.content);
    const known = Date.now() - given;
    await press(owner.page, 'Try again');
    await plays(owner.page, stoppedAt);
    const took = Date.now() - given;
    const now = await time(owner.page);
    assert.ok(now >= stoppedAt && now < stoppedAt + 5, `from ${stoppedAt} s on, not at ${now} s`);
    await pause(owner.page);
    return `known after ${known} ms, playing after ${took} ms`;
  });

  await step('who holds an NFT of the collection watches, until it is given away', async () => {
    await watch(other.page, ticket);
    await refused(other.page, 'not-entitled');
    await watch(owner.page, ticket);
    await press(owner.page, 'Play');
    await plays(owner.page, 1);
    await pass(ticket, owner, other, 1);
    return ends(owner.page, Date.now());
  });

  await step('who has the NFT now watches, until it goes back', async () => {
    await allowed(other.page, ticket.content);
    await press(other.page, 'Try again');
    await plays(other.page, 1);
    await pass(ticket, other, owner, 1);
    const said = await ends(other.page, Date.now());
    await allowed(owner.page, ticket.content);
    await press(owner.page, 'Try again');
    await plays(owner.page, 1.5);
    await pause(owner.page);
    return said;
  });

  await step('either of two chains is enough, while nobody can ask the other one', async () => {
    for (const { page } of [owner, other]) {
      await page.goto(`${server}/account`);
      await press(page, 'Link a wallet');
      await choose(page);
      await page.waitForFunction(
        async () => (await (await fetch('/api/v1/auth/me')).json()).wallets.length === 2,
        { polling: 200 },
      );
    }
    await rule(coin, { any: [bySilent, byCoin] });
    await watch(owner.page, coin);
    await press(owner.page, 'Play');
    await plays(owner.page, 0.5);
    await watch(other.page, coin);
    await refused(other.page, 'chain-unavailable');
    await alert(other.page, /Your access could not be checked/);
    await picture(other.page, 'solana-unknown');
  });

  await step('what nobody knows satisfies no `not`', async () => {
    await rule(coin, { all: [byCoin, { not: bySilent }] });
    await watch(owner.page, coin);
    await refused(owner.page, 'chain-unavailable');
    for (const wanted of [
      { not: bySilent },
      { not: { not: bySilent } },
      { any: [{ not: byCoin }, { not: bySilent }] },
    ]) {
      await rule(coin, wanted);
      assert.deepEqual(await verdict(owner.page, coin.content), ['unknown', 'chain-unavailable']);
    }
  });

  await step('the decisions say who was let in, and by which slot', async () => {
    await watch(admin, ticket);
    await admin.locator('[data-testid=decisions] li button').click();
    await admin.waitForSelector('[data-testid=decisions] [data-verdict]');
    await see(admin, ticket.asset.split('/')[0]);
  });

  await step('the browser reported no errors', async () => assert.deepEqual(complaints, []));
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
