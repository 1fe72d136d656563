// Two creators, a viewer and an admin at the console in headless Chromium: users cannot see, play or
// change others' contents, the owner shares and hands over a content, and quotas set by an admin are
// enforced.
//
//   node owners.mjs SERVER-URL SETUP-URL CLIP [folder for pictures, else $PICTURES]

import assert from 'node:assert/strict';

import { alert, at, choose, fill, gone, me, open, press, see } from './people.mjs';
import { account, addEvmWallet } from './wallets.mjs';

const [base, setup, clip, pictures = process.env.PICTURES] = process.argv.slice(2);
if (!clip) {
  console.error('usage: node owners.mjs SERVER-URL SETUP-URL CLIP [PICTURE-FOLDER]');
  process.exit(2);
}
const { browser, complaints, picture, visitor, step } = await open(pictures);

const admin = await visitor();
const people = [];
for (const seed of [2, 3, 4]) {
  const page = await visitor();
  await addEvmWallet(page, { account: account(seed) });
  people.push(page);
}
const [ann, bob, vic] = people;
let content;
const watch = (page) => page.goto(`${base}/watch/${content}`);
const row = (page) => page.waitForSelector(`[data-content="${content}"]`);
const absent = async (page) => {
  await watch(page);
  await see(page, 'Video not found');
};
/** The elements of a page that change a content. */
const controls = (page) =>
  page.$$eval('article button, article [data-testid=openness]', (all) =>
    all.map((it) => it.dataset.testid ?? it.textContent).filter((it) => /^(Edit|Delete|openness|Add captions)$/.test(it)),
  );
const plays = async (page) => {
  await watch(page);
  await page.waitForSelector('[data-testid=player] video');
};
/** Its owner, or an admin, sets who may watch it. */
const set = async (page, openness) => {
  await watch(page);
  await page.locator(`[data-testid=openness] input[value=${openness}]`).click();
  await press(page, 'Save');
  await see(page, 'Saved. Takes effect immediately.');
};

try {
  await step('an admin makes two of three people creators', async () => {
    await admin.goto(setup);
    await press(admin, 'Become the admin');
    await see(admin, 'You are the admin of this server');
    for (const page of people) {
      await page.goto(`${base}/sign-in`);
      await choose(page);
      await at(page, '/');
    }
    for (const page of [ann, bob]) {
      const path = `/api/v1/auth/principals/${(await me(page)).principal}/roles/creator`;
      const granted = await admin.evaluate(async (p) => (await fetch(p, { method: 'PUT' })).ok, path);
      assert.ok(granted, path);
    }
  });

  await step('what one of them uploads is seen by its owner and the admin, and by nobody else', async () => {
    await ann.goto(base);
    const picker = await ann.waitForSelector('[data-testid=file-picker]');
    await picker.uploadFile(clip);
    const ready = await ann.waitForSelector('[data-content][data-state=ready]');
    content = await ready.evaluate((item) => item.dataset.content);
    await ann.waitForSelector(`[data-content="${content}"] [data-openness=private]`);
    await admin.goto(base);
    await row(admin);
    await bob.goto(base);
    await bob.waitForSelector('[data-testid=file-picker]');
    await vic.goto(base);
    await see(vic, 'There are no videos yet.');
    for (const page of [bob, vic]) {
      assert.equal(await page.$('[data-content]'), null);
      await absent(page);
    }
  });

  await step('of a public one everybody plays, and only its owner and the admin can change it', async () => {
    await set(ann, 'public');
    for (const page of [bob, vic]) {
      await page.goto(base);
      await row(page);
      assert.equal(await page.$('[data-openness]'), null, 'for whom it is, is for its owner');
      await plays(page);
      assert.deepEqual(await controls(page), []);
    }
    await picture(bob, 'not-theirs');
    for (const page of [ann, admin]) {
      await plays(page);
      await page.waitForSelector('[data-testid=openness]');
      const all = await controls(page);
      for (const control of ['Edit', 'Delete', 'openness']) assert.ok(all.includes(control), `${control}: ${all}`);
    }
  });

  await step('an unlisted one is in no list but its owner’s, and whoever has the link plays it', async () => {
    await set(ann, 'unlisted');
    for (const page of [bob, vic]) {
      await page.goto(base);
      await page.waitForSelector('h1');
      await gone(page, '[data-content]');
      await plays(page);
    }
    const renamed = await ann.evaluate(async (path) => {
      const headers = { 'content-type': 'application/merge-patch+json' };
      return (await fetch(path, { method: 'PATCH', headers, body: '{"title":"Renamed meanwhile"}' })).status;
    }, `/api/v1/contents/${content}`);
    assert.equal(renamed, 200);
    await see(vic, 'Renamed meanwhile');
    await ann.goto(base);
    await ann.waitForSelector(`[data-content="${content}"] [data-openness=unlisted]`);
  });

  const shares = (page) => page.waitForSelector('[data-testid=shares]');
  const share = async (page, address) => {
    await watch(page);
    await shares(page);
    await fill(page, 'Their wallet or user ID', address);
    await page.locator('[data-testid=share] button[type=submit]').click();
    await page.waitForSelector(`[data-testid=shares] [data-with]`);
  };

  await step('whom it is shared with views it, then edits it, and nobody else does', async () => {
    await set(ann, 'private');
    await share(ann, account(3).address);
    await picture(ann, 'shared');
    await bob.goto(base);
    await row(bob);
    await bob.select('search label:first-of-type + label select', 'shared');
    await row(bob);
    await plays(bob);
    assert.deepEqual(await controls(bob), []);
    assert.equal(await bob.$('[data-testid=shares]'), null);
    await ann.select('[data-testid=shares] [data-with] select', 'edit');
    await see(ann, 'They can edit it.');
    await plays(bob);
    await bob.waitForSelector('[data-testid=openness]');
    const all = await controls(bob);
    assert.ok(all.includes('Edit') && all.includes('openness') && !all.includes('Delete'), `${all}`);
    assert.equal(await bob.$('[data-testid=shares]'), null, 'who edits it does not share it');
    await absent(vic);
  });

  await step('handed over it is the other one’s, who deletes it', async () => {
    await ann.locator('[data-testid=owner] button').click();
    await fill(ann, 'Wallet or user ID of the new owner', account(3).address);
    await picture(ann, 'hand-over');
    await ann.locator('[data-testid=hand-over] button[type=submit]').click();
    await see(ann, 'The video has a new owner.');
    await gone(ann, '[data-testid=shares]');
    await watch(bob);
    await shares(bob);
    await bob.waitForSelector(`[data-testid=shares] [data-with] [data-person="${(await me(ann)).principal}"]`);
    await watch(ann);
    await ann.waitForSelector('[data-testid=openness]');
    assert.ok(!(await controls(ann)).includes('Delete'));
    await press(bob, 'Delete');
    await press(bob, 'Delete permanently');
    await at(bob, '/');
    for (const page of [ann, bob, admin]) await absent(page);
  });

  await step('an admin bounds what one of them stores, who sees it, and stores no more', async () => {
    const { principal } = await me(bob);
    await admin.goto(`${base}/admin`);
    const user = `[data-principal="${principal}"]`;
    await admin.locator(`${user} ::-p-text(Quota)`).click();
    await admin.locator(`${user} input[name=stored]`).fill('0.0001');
    await admin.locator(`${user} form button[type=submit]`).click();
    await see(admin, 'The limits are saved.');
    await picture(admin, 'quota');
    await bob.goto(`${base}/account`);
    await bob.waitForFunction(
      () => /of 100 KB/.test(document.querySelector('[data-testid=usage] [data-kind=stored]')?.textContent),
    );
    await picture(bob, 'usage');
    await bob.goto(base);
    const picker = await bob.waitForSelector('[data-testid=file-picker]');
    await picker.uploadFile(clip);
    await alert(bob, /may store/);
  });

  await step('the browser reported no errors', async () => assert.deepEqual(complaints, []));
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
