// Talks to a running Worker as a stranger's client would: HTTP by Node's own fetch, the socket by
// `ws` in JSON and by Node's own WebSocket (a browser's interface) in CBOR, tokens by `jose`. Every
// answer and every frame is held against the documents that the Worker serves. Long, because all of it is one
// conversation with one server, by one set of checks.
//
// Arguments: the Worker's URL. In the environment: TOKEN_KEY and ADMIN_SECRET. On standard input: the text messages
// that the Worker sends, a line of JSON each.

import assert from "node:assert/strict";
import { createECDH, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { Encoder } from "cbor-x";
import * as cborg from "cborg";
import { jwtVerify } from "jose";
import { WebSocket as Ws } from "ws";
import { answers, asyncapi, inCbor, inJson, openapi, socket } from "./documents.mjs";

const [url] = process.argv.slice(2);
const wsUrl = `${url.replace(/^http/, "ws")}/v1/socket`;

const texts = [];
const waiting = [];
createInterface({ input: process.stdin }).on("line", (line) => {
  texts.push(JSON.parse(line));
  waiting.splice(0).forEach((look) => look());
});

async function codeFor(number) {
  for (;;) {
    const index = texts.findIndex(({ to }) => to === number);
    if (index >= 0) return texts.splice(index, 1)[0].text.match(/\b\d{6}\b/)[0];
    await new Promise((resolve) => waiting.push(resolve));
  }
}

// One request, and its answer as openapi.json describes it.
async function call(method, path, { token, body, headers, status = 200 } = {}) {
  const response = await fetch(url + path, {
    method,
    headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers },
    body: typeof body === "object" ? JSON.stringify(body) : body,
  });
  const text = await response.text();
  const wrong = answers(method, path.split("?")[0], response, text);
  assert.equal(wrong, null, `${method} ${path}: ${response.status} ${text}: ${wrong}`);
  assert.equal(response.status, status, `${method} ${path}: ${text}`);
  const bytes = response.headers.get("content-type") === "application/octet-stream";
  return text && (bytes ? text : JSON.parse(text));
}

async function refused(code, method, path, options) {
  const { error } = await call(method, path, options);
  assert.equal(error, code, `${method} ${path}`);
}

const identityKey = () => randomBytes(32).toString("base64");

async function register(number) {
  const sent = await call("POST", "/v1/registration/code", { body: { number }, status: 202 });
  assert.ok(sent.expires_at > Date.now());
  const identity_key = identityKey();
  const body = { number, code: await codeFor(number), name: "Télé", identity_key };
  return call("POST", "/v1/registration", { body, status: 201 });
}

// A socket of either kind, speaking frames as JSON values whatever travels.
class Socket {
  static async open(kind, { token }) {
    const self = new Socket();
    const { codec, make } = kinds[kind];
    self.codec = codec;
    self.frames = [];
    self.looks = [];
    self.told = new Set();
    self.pongs = 0;
    self.raw = make(token);
    self.raw.binaryType = "arraybuffer";
    self.raw.onmessage = ({ data }) => self.hear(data);
    self.closed = new Promise((resolve) => {
      self.raw.onclose = ({ code, reason }) => resolve({ code, reason });
    });
    await new Promise((resolve, reject) => {
      self.raw.onopen = resolve;
      self.raw.onerror = (event) => reject(event.error ?? new Error(event.message));
    });
    assert.equal(self.raw.protocol, codec.protocol);
    return self;
  }

  hear(data) {
    if (data === "pong") {
      this.pongs += 1;
    } else {
      const batch = this.codec.decode(data);
      assert.equal(socket("ServerBatch")(batch), null, JSON.stringify(batch));
      // `sent` may come again when the recipient's devices acknowledge.
      this.frames.push(...batch.filter(({ sent }) => !sent?.ids.every((id) => this.told.has(id))));
      batch.forEach(({ sent }) => sent?.ids.forEach((id) => this.told.add(id)));
    }
    this.looks.splice(0).forEach((look) => look());
  }

  say(...batch) {
    assert.equal(socket("DeviceBatch")(batch), null, JSON.stringify(batch));
    this.sayAnything(batch);
  }

  sayAnything(batch) {
    this.raw.send(this.codec.encode(batch));
  }

  // The next frame, which must be of that kind.
  async next(kind) {
    while (this.frames.length === 0) await this.heard(kind);
    const frame = this.frames.shift();
    assert.ok(kind in frame, `${kind} expected: ${JSON.stringify(frame)}`);
    return frame[kind];
  }

  async heard(what) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`nothing heard, ${what} expected`)), 20_000);
    });
    await Promise.race([new Promise((resolve) => this.looks.push(resolve)), late]);
    clearTimeout(timer);
  }

  async ping() {
    const before = this.pongs;
    this.raw.send("ping");
    while (this.pongs === before) await this.heard("pong");
  }

  async close() {
    this.raw.close(1000);
    return this.closed;
  }
}

const json = {
  protocol: "estafette.v1.json",
  encode: JSON.stringify,
  decode(data) {
    assert.equal(typeof data, "string", "JSON comes as text");
    return JSON.parse(data);
  },
};

const cborBy = (encode, decode) => ({
  protocol: "estafette.v1.cbor",
  encode: (batch) => encode(inCbor(batch, asyncapi.components.schemas.DeviceBatch)),
  decode(data) {
    assert.ok(data instanceof ArrayBuffer, "CBOR comes as bytes");
    return inJson(decode(new Uint8Array(data)), asyncapi.components.schemas.ServerBatch);
  },
});
const encoderX = new Encoder({ useRecords: false, tagUint8Array: false, int64AsNumber: true });
const cborX = cborBy((value) => encoderX.encode(value), (bytes) => encoderX.decode(bytes));
const cborG = cborBy((value) => cborg.encode(value), (bytes) => cborg.decode(bytes));

// After a close that comes from the object, workerd keeps the TCP connection for 10 seconds more.
const header = (protocol) => (token) =>
  new Ws(wsUrl, [protocol], { headers: { authorization: `Bearer ${token}` }, closeTimeout: 100 });
const offered = (protocol) => (token) => new WebSocket(wsUrl, [protocol, `estafette.token.${token}`]);

const kinds = {
  "ws, JSON": { codec: json, make: header(json.protocol) },
  "ws, cbor-x": { codec: cborX, make: header(cborX.protocol) },
  "browser's, JSON": { codec: json, make: offered(json.protocol) },
  "browser's, cborg": { codec: cborG, make: offered(cborG.protocol) },
};

const stream = () => randomBytes(8).toString("hex");
const message = (of, number) => of + number.toString(16).padStart(16, "0");
const base64 = (text) => Buffer.from(text).toString("base64");

async function opened(kind, user, waitingMessages = 0) {
  const self = await Socket.open(kind, user);
  const hello = await self.next("hello");
  assert.equal(hello.account, user.account);
  assert.equal(hello.device, user.device);
  assert.equal(hello.waiting, waitingMessages);
  assert.ok(Math.abs(hello.now - Date.now()) < 60_000);
  return self;
}

async function connected(kind, user) {
  const self = await opened(kind, user);
  await self.next("drained");
  return self;
}

// One message and its marks: sent, delivered, read.
async function exchange(from, to, sender, recipient, text) {
  const id = message(stream(), 1);
  from.say({ send: { id, to: recipient.account, body: base64(text) } });
  const deliver = await to.next("deliver");
  assert.deepEqual(
    { id: deliver.id, from: deliver.from, device: deliver.device, body: deliver.body },
    { id, from: sender.account, device: sender.device, body: base64(text) },
  );
  to.say({ ack: { ids: [id] } });
  assert.deepEqual((await from.next("sent")).ids, [id]);
  const delivered = await from.next("receipt");
  assert.deepEqual([delivered.ids, delivered.mark, delivered.from], [[id], "delivered", recipient.account]);

  const receipt = message(stream(), 1);
  to.say({ receipt: { id: receipt, to: sender.account, ids: [id], mark: "read" } });
  const read = await from.next("receipt");
  assert.deepEqual([read.id, read.ids, read.mark], [receipt, [id], "read"]);
  from.say({ ack: { ids: [delivered.id, read.id] } });
  assert.deepEqual((await to.next("sent")).ids, [receipt]);
}

async function conversation(kindA, kindB, alice, bob) {
  const a = await connected(kindA, alice);
  let b = await connected(kindB, bob);
  await Promise.all([a.ping(), b.ping()]);
  await exchange(a, b, alice, bob, "hello");
  await exchange(b, a, bob, alice, "你好 👋");

  // Bob is away; what waits for him comes in order.
  assert.equal((await b.close()).code, 1000);
  const of = stream();
  const body = base64("x".repeat(1000));
  const numbers = [1, 2, 3];
  a.say(...numbers.map((number) => ({
    send: { id: message(of, number), to: bob.account, body, ...(number > 1 && { chained: true }) },
  })));
  const safe = [];
  while (safe.length < numbers.length) safe.push(...(await a.next("sent")).ids);
  assert.deepEqual(safe.sort(), numbers.map((number) => message(of, number)));
  b = await opened(kindB, bob, numbers.length);
  for (const number of numbers) assert.equal((await b.next("deliver")).id, message(of, number));
  await b.next("drained");
  b.say({ ack: { ids: safe } });
  const delivered = [];
  while (delivered.length < numbers.length) {
    const receipt = await a.next("receipt");
    delivered.push(...receipt.ids);
    a.say({ ack: { ids: [receipt.id] } });
  }
  assert.deepEqual(delivered.sort(), safe);

  // What is wrong is refused, and the socket stays.
  a.say({ send: { id: message(stream(), 1), to: "+8881000000", body: "" } });
  assert.equal((await a.next("refused")).code, "unregistered");
  a.say({ send: { id: message(stream(), 2), to: bob.account, body: "", chained: true } });
  assert.equal((await a.next("refused")).code, "out_of_order");
  a.sayAnything([{ nonsense: {} }]);
  assert.deepEqual(await a.next("error"), { code: "unknown_frame", index: 0 });
  a.sayAnything({});
  assert.deepEqual(await a.next("error"), { code: "malformed" });
  a.sayAnything(Array(257).fill({ ack: { ids: [] } }));
  assert.deepEqual(await a.next("error"), { code: "too_many" });
  await a.ping();
  await Promise.all([a.close(), b.close()]);
  console.log(`${kindA} and ${kindB}: spoke`);
}

async function tokens(user) {
  const key = new TextEncoder().encode(process.env.TOKEN_KEY);
  const { payload, protectedHeader } = await jwtVerify(user.token, key, { algorithms: ["HS256"], issuer: "estafette" });
  assert.equal(payload.sub, user.account);
  assert.equal(payload.dev, user.device);
  assert.equal(payload.exp * 1000, user.expires_at);
  assert.equal(protectedHeader.typ, "JWT");
  const [head, claims, signature] = user.token.split(".");
  const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${claims}.`;
  await refused("token_missing", "GET", "/v1/devices", { status: 401 });
  await refused("token_invalid", "GET", "/v1/devices", { token: unsigned, status: 401 });
  await refused("token_invalid", "GET", "/v1/devices", { token: `${head}.${claims}.${signature.slice(1)}A`, status: 401 });
  const renewed = await call("POST", "/v1/token", { token: user.token });
  assert.equal(renewed.device, user.device);
  await jwtVerify(renewed.token, key, { algorithms: ["HS256"], issuer: "estafette" });
  console.log("jose takes the token");
}

async function requests(user) {
  const { token } = user;
  assert.deepEqual(await call("GET", "/v1/openapi.json"), openapi);
  assert.deepEqual(await call("GET", "/v1/asyncapi.json"), asyncapi);
  assert.equal((await call("GET", "/v1/health")).status, "ok");
  const { devices } = await call("GET", "/v1/devices", { token });
  assert.deepEqual(devices.map(({ id, name, current }) => ({ id, name, current })), [
    { id: user.device, name: "Télé", current: true },
  ]);
  const usage = await call("GET", "/v1/usage", { token });
  assert.ok(usage.requests > 0 && usage.spent > 0 && usage.spent < usage.budget, JSON.stringify(usage));

  const wrong = { number: "+33612345678", code: "12345", name: "", identity_key: identityKey() };
  await refused("malformed", "POST", "/v1/registration/code", { body: "{", status: 400 });
  await refused("invalid_number", "POST", "/v1/registration/code", { body: { number: "0612" }, status: 400 });
  await refused("too_large", "POST", "/v1/registration/code", { body: " ".repeat(100_000), status: 413 });
  await refused("rate_limited", "POST", "/v1/registration/code", { body: { number: user.account }, status: 429 });
  await refused("wrong_code", "POST", "/v1/registration", { body: wrong, status: 403 });
  await refused("code_expired", "POST", "/v1/registration", { body: { ...wrong, code: "123456", number: "+8881000001" }, status: 403 });
  await refused("malformed", "POST", "/v1/registration", { body: { ...wrong, identity_key: "" }, status: 400 });
  await refused("too_large", "POST", "/v1/registration", { body: { ...wrong, name: "x".repeat(65) }, status: 413 });
  await refused("not_found", "GET", "/v1/nothing", { status: 404 });
  await refused("not_found", "DELETE", "/v1/devices/0000000000000000", { token, status: 404 });
  await refused("method_not_allowed", "PUT", "/v1/devices", { token, status: 405 });
  await refused("upgrade_required", "GET", "/v1/socket", { token, status: 426 });
  console.log("HTTP is as openapi.json says");
}

// Devices come to the account until it has five; the first of them is named, and all go.
async function linking({ account, device, token }) {
  const { link, secret, expires_at } = await call("POST", "/v1/links", { status: 201 });
  assert.ok(expires_at > Date.now());
  const path = `/v1/links/${link}`;
  await call("GET", path, { token: secret, status: 202 });
  await refused("token_missing", "GET", path, { status: 401 });
  await refused("link_expired", "GET", path, { token: `${secret.slice(1)}z`, status: 403 });
  await refused("not_found", "GET", `${path}0`, { token: secret, status: 404 });
  await refused("method_not_allowed", "POST", path, { status: 405 });

  const body = { link, name: "Salon", identity_key: identityKey() };
  const approve = (code, wrong, status) => refused(code, "POST", "/v1/devices", { token, body: wrong, status });
  await refused("token_missing", "POST", "/v1/devices", { body, status: 401 });
  await approve("link_expired", { ...body, link: "0".repeat(40) }, 403);
  await approve("malformed", { ...body, identity_key: "" }, 400);
  await approve("too_large", { ...body, name: "x".repeat(65) }, 413);
  const linked = await call("POST", "/v1/devices", { token, body, status: 201 });
  assert.deepEqual(await call("POST", "/v1/devices", { token, body, status: 201 }), linked, "the same again");
  const granted = await call("GET", path, { token: secret });
  assert.deepEqual([granted.account, granted.device], [account, linked.device]);

  // Each device names itself; the primary one all.
  const own = `/v1/devices/${linked.device}`;
  const name = (as, of, body, status = 204) => call("PATCH", of, { token: as, body, status });
  await name(granted.token, own, { name: "Bureau" });
  await name(token, own, { name: "Küche" });
  const { devices } = await call("GET", "/v1/devices", { token: granted.token });
  const shown = devices.map(({ id, name, current, primary = false }) => [id, { name, current, primary }]);
  assert.deepEqual(new Map(shown), new Map([
    [device, { name: "Télé", current: false, primary: true }],
    [linked.device, { name: "Küche", current: true, primary: false }],
  ]));
  const rename = (code, as, of, wrong, status) => refused(code, "PATCH", of, { token: as, body: wrong, status });
  await rename("not_primary", granted.token, `/v1/devices/${device}`, { name: "" }, 403);
  await refused("not_primary", "DELETE", `/v1/devices/${device}`, { token: granted.token, status: 403 });
  await rename("not_found", token, "/v1/devices/0000000000000000", { name: "" }, 404);
  await rename("malformed", token, own, {}, 400);
  await rename("too_large", token, own, { name: "x".repeat(65) }, 413);
  await rename("token_missing", undefined, own, { name: "" }, 401);

  const others = [];
  const another = async () => {
    const { link, secret } = await call("POST", "/v1/links", { status: 201 });
    return { secret, body: { link, name: "", identity_key: identityKey() } };
  };
  while (others.length < 3) {
    const { body } = await another();
    others.push((await call("POST", "/v1/devices", { token, body, status: 201 })).device);
  }
  const sixth = await another();
  await approve("too_many_devices", sixth.body, 409);
  await call("GET", `/v1/links/${sixth.body.link}`, { token: sixth.secret, status: 202 });
  for (const id of others) await call("DELETE", `/v1/devices/${id}`, { token, status: 204 });
  await call("DELETE", own, { token: granted.token, status: 204 });
  await refused("device_removed", "GET", "/v1/devices", { token: granted.token, status: 401 });
  console.log("devices are linked, named and removed");
}

async function people({ token }, other) {
  const everyone = { last_seen: "everyone", online: "everyone", read_marks: "everyone" };
  const privacy = { ...everyone, last_seen: "nobody", online: "contacts", number: "contacts" };
  const put = (path, body) => call("PUT", path, { token, body, status: 204 });
  const wrong = (code, path, body, status) => refused(code, "PUT", path, { token, body, status });
  assert.deepEqual(await call("GET", "/v1/privacy", { token }), everyone);
  await put("/v1/privacy", privacy);
  assert.deepEqual(await call("GET", "/v1/privacy", { token }), privacy);
  await wrong("malformed", "/v1/privacy", { ...privacy, online: "friends" }, 400);
  await wrong("too_large", "/v1/privacy", " ".repeat(4097), 413);
  await refused("token_missing", "GET", "/v1/privacy", { status: 401 });
  await refused("token_missing", "PUT", "/v1/privacy", { body: everyone, status: 401 });
  await refused("method_not_allowed", "DELETE", "/v1/privacy", { token, status: 405 });
  assert.deepEqual(await call("GET", "/v1/privacy", { token }), privacy, "what is refused changes nothing");
  await put("/v1/privacy", {});
  assert.deepEqual(await call("GET", "/v1/privacy", { token }), everyone);

  const carol = "+34612345678";
  const contact = { contact: true, blocked: false, except: ["last_seen", "online"] };
  const known = [
    { number: other.account, person: { contact: false, blocked: true } },
    { number: carol, person: contact },
  ].sort((a, b) => a.number.slice(1) - b.number.slice(1));
  assert.deepEqual(await call("GET", "/v1/people", { token }), { people: [] });
  await put(`/v1/people/${other.account}`, { blocked: true });
  await put(`/v1/people/${encodeURIComponent(carol)}`, contact);
  assert.deepEqual(await call("GET", "/v1/people", { token }), { people: known });
  await wrong("malformed", `/v1/people/${carol}`, { except: ["typing"] }, 400);
  await wrong("too_large", `/v1/people/${carol}`, " ".repeat(4097), 413);
  for (const none of ["34612345678", "+0612345678", "carol"]) {
    await wrong("not_found", `/v1/people/${none}`, {}, 404);
  }
  await refused("token_missing", "PUT", `/v1/people/${carol}`, { body: {}, status: 401 });
  await refused("token_missing", "GET", "/v1/people", { status: 401 });
  await refused("method_not_allowed", "GET", `/v1/people/${carol}`, { token, status: 405 });
  await put(`/v1/people/${carol}`, {});
  await put(`/v1/people/${other.account}`, { contact: false });
  assert.deepEqual(await call("GET", "/v1/people", { token }), { people: [] }, "of whom nothing is said is forgotten");
  console.log("privacy and people are as openapi.json says");
}

async function profiles({ account, token }, other) {
  const nothing = { version: 0, name: "", about: "" };
  const shown = `/v1/profiles/${account}`;
  const seen = (path, options) => call("GET", path, { token: other.token, ...options });
  const texts = { name: "Zoé", about: "In the hills\nuntil May", picture: "what opens it" };
  const put = (body, status = 204) => call("PUT", "/v1/profile", { token, body, status });
  assert.deepEqual(await call("GET", "/v1/profile", { token }), nothing);
  assert.deepEqual(await seen(shown), nothing);
  await put(texts);
  await put({ ...texts, version: 9, unknown: true });
  assert.deepEqual(await seen(encodeURI(shown)), { version: 1, ...texts });
  await seen(shown, { headers: { "if-none-match": '"1"' }, status: 304 });
  assert.equal((await put({ name: "two\nlines" }, 400)).error, "malformed");
  assert.equal((await put({ name: "é".repeat(51) }, 413)).error, "too_large");
  const headers = { "content-type": "application/octet-stream" };
  await call("PUT", "/v1/profile/picture", { token, body: "sealed bytes", headers, status: 204 });
  assert.equal(await seen(`${shown}/picture`), "sealed bytes");
  await call("DELETE", "/v1/profile/picture", { token, status: 204 });
  assert.equal((await seen(`${shown}/picture`, { status: 404 })).error, "not_found");
  assert.deepEqual(await seen("/v1/profiles/+34699999999"), nothing, "nobody says nothing");
  await put({});
  console.log("profiles are as openapi.json says");
}

async function pins({ token }) {
  const pin = randomBytes(32).toString("base64");
  const put = (code, body, status) => refused(code, "PUT", "/v1/pin", { token, body, status });
  assert.deepEqual(await call("GET", "/v1/pin", { token }), { set: false });
  await put("malformed", { pin: "0420" }, 400);
  await put("malformed", {}, 400);
  await put("too_large", " ".repeat(4097), 413);
  for (const method of ["GET", "PUT", "DELETE"]) {
    await refused("token_missing", method, "/v1/pin", { ...(method === "PUT" && { body: { pin } }), status: 401 });
  }
  await refused("method_not_allowed", "POST", "/v1/pin", { token, body: { pin }, status: 405 });
  await call("PUT", "/v1/pin", { token, body: { pin }, status: 204 });
  assert.deepEqual(await call("GET", "/v1/pin", { token }), { set: true });
  assert.equal((await call("GET", "/v1/account", { token })).pin, true);
  await call("DELETE", "/v1/pin", { token, status: 204 });
  assert.deepEqual(await call("GET", "/v1/pin", { token }), { set: false });
  console.log("the PIN is as openapi.json says");
}

async function moves({ token }, to) {
  const move = (as, body, status) => call("POST", "/v1/account/move", { token: as, body, status });
  const wrong = (code, body, status) => refused(code, "POST", "/v1/account/move", { token, body, status });
  const shown = { last_seen: "nobody", online: "everyone", read_marks: "contacts", profile: "contacts" };
  const privacy = { ...shown, number: "everyone" };
  await call("PUT", "/v1/privacy", { token, body: privacy, status: 204 });
  await wrong("malformed", {}, 400);
  await wrong("malformed", { token }, 400);
  await wrong("token_invalid", { token: "a.b.c" }, 401);
  await refused("token_missing", "POST", "/v1/account/move", { body: { token: to.token }, status: 401 });
  await move(token, { token: to.token }, 204);
  assert.deepEqual(await call("GET", "/v1/privacy", { token: to.token }), privacy);
  await refused("device_removed", "GET", "/v1/devices", { token, status: 401 });
  console.log("an account moves");
}

async function reports({ token }, other) {
  const said = { id: message(stream(), 1), at: 1760000000000, text: "You won!" };
  const body = { number: other.account, reason: "spam", comment: "Third time.", messages: [said] };
  const wrong = (code, body, status) => refused(code, "POST", "/v1/reports", { token, body, status });
  await wrong("malformed", { ...body, reason: "envy" }, 400);
  await wrong("invalid_number", { ...body, number: "0612345678" }, 400);
  await wrong("too_large", { ...body, comment: "x".repeat(1001) }, 413);
  await wrong("too_many", { ...body, messages: Array(11).fill(said) }, 413);
  await refused("token_missing", "POST", "/v1/reports", { body, status: 401 });
  await refused("method_not_allowed", "GET", "/v1/reports", { token, status: 405 });
  await call("POST", "/v1/reports", { token, body, status: 204 });
  await call("POST", "/v1/reports", { token, body: { number: other.account, reason: "other" }, status: 204 });
  console.log("reports are as openapi.json says");
}

async function administration(user) {
  const admin = { token: process.env.ADMIN_SECRET };
  const account = `/v1/admin/accounts/${user.account}`;
  const reason = { reason: "spam, ticket 7" };
  await refused("token_missing", "GET", account, { status: 401 });
  await refused("token_invalid", "GET", account, { token: user.token, status: 401 });
  await refused("not_found", "GET", "/v1/admin/accounts/+34699999999", { ...admin, status: 404 });
  await refused("malformed", "PUT", `${account}/suspension`, { ...admin, body: {}, status: 400 });
  const long = { reason: "x".repeat(501) };
  await refused("too_large", "PUT", `${account}/suspension`, { ...admin, body: long, status: 413 });
  await refused("malformed", "GET", "/v1/admin/audit?after=1", { ...admin, status: 400 });
  const standing = await call("GET", account, admin);
  assert.deepEqual([standing.devices, standing.suspended_at], [1, undefined]);

  const watching = await connected("ws, JSON", user);
  await call("PUT", `${account}/suspension`, { ...admin, body: reason, status: 204 });
  assert.deepEqual(await watching.next("goaway"), { code: "suspended", retry_after: 600000 });
  assert.equal((await watching.closed).code, 4003);
  for (const path of ["/v1/usage", "/v1/privacy", "/v1/people", "/v1/push"]) {
    await refused("suspended", "GET", path, { token: user.token, status: 403 });
  }
  await refused("suspended", "POST", "/v1/token", { token: user.token, status: 403 });
  assert.ok((await call("GET", "/v1/account", { token: user.token })).suspended_at > 0);
  assert.ok((await call("GET", account, admin)).suspended_at > 0);
  await call("DELETE", `${account}/suspension`, { ...admin, status: 204 });
  await call("GET", "/v1/usage", { token: user.token });

  assert.deepEqual(await call("GET", "/v1/motd"), { text: "" });
  await refused("malformed", "PUT", "/v1/admin/motd", { ...admin, body: { text: "" }, status: 400 });
  await call("PUT", "/v1/admin/motd", { ...admin, body: { text: "Back at 5." }, status: 204 });
  assert.equal((await call("GET", "/v1/motd")).text, "Back at 5.");
  await call("DELETE", "/v1/admin/motd", { ...admin, status: 204 });
  assert.deepEqual(await call("GET", "/v1/motd"), { text: "" });

  const { entries } = await call("GET", "/v1/admin/audit", admin);
  const done = entries.map(({ action, number, reason }) => [action, number, reason]);
  assert.deepEqual(done.slice(1, 3), [
    ["inspect", user.account, undefined],
    ["suspend", user.account, reason.reason],
  ]);
  assert.equal(done.length, 7);
  const rest = await call("GET", `/v1/admin/audit?after=${entries[4].id}`, admin);
  assert.deepEqual(rest.entries, entries.slice(5));
  console.log("administration is as openapi.json says");
}

async function lookup(alice, bob) {
  const nobody = "+34612345678";
  const find = (who, numbers) => call("POST", "/v1/lookup", { token: who.token, body: { numbers } });
  const found = async (who, ...numbers) => (await find(who, numbers)).registered;
  const left = async () => (await call("GET", "/v1/usage", { token: alice.token })).lookups_left;
  const show = ({ token }, number) => call("PUT", "/v1/privacy", { token, body: { number }, status: 204 });
  const before = await left();
  assert.deepEqual(await found(alice, bob.account, nobody), [], "at first nobody is found");
  await show(alice, "everyone");
  assert.deepEqual(await found(alice, bob.account), []);
  await show(bob, "everyone");
  assert.deepEqual(await found(alice, nobody, bob.account, bob.account), [bob.account]);
  assert.deepEqual(await found(alice), []);
  assert.equal(await left(), before - 5);
  await show(alice, "nobody");
  assert.deepEqual(await found(alice, bob.account), [], "who hides does not find");

  const wrong = (code, body, status) => refused(code, "POST", "/v1/lookup", { token: alice.token, body, status });
  await wrong("invalid_number", { numbers: [bob.account, "0612345678"] }, 400);
  await wrong("malformed", { numbers: bob.account }, 400);
  await wrong("malformed", {}, 400);
  await wrong("too_many", { numbers: Array(251).fill(bob.account) }, 413);
  await wrong("too_large", " ".repeat(8193), 413);
  await refused("token_missing", "POST", "/v1/lookup", { body: { numbers: [] }, status: 401 });
  await refused("method_not_allowed", "GET", "/v1/lookup", { token: alice.token, status: 405 });
  assert.equal(await left(), before - 6, "what is refused spends nothing");
  await show(bob, "nobody");
  console.log("look-ups are as openapi.json says");
}

async function pushes({ token }) {
  const { public_key } = await call("GET", "/v1/push", { token });
  assert.equal(Buffer.from(public_key, "base64url").length, 65);
  const keys = {
    p256dh: createECDH("prime256v1").generateKeys("base64url"),
    auth: randomBytes(16).toString("base64url"),
  };
  const subscription = { endpoint: "https://push.example.org/a", keys };
  const put = (code, body, status) => refused(code, "PUT", "/v1/push", { token, body, status });
  await put("malformed", { endpoint: subscription.endpoint }, 400);
  await put("malformed", { ...subscription, keys: { ...keys, auth: "" } }, 400);
  await put("unknown_push_service", { ...subscription, endpoint: "https://example.org/a" }, 403);
  await put("too_large", { ...subscription, endpoint: `${subscription.endpoint}${"a".repeat(2048)}` }, 413);
  await refused("token_missing", "PUT", "/v1/push", { body: subscription, status: 401 });
  const body = { ...subscription, expirationTime: null };
  await call("PUT", "/v1/push", { token, body, status: 204 });
  assert.deepEqual(await call("GET", "/v1/push", { token }), { public_key, subscription });
  await call("DELETE", "/v1/push", { token, status: 204 });
  assert.deepEqual(await call("GET", "/v1/push", { token }), { public_key });
  console.log("subscriptions come and go");
}

// One file and its refusals, by every operation; tus.mjs has the rest.
async function files(user, other) {
  const { token } = user;
  const raw = async (method, path, { as = token, body, headers = {}, status }) => {
    const all = { "Tus-Resumable": "1.0.0", ...(as && { authorization: `Bearer ${as}` }), ...headers };
    const response = await fetch(url + path, { method, headers: all, body });
    const bytes = Buffer.from(await response.arrayBuffer());
    const wrong = answers(method, path, response, bytes.toString());
    assert.equal(wrong, null, `${method} ${path}: ${response.status} ${bytes}: ${wrong}`);
    assert.equal(response.status, status, `${method} ${path}: ${bytes}`);
    return { headers: response.headers, bytes };
  };
  const stream = { "Content-Type": "application/offset+octet-stream" };
  const length = (bytes) => ({ "Upload-Length": String(bytes) });
  const at = (bytes) => ({ ...stream, "Upload-Offset": String(bytes) });
  const sum = { "Upload-Checksum": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=" };

  await raw("OPTIONS", "/v1/uploads", { as: null, status: 204 });
  await raw("POST", "/v1/uploads", { as: null, headers: length(1), status: 401 });
  await raw("POST", "/v1/uploads", { headers: { ...length(1), "Tus-Resumable": "0.2.2" }, status: 412 });
  await raw("POST", "/v1/uploads", { status: 400 });
  await raw("POST", "/v1/uploads", { headers: length(2 ** 31 + 1), status: 413 });
  await raw("POST", "/v1/uploads", { headers: length(5), body: "hello", status: 415 });
  await raw("POST", "/v1/uploads", { headers: { ...length(5), ...stream, ...sum }, body: "hello", status: 460 });
  const begun = await raw("POST", "/v1/uploads", { headers: { ...length(11), ...stream }, body: "hello", status: 201 });
  const upload = begun.headers.get("location");
  const media = `/v1/media/${upload.split("/").at(-1).slice(0, 32)}`;
  await raw("GET", media, { status: 404 });
  await raw("PATCH", upload, { headers: at(4), body: "o", status: 409 });
  await raw("PATCH", upload, { headers: at(5), body: "one too many", status: 413 });
  await raw("PATCH", upload, { headers: { "Upload-Offset": "5" }, body: " ", status: 415 });
  await raw("PATCH", upload, { headers: { ...at(5), ...sum }, body: " world", status: 460 });
  await raw("PATCH", upload, { as: other.token, headers: at(5), body: " world", status: 404 });
  assert.equal((await raw("HEAD", upload, { status: 200 })).headers.get("upload-offset"), "5");
  await raw("PATCH", upload, { headers: at(5), body: " world", status: 204 });
  assert.equal((await raw("GET", media, { as: other.token, status: 200 })).bytes.toString(), "hello world");
  assert.equal((await raw("GET", media, { headers: { Range: "bytes=-5" }, status: 206 })).bytes.toString(), "world");
  await raw("GET", media, { headers: { Range: "bytes=11-" }, status: 416 });
  await raw("GET", media, { as: null, status: 401 });
  await raw("PUT", upload, { body: "", status: 405 });
  await raw("DELETE", upload, { status: 204 });
  await raw("HEAD", upload, { status: 410 });
  await raw("DELETE", upload, { status: 410 });
  const { media_writes } = await call("GET", "/v1/usage", { token });
  assert.ok(media_writes > 0);
  console.log("files are as openapi.json says");
}

async function endings(user) {
  const first = await connected("ws, JSON", user);
  const second = await opened("ws, cbor-x", user);
  assert.deepEqual(await first.next("goaway"), { code: "replaced" });
  assert.equal((await first.closed).code, 4002);
  await second.next("drained");
  await call("DELETE", `/v1/devices/${user.device}`, { token: user.token, status: 204 });
  assert.deepEqual(await second.next("goaway"), { code: "device_removed" });
  assert.equal((await second.closed).code, 4001);
  await refused("device_removed", "GET", "/v1/devices", { token: user.token, status: 401 });
  await assert.rejects(Socket.open("ws, JSON", user), /401/);
  await assert.rejects(Socket.open("ws, cbor-x", { token: "a.b.c" }), /401/);
  console.log("sockets end as documented");
}

const alice = await register("+33612345678");
const bob = await register("+4915112345678");
await tokens(alice);
await requests(alice);
await linking(alice);
await people(bob, alice);
await profiles(bob, alice);
await pins(bob);
await reports(alice, bob);
await administration(alice);
await lookup(alice, bob);
// Another device: requests of one are limited.
await pushes(await register("+34612345680"));
await files(alice, bob);
await conversation("ws, JSON", "browser's, cborg", alice, bob);
await conversation("ws, cbor-x", "browser's, JSON", alice, bob);
await endings(bob);
await moves(await register("+34612345678"), await register("+34612345679"));
process.exit(0);
