// A push service that was not written here, `web-push-testing`: it checks the headers, the token and
// its signature, and opens what it is sent. `http_ece` opens it once more.
//
// On standard output, a line of JSON each: first {host}; for the line {subscribe: KEY} on standard
// input, a subscription for that public key of a server; then what comes for it: {read, opened, body,
// private_key, public_key, auth}, all but the first in base64url, or {refused}, with the reason. Ends
// with its input.

import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const ece = require("http_ece");
const { PushApiModel } = require("web-push-testing/src/PushApiModel.js");
const Service = require("web-push-testing/src/server.js");

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
// What the service tells people would be in between.
console.log = console.error;

class Listened extends PushApiModel {
  async handleNotification(client, headers, body) {
    try {
      await super.handleNotification(client, headers, body);
      const { subscriptionDh, auth } = this.subscriptions[client];
      const authSecret = Buffer.from(auth, "base64url");
      const opened = ece.decrypt(body, { version: "aes128gcm", privateKey: subscriptionDh, authSecret });
      const bytes = {
        opened,
        body,
        private_key: subscriptionDh.getPrivateKey(),
        public_key: subscriptionDh.getPublicKey(),
        auth: authSecret,
      };
      const texts = Object.entries(bytes).map(([name, value]) => [name, value.toString("base64url")]);
      say({ read: this.messages[client].at(-1), ...Object.fromEntries(texts) });
    } catch (error) {
      say({ refused: String(error) });
      throw error;
    }
  }
}

const model = new Listened();
const service = new Service(model, 0);
service.startServer();
service._server.once("listening", () => {
  const host = `http://127.0.0.1:${service._server.address().port}`;
  model.notifyUrl = `${host}/notify/`;
  say({ host });
});
const input = createInterface({ input: process.stdin });
input.on("line", async (line) => {
  const { subscribe } = JSON.parse(line);
  say(await model.subscribe({ userVisibleOnly: "true", applicationServerKey: subscribe }));
});
input.on("close", () => process.exit(0));
