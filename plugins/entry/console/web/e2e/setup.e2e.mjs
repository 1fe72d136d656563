// The first visits to an unconfigured server: a stranger's, the operator's who sets it up, and the
// operator's who was locked out.
//
//   node setup.e2e.mjs http://localhost:8080 SETUP_URL LINK_URL
//
// CHROMIUM names the browser (default /usr/bin/chromium). LINK_URL is created after SETUP_URL was
// printed, by `streamgate admin link`. Exits 0 on success.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [site, setup, link] = process.argv.slice(2);
if (!link) {
  console.error("usage: node setup.e2e.mjs SITE SETUP_URL LINK_URL");
  process.exit(2);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});

async function step(name, run) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(`${message.text()} ${message.location().url}`);
    });
    await run(page, complaints);
    console.log(`ok   ${name}`);
  } finally {
    await context.close();
  }
}

try {
  await step("a stranger's visit leaves no error in the browser", async (page, complaints) => {
    await page.goto(site);
    await page.getByRole("heading", { name: "Library" }).waitFor({ state: "attached" });
    await page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
    assert.deepEqual(complaints, []);
  });

  await step("another name of this machine leads to the public one", async (page) => {
    const other = site.replace("localhost", "127.0.0.1");
    assert.notEqual(other, site);
    await page.goto(`${other}/sign-in?next=%2Fsystem`);
    await page.waitForURL(`${site}/sign-in?next=%2Fsystem`);
  });

  await step("a newer address replaces the printed one", async (page) => {
    await page.goto(setup);
    await page.getByRole("button", { name: "Become the admin" }).click();
    await page.getByRole("alert").getByText("streamgate admin link").waitFor();
  });

  await step("the newer one signs the admin in, for good", async (page, complaints) => {
    await page.goto(link);
    await page.getByRole("heading", { name: "Sign in as the admin" }).waitFor();
    await page.getByRole("main").getByRole("button", { name: "Sign in", exact: true }).click();
    await page.getByRole("heading", { name: "You are the admin of this server" }).waitFor();
    await page.goto(`${site}/admin`);
    await page.getByText("One-time admin address created").first().waitFor();
    await page.reload();
    await page.getByText("One-time admin address created").first().waitFor();
    assert.deepEqual(complaints, []);
  });
} finally {
  await browser.close();
}
