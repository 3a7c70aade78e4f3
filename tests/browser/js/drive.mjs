// Plays a device that is a browser: runs it beside its push service, as told on standard input, a line
// of JSON each ({"do": …}), each answered by a line ({"ok": …} or {"error": …}). Ends, and ends the
// browser, when standard input closes.
//
// Arguments: which browser, its program, a directory for its files.

import { createInterface } from "node:readline";
import { browsers } from "./browsers.mjs";
import { Feed } from "./feed.mjs";
import { site } from "./site.mjs";

// Less than that of the tests, so that they hear why.
const PATIENCE_MS = 55_000;
const FAREWELL_MS = 10_000;

const [name, program, files] = process.argv.slice(2);
const told = new Feed();
let heard = 0;
const page = await site((event) => told.push(event));
const { service, launch } = await browsers[name](program, files);
service.site = page;
let browser;

async function within(milliseconds, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

const commands = {
  async open() {
    browser = await launch();
    return browser.version();
  },
  async close() {
    await browser.close();
  },
  // Opens the page, subscribes, and closes the page. The service answers for the host that Chromium
  // has built in.
  async subscribe({ key }) {
    const tab = await browser.newPage();
    await tab.goto(page);
    const subscription = await tab.evaluate(async (key) => (await subscribe(key)).toJSON(), key);
    await tab.close();
    return { ...subscription, endpoint: service.url + new URL(subscription.endpoint).pathname };
  },
  // What the service worker tells next.
  async told() {
    heard += 1;
    return (await told.until(heard))[heard - 1];
  },
  async posts({ count }) {
    return service.posts.until(count);
  },
  async forget() {
    service.forget();
  },
};

async function answer(line) {
  const { do: command, ...argument } = JSON.parse(line);
  try {
    const ok = await within(PATIENCE_MS, commands[command](argument));
    console.log(JSON.stringify({ ok: ok ?? null }));
  } catch (error) {
    const posts = JSON.stringify(service.posts.items);
    console.log(JSON.stringify({ error: `${command}: ${error.stack}\nposted: ${posts}` }));
  }
}

async function end() {
  const child = browser?.process();
  await within(FAREWELL_MS, browser?.close()).catch(() => child.kill("SIGKILL"));
  process.exit();
}

let answered = Promise.resolve();
createInterface({ input: process.stdin })
  .on("line", (line) => (answered = answered.then(() => answer(line))))
  .on("close", end);
