// The console's sign-in in headless Chromium, with wallets that sign with known keys: the first
// admin, signing in and out, second wallets, refused signatures, sessions, keys and roles.
//
//   node wallet.mjs SERVER-URL SETUP-URL [folder for pictures]
//
// Chromium: $CHROMIUM, else /usr/bin/chromium. Exits 0 on success.

import assert from 'node:assert/strict';

import { alert, at, choose, fill, gone, me, open, press, see } from './people.mjs';
import { account, addEvmWallet, addSolanaWallet } from './wallets.mjs';

const [base, setup, pictures] = process.argv.slice(2);
if (!setup) {
  console.error('usage: node wallet.mjs SERVER-URL SETUP-URL [PICTURE-FOLDER]');
  process.exit(2);
}
const { browser, complaints, picture, visitor, step } = await open(pictures);
const admin = await visitor();
const person = await visitor();
let adminWallet;
let personWallet;
let principal;
try {
  await step('without a session nothing can be uploaded, and without a wallet nobody can sign in', async () => {
    const stranger = await visitor();
    await stranger.goto(base);
    await press(stranger, 'Sign in');
    await see(stranger, 'No wallet found in this browser');
    assert.equal(await stranger.$('[data-testid=file-picker]'), null);
    await picture(stranger, 'no-wallet');
    await stranger.browserContext().close();
  });

  await step('the one-time address makes an admin, and is gone from the page and its history', async () => {
    adminWallet = await addEvmWallet(admin, { account: account(1) });
    await admin.goto(setup);
    await picture(admin, 'setup');
    await press(admin, 'Become the admin');
    await see(admin, 'You are the admin of this server');
    assert.equal(await admin.evaluate(() => location.hash), '#/welcome');
  });

  await step('who signs out without a wallet is asked first', async () => {
    await admin.goto(`${base}/account`);
    await press(admin, 'Sign out');
    await press(admin, 'Stay signed in');
    assert.ok((await me(admin)).principal);
  });

  await step('who is the admin already is not offered to become it, and links a wallet', async () => {
    await admin.goto('about:blank');
    await admin.goto(setup);
    await see(admin, 'You are the admin of this server');
    await choose(admin);
    await admin.waitForSelector('[data-testid=file-picker]');
    const { roles, wallets } = await me(admin);
    assert.deepEqual([roles, wallets], [['viewer', 'creator', 'admin'], [`eip155:${account(1).address}`]]);
  });

  await step('the one-time address is good once', async () => {
    await person.goto(setup);
    await press(person, 'Become the admin');
    await alert(person, /It was used/);
  });

  await step('a token that is none is refused with the reason', async () => {
    const stranger = await visitor();
    await stranger.goto(`${base}/sign-in`);
    await stranger.locator('[data-testid=token-sign-in] summary').click();
    await stranger.locator('[data-testid=token-sign-in] input').fill('sgk_wrong');
    await press(stranger, 'Sign in with the token');
    await alert(stranger, /./);
    assert.equal((await me(stranger)).principal, null);
    await stranger.browserContext().close();
  });

  await step('signing in leads back to the page that asked for it', async () => {
    personWallet = await addEvmWallet(person, { account: account(2), chain: 31_337 });
    await person.goto(`${base}/account`);
    await at(person, '/sign-in');
    await picture(person, 'sign-in');
  });

  await step('a network that the server does not take is named, and switched', async () => {
    await choose(person);
    await alert(person, /31337.*Switch it to Ethereum/);
    await picture(person, 'wrong-chain');
    personWallet.rejects = true;
    await press(person, 'Switch the network');
    await alert(person, /You declined in the wallet/);
    assert.equal(personWallet.chain, 1);
  });

  await step('a signature of another wallet is refused with the reason', async () => {
    personWallet.rejects = false;
    personWallet.signs = account(3);
    await choose(person);
    await alert(person, /A different wallet signed/);
    personWallet.signs = null;
  });

  await step('a wallet signs in', async () => {
    await choose(person);
    await at(person, '/account');
    await see(person, account(2).address);
    const identity = await me(person);
    assert.deepEqual(identity.roles, ['viewer']);
    principal = identity.principal;
    assert.equal(await person.evaluate(() => document.cookie), '', 'no script sees the tokens');
  });

  await step('a second wallet is linked, and signs in to the same account', async () => {
    personWallet.account = account(4);
    await press(person, 'Link a wallet');
    await choose(person);
    await see(person, account(4).address);
    await picture(person, 'account');
    const other = await visitor();
    await addEvmWallet(other, { account: account(4) });
    await other.goto(`${base}/sign-in`);
    await choose(other);
    await at(other, '/');
    assert.equal((await me(other)).principal, principal);

    await person.reload();
    await press(person, 'Sign out of all others');
    await see(person, 'Signed out of one session.');
    await other.goto(`${base}/account`);
    await at(other, '/sign-in');
    await other.browserContext().close();
  });

  await step("a wallet of another user is not linked", async () => {
    personWallet.account = account(1);
    await press(person, 'Link a wallet');
    await choose(person);
    await alert(person, /already linked/);
    assert.equal((await me(person)).wallets.length, 2);
    await press(person, 'Cancel');
  });

  await step('a wallet of Solana signs in', async () => {
    const other = await visitor();
    const { address } = await addSolanaWallet(other, 9);
    await other.goto(`${base}/sign-in`);
    await choose(other, 'Virtual Solana wallet');
    await at(other, '/');
    assert.deepEqual((await me(other)).wallets, [`solana:${address}`]);
    await other.browserContext().close();
  });

  await step('an API key is shown once, works, and is revoked', async () => {
    await press(person, 'Create a key');
    await fill(person, 'Name', 'a program');
    await press(person, 'Create');
    const key = await person.waitForSelector('dialog[open] input[readonly]').then((field) => field.evaluate((f) => f.value));
    await picture(person, 'key');
    const asked = () => fetch(`${base}/api/v1/auth/me`, { headers: { authorization: `Bearer ${key}` } });
    assert.deepEqual((await (await asked()).json()).scopes, ['content:read']);
    await press(person, 'Done');
    await gone(person, 'dialog');
    assert.ok(!(await person.content()).includes(key));
    // The keys are the last section of a long page.
    await person.setViewport({ width: 1280, height: 1600 });
    await press(person, 'Revoke the key a program');
    await press(person, 'Revoke');
    await see(person, 'is revoked');
    assert.equal((await asked()).status, 401);
  });

  await step('an admin grants a role, and it counts at once', async () => {
    await admin.goto(`${base}/admin`);
    await admin.locator(`[data-principal="${principal}"] input:not(:checked)`).click();
    await see(admin, 'Role creator granted.');
    await admin.reload();
    await admin.locator('[data-testid=audit] ::-p-text(Role granted)').wait();
    await picture(admin, 'admin');
    await person.goto(base);
    await person.waitForSelector('[data-testid=file-picker]');
  });

  await step('tokens are renewed before they run out', async () => {
    const before = (await me(admin)).expires_at;
    await admin.waitForFunction(
      async (old) => (await (await fetch('/api/v1/auth/me')).json()).expires_at > old,
      { polling: 1_000 },
      before,
    );
  });

  await step('on a phone nothing is wider than the screen', async () => {
    await admin.setViewport({ width: 390, height: 844, isMobile: true, hasTouch: true });
    for (const path of ['/', '/account', '/admin', '/system']) {
      await admin.goto(base + path);
      await admin.waitForSelector('h1');
      // On a busy machine a page with live changes may not be idle for half a second; five are enough to load it.
      await admin.waitForNetworkIdle({ concurrency: 2, timeout: 5000 }).catch(() => {});
      const width = await admin.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 390, `${path} is ${width} px wide`);
      await picture(admin, `phone${path.replace('/', '-')}`);
    }
  });

  await step('signing out ends the session', async () => {
    await admin.goto(`${base}/account`);
    await press(admin, 'Sign out');
    await at(admin, '/');
    assert.equal((await me(admin)).principal, null);
    await gone(admin, '[data-testid=file-picker]');
  });

  await step('the browser reported no errors', async () => assert.deepEqual(complaints, []));
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
