// A push service as Chromium wants one: check-in (a POST that gives the browser an identity),
// registration (a form that gives a subscription its token) and MCS, the connection that messages come
// by: TLS, a version byte each way, then packets of tag, length and protobuf. Field numbers are those of
// Chromium's checkin.proto and mcs.proto; what isn't needed is neither written nor read.

import { createHash, randomUUID, X509Certificate } from "node:crypto";
import { createServer } from "node:tls";
import { PbfReader, PbfWriter } from "pbf";
import { endpoint, Waiting } from "./endpoint.mjs";

const VERSION = 41;
const TAG = { ping: 0, pong: 1, login: 2, loggedIn: 3, data: 8 };
const IDENTITY = { android: "1234567890", secret: "9876543210" };

function encode(write) {
  const writer = new PbfWriter();
  write(writer);
  return Buffer.from(writer.finish());
}

const checkedIn = () => encode((writer) => {
  writer.writeBooleanField(1, true); // stats_ok
  writer.writeVarintField(3, Date.now()); // time_msec
  writer.writeFixed64Field(7, Number(IDENTITY.android)); // android_id
  writer.writeFixed64Field(8, Number(IDENTITY.secret)); // security_token
});

const loggedIn = () => encode((writer) => {
  writer.writeStringField(1, "login"); // id
  writer.writeVarintField(8, Date.now()); // server_timestamp
});

function data({ subscription, message }) {
  const pair = ([key, value], writer) => {
    writer.writeStringField(1, key);
    writer.writeStringField(2, value);
  };
  return encode((writer) => {
    writer.writeStringField(3, subscription.key); // from
    writer.writeStringField(5, subscription.app); // category
    writer.writeMessage(7, pair, ["subtype", subscription.subtype]); // app_data
    writer.writeMessage(7, pair, ["content-encoding", "aes128gcm"]);
    writer.writeStringField(9, message.id); // persistent_id
    writer.writeVarintField(17, message.ttl); // ttl
    writer.writeVarintField(18, Math.floor(Date.now() / 1000)); // sent
    writer.writeBytesField(21, message.body); // raw_data
  });
}

function readLogin(bytes) {
  const login = { received: [] };
  return new PbfReader(bytes).readFields((field, _, reader) => {
    if (field === 3) login.user = reader.readString();
    if (field === 5) login.token = reader.readString();
    if (field === 10) login.received.push(reader.readString()); // received_persistent_id
  }, login);
}

function packet(tag, body = Buffer.alloc(0)) {
  const length = encode((writer) => writer.writeVarint(body.length));
  return Buffer.concat([Buffer.from([tag]), length, body]);
}

// The whole packets that the bytes begin with, and the rest.
function packets(bytes) {
  const whole = [];
  for (;;) {
    // A length takes one to five bytes, of which only the last has no high bit.
    const last = bytes.subarray(1, 6).findIndex((byte) => byte < 0x80);
    if (last < 0) return { whole, rest: bytes };
    const start = last + 2;
    const end = start + new PbfReader(bytes.subarray(1, start)).readVarint();
    if (bytes.length < end) return { whole, rest: bytes };
    whole.push({ tag: bytes[0], body: bytes.subarray(start, end) });
    bytes = bytes.subarray(end);
  }
}

// `cert` and `key`, both PEM, are for TLS on loopback; `flags` make Chromium use this service and trust
// that certificate.
export async function gcm({ cert, key }) {
  const subscriptions = new Map();
  const waiting = new Waiting();
  let browser;

  function register(form) {
    const subtype = form.get("X-subtype");
    if (form.get("delete") === "true") {
      subscriptions.forEach((other, token) => other.subtype === subtype && subscriptions.delete(token));
      return `token=${subtype}`;
    }
    const subscription = { subtype, app: form.get("app"), key: form.get("sender") };
    subscription.deliver = (message) => {
      waiting.put(subscription, message);
      browser?.write(packet(TAG.data, data({ subscription, message })));
    };
    const token = randomUUID();
    subscriptions.set(token, subscription);
    return `token=${token}`;
  }

  const { posts, url } = await endpoint(subscriptions, async (request, response) => {
    if (request.url !== "/checkin" && request.url !== "/register") return false;
    const body = Buffer.concat(await request.toArray()).toString();
    response.end(request.url === "/checkin" ? checkedIn() : register(new URLSearchParams(body)));
    return true;
  });

  function login(connection, { user, token, received }) {
    if (user !== IDENTITY.android || token !== IDENTITY.secret) {
      connection.destroy();
      return;
    }
    received.forEach((id) => waiting.delete(id));
    connection.write(packet(TAG.loggedIn, loggedIn()));
    waiting.forEach((message) => connection.write(packet(TAG.data, data(message))));
    browser = connection;
  }

  const mcs = createServer({ cert, key }, (connection) => {
    let bytes = Buffer.alloc(0);
    let greeted = false;
    connection.on("data", (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (!greeted) {
        connection.write(Buffer.from([VERSION]));
        bytes = bytes.subarray(1);
        greeted = true;
      }
      const { whole, rest } = packets(bytes);
      bytes = rest;
      for (const { tag, body } of whole) {
        if (tag === TAG.login) login(connection, readLogin(body));
        if (tag === TAG.ping) connection.write(packet(TAG.pong));
      }
    });
    connection.on("close", () => {
      if (browser === connection) browser = undefined;
    });
    // A close follows.
    connection.on("error", () => {});
  });
  await new Promise((resolve) => mcs.listen(0, "127.0.0.1", resolve));

  const trusted = new X509Certificate(cert).publicKey.export({ type: "spki", format: "der" });
  const flags = [
    `--gcm-checkin-url=${url}/checkin`,
    `--gcm-registration-url=${url}/register`,
    `--gcm-mcs-endpoint=https://127.0.0.1:${mcs.address().port}`,
    `--ignore-certificate-errors-spki-list=${createHash("sha256").update(trusted).digest("base64")}`,
  ];
  return { url, posts, flags };
}
