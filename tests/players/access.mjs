// Managing who may watch a content, in the console in headless Chromium: a rule is previewed before it is
// saved, access is revoked and granted again, subscriptions are granted and ended, and the viewer sees
// each of it.
//
//   node access.mjs SERVER-URL SETUP-URL CONTENT-ID [folder for pictures, else $PICTURES]

import assert from 'node:assert/strict';
import { join } from 'node:path';

import { alert, at, choose, fill, gone, me, open, press, pressUntil, see } from './people.mjs';
import { account, addEvmWallet } from './wallets.mjs';

const [base, setup, content, pictures = process.env.PICTURES] = process.argv.slice(2);
if (!content) {
  console.error('usage: node access.mjs SERVER-URL SETUP-URL CONTENT-ID [PICTURE-FOLDER]');
  process.exit(2);
}
const KITTIES = 'eip155:1/erc721:0x06012c8cf97bead5deae237070f9587f8e7a266d/771769';
const { browser, complaints, visitor, step } = await open(pictures);
const picture = (page, name) =>
  pictures && page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });

const watch = (page) => page.goto(`${base}/watch/${content}`);
const plays = (page) => page.waitForSelector('[data-testid=player] video');
const refused = (page, kind) => page.waitForSelector(`[data-refusal="${kind}"]`);
const select = async (page, name, value) => {
  const field = await page.waitForSelector(`::-p-aria([name="${name}"][role="combobox"])`);
  await field.select(value);
};
/** Picks a time; the field has parts of its own, in the language of the browser. */
const pickTime = (page, selector, time) =>
  page.$eval(
    selector,
    (field, value) => {
      Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, value);
      field.dispatchEvent(new Event('input', { bubbles: true }));
    },
    time,
  );
const ask = (page, path) => page.evaluate(async (p) => (await fetch(`/api/v1/access${p}`)).json(), path);
/** The preview's result for a place of the rule in the editor. */
const holds = (page, kind, truth) => page.waitForSelector(`[data-rule=${kind}] [data-holds=${truth}]`);

const admin = await visitor();
const person = await visitor();
await addEvmWallet(person, { account: account(2) });
let principal;
try {
  await step('a person signs in, and may not watch what is private', async () => {
    await admin.goto(setup);
    await press(admin, 'Become the admin');
    await see(admin, 'You are the admin of this server');
    await person.goto(`${base}/sign-in`);
    await choose(person);
    await at(person, '/');
    principal = (await me(person)).principal;
  });

  await step('what an API key with fewer rights is refused ends nothing of the session that made it', async () => {
    const { key, segment } = await admin.evaluate(async (id) => {
      const first = (text) => text.split('\n').find((line) => line && !line.startsWith('#'));
      let address = new URL(`/v/${id}/master.m3u8`, location).href;
      for (const _ of ['multivariant', 'media']) {
        address = new URL(first(await (await fetch(address)).text()), address).href;
      }
      const made = await fetch('/api/v1/auth/keys', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'looks', scopes: ['content:read'] }),
      });
      return { key: (await made.json()).key, segment: address };
    }, content);
    assert.equal((await fetch(segment)).status, 200);
    const headers = { authorization: `Bearer ${key}` };
    assert.equal((await fetch(`${base}/v/${content}/master.m3u8`, { headers })).status, 403);
    assert.equal((await fetch(segment)).status, 200);
  });

  await step('a rule is previewed part by part before it is saved', async () => {
    await watch(admin);
    await admin.locator('input[value=gated]').click();
    await select(admin, 'How these conditions combine', 'all');
    for (const kind of ['role', 'subscription']) {
      await select(admin, 'Condition to add', kind);
      await press(admin, 'Add');
    }
    await fill(admin, 'Plan', 'gold');
    await see(admin, 'which is not saved yet');
    await fill(admin, 'Wallets of one person, one per line', account(2).address);
    await press(admin, 'Check');
    await admin.waitForSelector('[data-testid=preview] [data-verdict=denied]');
    await holds(admin, 'all', 'no');
    await holds(admin, 'role', 'yes');
    await holds(admin, 'subscription', 'no');
    await see(admin, 'a subscription of gold: missing');
    await picture(admin, 'preview');
    assert.equal((await ask(admin, `/contents/${content}`)).openness, 'private');
    const { items } = await ask(admin, `/decisions?content=${content}`);
    assert.ok(items.every(({ finding }) => finding === null), 'nothing was decided by a rule');
  });

  await step('a preview is out of date as soon as the rule is changed, and shows mistakes at their place', async () => {
    await fill(admin, 'Plan', 'Gold!');
    await see(admin, 'The rule has changed since');
    assert.equal(await admin.$('[data-rule=role] [data-holds]'), null);
    await press(admin, 'Check');
    await admin.waitForSelector('[data-rule=subscription] [role=alert]');
    await fill(admin, 'Plan', 'gold');
    await select(admin, 'How these conditions combine', 'any');
    await press(admin, 'Check');
    await admin.waitForSelector('[data-testid=preview] [data-verdict=allowed]');
    await press(admin, 'Save');
    await see(admin, 'Saved. Takes effect immediately.');
    await see(admin, 'Tests the saved rule.');
    await watch(person);
    await plays(person);
  });

  await step('a mistake in revoking access is said by the server, and Escape changes nothing', async () => {
    await watch(admin);
    await fill(admin, 'User ID, as shown in the decisions below', 'somebody');
    await fill(admin, 'Reason, which they will see', 'shared the account');
    await admin.keyboard.press('Enter');
    await admin.waitForSelector('dialog[open]');
    assert.ok(await admin.evaluate(() => document.activeElement.closest('dialog') !== null), 'the focus is in it');
    await admin.keyboard.press('Escape');
    await gone(admin, 'dialog');
    await press(admin, 'Revoke');
    await press(admin, 'Revoke now');
    await alert(admin, /“somebody” is not the id of a principal/);
  });

  await step('access is revoked from a decision on, and its viewer is blocked with the reason', async () => {
    await admin.locator(`[data-testid=decisions] li button ::-p-text(${principal})`).click();
    await press(admin, `Revoke access of ${principal}`);
    await admin.waitForFunction((id) => document.activeElement.value === id, {}, principal);
    await fill(admin, 'Reason, which they will see', 'shared the account');
    await press(admin, 'Block them from this video until they are unblocked', 'checkbox');
    await press(admin, 'Revoke');
    await see(admin, 'They can no longer watch this video');
    await picture(admin, 'revoke');
    await press(admin, 'Revoke and block');
    await see(admin, 'Access revoked, and the user is blocked.');
    await admin.locator(`[data-testid=bars] ::-p-text(${principal})`).wait();
    await person.reload();
    await refused(person, 'revoked');
    await alert(person, /shared the account/);
  });

  await step('who was blocked is unblocked', async () => {
    await press(admin, `Unblock ${principal}`);
    await see(admin, 'They can watch again');
    await see(admin, 'None.');
    await press(person, 'Try again');
    await plays(person);
  });

  await step("everyone's access is revoked at once", async () => {
    await press(admin, 'Everyone', 'radio');
    await fill(admin, 'Reason, which they will see', 'a leak');
    await press(admin, 'Revoke');
    await see(admin, 'Everyone who is watching this video is interrupted.');
    await press(admin, 'Revoke now');
    await see(admin, 'Access revoked.');
    const { generation } = await ask(person, `/contents/${content}/me`);
    assert.ok(generation > 0);
  });

  await step('a content is for subscribers alone', async () => {
    await press(admin, 'Remove the condition “Role”');
    await press(admin, 'Save');
    await see(admin, 'Saved. Takes effect immediately.');
    await person.reload();
    await refused(person, 'not-entitled');
  });

  await step('the library says who may watch what, to who may change it', async () => {
    await admin.goto(base);
    await admin.waitForSelector(`[data-content="${content}"] [data-openness=gated]`);
    await picture(admin, 'library-access');
    await person.goto(base);
    await person.waitForSelector('h1');
    assert.equal(await person.$('[data-openness]'), null);
    await watch(person);
    await refused(person, 'not-entitled');
  });

  await step('a subscription is granted until a time, and its holder watches', async () => {
    await admin.goto(`${base}/admin`);
    await admin.locator(`[data-principal="${principal}"] ::-p-text(Subscriptions)`).click();
    await see(admin, 'No subscriptions.');
    await fill(admin, 'Plan', 'Gold!');
    await press(admin, 'Grant');
    await alert(admin, /A plan's name must be/);
    await fill(admin, 'Plan', 'gold');
    await pickTime(admin, '[data-testid=subscriptions] input[type=datetime-local]', '2096-12-24T18:00');
    await press(admin, 'Grant');
    await admin.locator('[data-plan=gold] ::-p-text(until Dec 24, 2096)').wait();
    await picture(admin, 'subscriptions');
    await press(person, 'Try again');
    await plays(person);
  });

  await step('a subscription is ended, and with it what it let in to', async () => {
    await press(admin, 'End the subscription to gold');
    await press(admin, 'End now');
    await see(admin, 'The subscription to gold has ended.');
    await see(admin, 'No subscriptions.');
    await person.reload();
    await refused(person, 'not-entitled');
  });

  await step('on a phone long names are cut in the middle, a tap copies them, and nothing is too wide', async () => {
    const owns = { openness: 'gated', rule: { erc721: { asset: KITTIES } } };
    await admin.evaluate(
      (id, body) =>
        fetch(`/api/v1/access/contents/${id}`, {
          method: 'PUT',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        }),
      content,
      owns,
    );
    for (const page of [admin, person]) {
      await page.browserContext().overridePermissions(base, ['clipboard-read', 'clipboard-sanitized-write']);
      await page.setViewport({ width: 390, height: 844, isMobile: true, hasTouch: true });
      await watch(page);
      if (page === admin) {
        await fill(page, 'Wallets of one person, one per line', account(2).address);
        await press(page, 'Check');
        await page.waitForSelector('[data-testid=preview] [data-verdict]');
        // The editor looks up the contract meanwhile, and its answer moves what is below.
        await see(page, 'Ethereum cannot be queried');
      }
      const place = page === admin ? '[data-testid=preview]' : '[data-testid=refused]';
      const name = await page.waitForSelector(`${place} button[title="${KITTIES}"]`);
      assert.equal(await name.evaluate((button) => button.firstChild.textContent), 'eip155:1/erc721:0x0601…266d/771769');
      await pressUntil(page, `${place} button[title="${KITTIES}"]`, 'Copied.');
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), KITTIES);
      await picture(page, page === admin ? 'phone-access' : 'phone-refused');
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 390, `${width} px wide`);
    }
    await admin.goto(`${base}/admin`);
    await admin.locator(`[data-principal="${principal}"] ::-p-text(Subscriptions)`).click();
    await see(admin, 'No subscriptions.');
    await picture(admin, 'phone-subscriptions');
    const width = await admin.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 390, `the administration is ${width} px wide`);
  });

  await step('an admin signs somebody out everywhere', async () => {
    await admin.setViewport({ width: 1280, height: 900 });
    await admin.locator(`[data-principal="${principal}"] ::-p-text(Sign out)`).click();
    await picture(admin, 'sign-out');
    await admin.locator('dialog ::-p-text(Sign out)').click();
    await see(admin, 'Signed out of one session.');
    assert.equal((await me(person)).status, 401);
    assert.ok((await me(admin)).principal);
  });

  await step('the browser reported no errors', async () => assert.deepEqual(complaints, []));
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
