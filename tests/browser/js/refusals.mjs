// The push services of the tests refuse what those of the browsers' makers refuse.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { endpoint } from "./endpoint.mjs";

const pair = await generateKeyPair("ES256", { extractable: true });
const point = async ({ publicKey }) => {
  const { x, y } = await exportJWK(publicKey);
  return Buffer.concat([Buffer.of(4), ...[x, y].map((half) => Buffer.from(half, "base64url"))]).toString("base64url");
};
const key = await point(pair);
const delivered = [];
const subscriptions = new Map([["here", { key, deliver: ({ body }) => delivered.push(body.toString()) }]]);
let service;
before(async () => (service = await endpoint(subscriptions)));
after(() => service.server.close());

async function authorization({ aud = service.url, exp = "12h", sub = "mailto:a@example.org", from = pair, k } = {}) {
  const token = new SignJWT({ sub }).setProtectedHeader({ alg: "ES256", typ: "JWT" }).setAudience(aud);
  return `vapid t=${await token.setExpirationTime(exp).sign(from.privateKey)}, k=${k ?? (await point(from))}`;
}

async function post({ vapid, path = "/push/here", method = "POST", body = "sealed", ...headers } = {}) {
  const said = { ttl: "60", "content-encoding": "aes128gcm", authorization: await authorization(vapid), ...headers };
  for (const [name, value] of Object.entries(said)) if (value === undefined) delete said[name];
  const response = await fetch(service.url + path, { method, headers: said, body });
  return [response.status, response.headers.get("location"), await response.text()];
}

test("what is right is taken and handed on", async () => {
  const [status, location] = await post({ urgency: "high", topic: "abc_-1" });
  assert.equal(status, 201);
  assert.match(location, /^http:\/\/127\.0\.0\.1:\d+\/m\//);
  assert.equal((await post({ body: "x".repeat(4096) }))[0], 201);
  assert.deepEqual(delivered.map((body) => body.length), [6, 4096]);
});

const other = await generateKeyPair("ES256", { extractable: true });
const wrong = {
  "no token": [401, { authorization: undefined }],
  "a token for another service": [401, { vapid: { aud: "https://push.example" } }],
  "a token that has expired": [401, { vapid: { exp: "-1m" } }],
  "a token that lives too long": [401, { vapid: { exp: "25h" } }],
  "a token of nobody who can be reached": [401, { vapid: { sub: "ops" } }],
  "a token signed with another key": [401, { vapid: { from: other, k: key } }],
  "another key": [403, { vapid: { from: other } }],
  "no TTL": [400, { ttl: undefined }],
  "a TTL that is no number": [400, { ttl: "1h" }],
  "an unknown urgency": [400, { urgency: "urgent" }],
  "a topic that is too long": [400, { topic: "x".repeat(33) }],
  "another encoding": [415, { "content-encoding": "aesgcm" }],
  "a body that is too large": [413, { body: "x".repeat(4097) }],
  "an unknown subscription": [410, { path: "/push/there" }],
  "another method": [405, { method: "PUT" }],
};
for (const [what, [status, request]] of Object.entries(wrong)) {
  test(`${what}: ${status}`, async () => {
    const before = delivered.length;
    const answer = await post(request);
    assert.equal(answer[0], status, answer[2]);
    assert.equal(service.posts.items.at(-1).status, status);
    assert.equal(delivered.length, before);
  });
}
