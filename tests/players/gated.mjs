// A content that is gated by a token, in the console in headless Chromium: its owner watches, others get
// the reason; access ends with the token, in the middle of playback, and returns with it.
//
//   node gated.mjs SERVER-URL SETUP-URL CONTENT-ID ANVIL-URL ERC721-ADDRESS [folder for pictures]
//
// The contract is the test's own, on which everyone may `mint(address,uint256)`.

import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';

import { encodeFunctionData, parseAbi } from 'viem';

import { call } from './chain.mjs';
import { ENDED, allowed, pause, plays, refused, stopped, time } from './gate.mjs';
import { alert, at, choose, fill, gone, open, press, see } from './people.mjs';
import { account, addEvmWallet } from './wallets.mjs';

const [base, setup, content, anvil, contract, pictures] = process.argv.slice(2);
if (!contract) {
  console.error('usage: node gated.mjs SERVER-URL SETUP-URL CONTENT-ID ANVIL-URL ERC721-ADDRESS [PICTURE-FOLDER]');
  process.exit(2);
}
const TICKET = 7n;
const abi = parseAbi([
  'function mint(address to, uint256 id)',
  'function transferFrom(address from, address to, uint256 id)',
]);
const { browser, complaints, picture, visitor, step } = await open(pictures);

const rpc = (method, params) => call(anvil, method, params);

/** Has an account call the contract; Anvil signs for all accounts, and makes a block of it at once. */
async function send(from, functionName, args) {
  await rpc('anvil_impersonateAccount', [from]);
  await rpc('anvil_setBalance', [from, '0xde0b6b3a7640000']);
  const data = encodeFunctionData({ abi, functionName, args });
  const hash = await rpc('eth_sendTransaction', [{ from, to: contract, data, gas: '0x7a120' }]);
  let receipt = null;
  while (!receipt) {
    receipt = await rpc('eth_getTransactionReceipt', [hash]);
    await setTimeout(20);
  }
  assert.equal(receipt.status, '0x1', `${functionName} went through`);
}

const watch = (page) => page.goto(`${base}/watch/${content}`);

const admin = await visitor();
const owner = await visitor();
const other = await visitor();
const [ownerAccount, otherAccount] = [account(2), account(3)];
await addEvmWallet(owner, { account: ownerAccount });
await addEvmWallet(other, { account: otherAccount });
try {
  await step('an admin gates the content by a token, and is told of a mistake where it is', async () => {
    await admin.goto(setup);
    await press(admin, 'Become the admin');
    await see(admin, 'You are the admin of this server');
    await watch(admin);
    await admin.locator('input[value=gated]').click();
    await press(admin, 'Add');
    await fill(admin, 'Contract', 'eip155:31337:0x1234');
    await press(admin, 'Save');
    await admin.waitForSelector('[data-rule=erc721] [role=alert]');
    await picture(admin, 'policy-mistake');
    await fill(admin, 'Contract', `eip155:31337:${contract}`);
    await press(admin, 'Save');
    await see(admin, 'Saved. Takes effect immediately.');
  });

  const preview = async (verdict) => {
    await fill(admin, 'Wallets of one person, one per line', ownerAccount.address);
    // A recent read of the chain may be repeated once.
    for (let found; found !== verdict; ) {
      await press(admin, 'Check');
      const shown = await admin.waitForSelector('[data-testid=preview] button:not(:disabled) ~ [role=status] [data-verdict]');
      found = await shown.evaluate((element) => element.dataset.verdict);
    }
  };
  await step('the preview says who would pass, and by which block', async () => {
    await preview('denied');
    await send(ownerAccount.address, 'mint', [ownerAccount.address, TICKET]);
    await preview('allowed');
    await see(admin, 'eip155:31337, block');
    await picture(admin, 'preview');
  });

  await step('who is not signed in is sent to sign in, and comes back to the reason', async () => {
    await watch(other);
    await refused(other, 'not-signed-in');
    await picture(other, 'not-signed-in');
    await other.locator('[data-testid=refused] ::-p-aria([name="Sign in"])').click();
    await at(other, '/sign-in');
    await choose(other);
    await at(other, `/watch/${content}`);
    await refused(other, 'not-entitled');
    await alert(other, /You do not have access to this video/);
    await picture(other, 'not-entitled');
  });

  await step('who owns the token watches', async () => {
    await owner.goto(`${base}/sign-in?next=${encodeURIComponent(`/watch/${content}`)}`);
    await choose(owner);
    await owner.waitForSelector('[data-testid=player] video');
    await press(owner, 'Play');
    await plays(owner, 1.5);
  });

  let stoppedAt;
  await step('when the token is given away, playback ends by itself', async () => {
    await send(ownerAccount.address, 'transferFrom', [ownerAccount.address, otherAccount.address, TICKET]);
    const given = Date.now();
    await refused(owner, ...ENDED);
    const took = Date.now() - given;
    await picture(owner, 'revoked');
    stoppedAt = await stopped(owner);
    assert.ok(stoppedAt > 1.5, `stopped at ${stoppedAt} s`);
    return `after ${took} ms`;
  });

  await step('who has it now watches', async () => {
    await allowed(other, content);
    await press(other, 'Try again');
    await plays(other, 0.5);
    await pause(other);
  });

  await step('when the token comes back, playback goes on at the same place', async () => {
    await press(owner, 'Try again');
    await refused(owner, ...ENDED);
    await send(otherAccount.address, 'transferFrom', [otherAccount.address, ownerAccount.address, TICKET]);
    await allowed(owner, content);
    await press(owner, 'Try again');
    await plays(owner, stoppedAt);
    const now = await time(owner);
    assert.ok(now >= stoppedAt && now < stoppedAt + 5, `from ${stoppedAt} s on, not at ${now} s`);
    await pause(owner);
  });

  await step('a purchase that the chain takes back counts no more', async () => {
    await send(otherAccount.address, 'mint', [otherAccount.address, TICKET + 1n]);
    await allowed(other, content);
    await watch(other);
    await press(other, 'Play');
    await plays(other, 0.5);
    await rpc('anvil_reorg', [1, []]);
    await rpc('anvil_mine', ['0x1']);
    const undone = Date.now();
    await refused(other, ...ENDED);
    return `after ${Date.now() - undone} ms`;
  });

  await step('the decisions say who was let in, and by which block', async () => {
    await watch(admin);
    await admin.locator('[data-testid=decisions] li button').click();
    await admin.waitForSelector('[data-testid=decisions] [data-verdict]');
    await picture(admin, 'decisions');
  });

  await step('a vault is named and taken away in the account', async () => {
    await other.goto(`${base}/account`);
    await fill(other, 'Address of a vault', '0x1234');
    await press(other, 'Add this vault');
    await alert(other, /0x1234/);
    await fill(other, 'Address of a vault', ownerAccount.address);
    await press(other, 'Add this vault');
    await see(other, 'The vault is added.');
    await other.reload();
    await other.waitForSelector('[data-testid=vaults] li');
    await picture(other, 'vaults');
    await other.locator('[data-testid=vaults] li button').click();
    await gone(other, '[data-testid=vaults] li');
  });

  await step('on a phone nothing is wider than the screen', async () => {
    for (const page of [admin, other]) {
      await page.setViewport({ width: 390, height: 844, isMobile: true, hasTouch: true });
      await watch(page);
      await page.waitForSelector(page === admin ? '[data-testid=preview]' : '[data-testid=refused]');
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 390, `${width} px wide`);
      const cut = await page.$$eval('[data-testid=refused]', (all) => all.some((one) => one.scrollWidth > one.clientWidth));
      assert.ok(!cut, 'the reason is cut off');
      await picture(page, page === admin ? 'phone-policy' : 'phone-refused');
    }
  });

  await step('the browser reported no errors', async () => assert.deepEqual(complaints, []));
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
