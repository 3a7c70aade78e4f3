// The browsers, each with the push service that it is told to use, a profile in a directory of the
// test's, and nothing else that it could look for on a network.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { autopush } from "./autopush.mjs";
import { gcm } from "./gcm.mjs";

const LAUNCH_MS = 50_000;

async function firefox(executablePath, files) {
  const service = await autopush();
  const launch = () => puppeteer.launch({
    browser: "firefox",
    executablePath,
    timeout: LAUNCH_MS,
    userDataDir: join(files, "firefox"),
    extraPrefsFirefox: {
      "dom.push.serverURL": service.url.replace("http", "ws"),
      "dom.push.testing.allowInsecureServerURL": true,
      "dom.push.connection.enabled": true,
      "dom.push.retryBaseInterval": 100,
      // Notifications are allowed, and Firefox keeps them itself: there is no desktop to show them.
      "permissions.default.desktop-notification": 1,
      "alerts.useSystemBackend": false,
    },
  });
  return { service, launch };
}

async function chromium(executablePath, files) {
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => join(files, name));
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const request = ["req", "-x509", ...curve, "-keyout", key, "-out", cert, "-subj", "/CN=localhost"];
  execFileSync("openssl", request, { stdio: "pipe" });
  const service = await gcm({ key: readFileSync(key), cert: readFileSync(cert) });
  const args = [...service.flags, "--disable-gpu", "--disable-quic"];
  // As root there is no sandbox.
  if (process.getuid() === 0) args.push("--no-sandbox");
  const launch = async () => {
    const userDataDir = join(files, "chromium");
    // Over a pipe, so that it ends with this process.
    const browser = await puppeteer.launch({ executablePath, userDataDir, args, pipe: true, timeout: LAUNCH_MS });
    await browser.defaultBrowserContext().overridePermissions(service.site, ["notifications"]);
    return browser;
  };
  return { service, launch };
}

export const browsers = { firefox, chromium };
