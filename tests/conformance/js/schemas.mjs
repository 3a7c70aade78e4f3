// The OpenAPI and AsyncAPI documents against the specifications' own schemas, and their schemas
// against what they must refuse.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv from "ajv";
import { asyncapi, http, openapi, read, socket } from "./documents.mjs";

const specification = createRequire(import.meta.url)("@asyncapi/specs/schemas/3.0.0.json");

const validator = new Validator();
const result = await validator.validate(structuredClone(openapi));
assert.ok(result.valid, `openapi.json: ${JSON.stringify(result.errors, null, 2)}`);
assert.equal(validator.version, "3.1");

// The specification's schema brings the schema of schemas that it is written in.
const ajv = new Ajv({ strict: false, meta: false, validateFormats: false, allErrors: true });
const validate = ajv.compile(specification);
assert.ok(validate(structuredClone(asyncapi)), `asyncapi.json: ${ajv.errorsText(validate.errors)}`);

function references(document, name) {
  let count = 0;
  const walk = (value) => {
    if (value === null || typeof value !== "object") return;
    if (typeof value.$ref === "string") {
      const path = value.$ref.replace(/^#\//, "").split("/");
      const unescape = (key) => key.replaceAll("~1", "/").replaceAll("~0", "~");
      const target = path.reduce((node, key) => node?.[unescape(key)], document);
      assert.ok(target, `${name}: ${value.$ref} leads nowhere`);
      count += 1;
    }
    Object.values(value).forEach(walk);
  };
  walk(document);
  return count;
}
console.log(`openapi.json: valid, ${references(openapi, "openapi.json")} references`);
console.log(`asyncapi.json: valid, ${references(asyncapi, "asyncapi.json")} references`);

// What both documents describe, they describe alike.
const shared = Object.keys(openapi.components.schemas).filter((name) => name in asyncapi.components.schemas);
assert.deepEqual(shared.sort(), ["DeviceId", "ErrorCode", "PhoneNumber", "Time", "Wait"]);
const facts = ({ description, ...rest }) => rest;
for (const name of shared) {
  assert.deepEqual(facts(openapi.components.schemas[name]), facts(asyncapi.components.schemas[name]), name);
}

for (const { payload, examples } of Object.values(asyncapi.components.messages)) {
  const name = payload.$ref?.split("/").at(-1);
  for (const example of examples ?? []) assert.equal(socket(name)(example.payload), null, name);
}

// Each change of a good vector makes it one that the schema must refuse.
const frame = (name) => structuredClone(
  read("protocol/tests/golden/frames.json").find((vector) => vector.name === name).json[0],
);
const wrongFrames = [
  ["DeviceBatch", "send", (f) => { f.send.id = f.send.id.slice(1); }],
  ["DeviceBatch", "send", (f) => { f.send.id = f.send.id.toUpperCase(); }],
  ["DeviceBatch", "send", (f) => { f.send.id = "a1b2c3d4e5f607180000000000000000"; }],
  ["DeviceBatch", "send", (f) => { f.send.id = "a1b2c3d4e5f607180020000000000000"; }],
  ["DeviceBatch", "send", (f) => { f.send.to = "+0612345678"; }],
  ["DeviceBatch", "send", (f) => { f.send.to = 33612345678; }],
  ["DeviceBatch", "send", (f) => { f.send.body = "aGVsbG8"; }],
  ["DeviceBatch", "send", (f) => { f.send.body = "A".repeat(87388); }],
  ["DeviceBatch", "send", (f) => { f.send.after = 2 ** 53; }],
  ["DeviceBatch", "send", (f) => { f.send.after = -1; }],
  ["DeviceBatch", "send", (f) => { f.send.chained = null; }],
  ["DeviceBatch", "send", (f) => { f.send.from = "+33612345678"; }],
  ["DeviceBatch", "send", (f) => { f.ack = { ids: [] }; }],
  ["DeviceBatch", "send", (f) => { delete f.send.body; }],
  ["DeviceBatch", "ack", (f) => { f.ack.ids = Array(257).fill(f.ack.ids[0]); }],
  ["DeviceBatch", "receipt, read", (f) => { f.receipt.mark = "delivered"; }],
  ["DeviceBatch", "receipt, read", (f) => { f.receipt.ids = []; }],
  ["DeviceBatch", "receipt, read", (f) => { f.presence = f.receipt; delete f.receipt; }],
  ["DeviceBatch", "presence, available", (f) => { f.presence.watch = Array(9).fill(f.presence.watch[0]); }],
  ["DeviceBatch", "presence, available", (f) => { f.presence.watch[0] = "0612345678"; }],
  ["DeviceBatch", "presence, available", (f) => { f.presence.available = "yes"; }],
  ["DeviceBatch", "presence, away", (f) => { delete f.presence.available; }],
  ["DeviceBatch", "presence, away", (f) => { f.presence.last_seen = 1; }],
  ["DeviceBatch", "chat_state, composing", (f) => { f.chat_state.state = "typing"; }],
  ["DeviceBatch", "chat_state, composing", (f) => { delete f.chat_state.to; }],
  ["ServerBatch", "hello", (f) => { f.hello.device = `${f.hello.device}0`; }],
  ["ServerBatch", "hello", (f) => { f.hello.now = 1.5; }],
  ["ServerBatch", "refused", (f) => { f.refused.code = "no_such_code"; }],
  ["ServerBatch", "receipt, delivered", (f) => { f.receipt.mark = "seen"; }],
  ["ServerBatch", "deliver, copy", (f) => { f.deliver.to = 4915112345678; }],
  ["ServerBatch", "presence from server, last seen", (f) => { f.presence.last_seen = -1; }],
  ["ServerBatch", "presence from server, hidden", (f) => { f.presence.from = null; }],
  ["ServerBatch", "chat_state from server, paused", (f) => { f.chat_state.state = ""; }],
  ["ServerBatch", "keys_changed", (f) => { delete f.keys_changed.from; }],
  ["ServerBatch", "keys_changed", (f) => { f.keys_changed.at = "now"; }],
  ["ServerBatch", "drained", (f) => { f.drained = []; }],
  ["ServerBatch", "error, index", (f) => { f.error.index = 256; }],
];
for (const [batch, name, change] of wrongFrames) {
  const wrong = frame(name);
  assert.equal(socket(batch)([wrong]), null, name);
  change(wrong);
  assert.notEqual(socket(batch)([wrong]), null, `${batch} takes ${change} of ${name}`);
}
assert.equal(socket("DeviceBatch")(Array(256).fill(frame("ack"))), null);
assert.notEqual(socket("DeviceBatch")(Array(257).fill(frame("ack"))), null);

const body = (name) => structuredClone(
  read("protocol/tests/golden/http.json").findLast((document) => document.name === name).json,
);
const wrongBodies = [
  ["CodeRequest", (b) => { b.number = "0612345678"; }],
  ["CodeSent", (b) => { b.resend_after = -1; }],
  ["RegisterRequest", (b) => { b.code = "12345"; }],
  ["RegisterRequest", (b) => { b.name = "x".repeat(65); }],
  ["RegisterRequest", (b) => { b.identity_key = b.identity_key.replace("o=", "p="); }],
  ["RegisterRequest", (b) => { delete b.name; }],
  ["RegisterRequest", (b) => { b.pin = "1234"; }],
  ["NewPin", (b) => { b.pin = 1234; }],
  ["Pin", (b) => { delete b.set; }],
  ["MoveRequest", (b) => { b.token = "x.y"; }],
  ["Registered", (b) => { b.token = "x.y"; }],
  ["Registered", (b) => { b.device = "0"; }],
  ["Devices", (b) => { b.devices = Array(6).fill(b.devices[0]); }],
  ["Devices", (b) => { b.devices[0].current = "yes"; }],
  ["Devices", (b) => { b.devices[0].seen_at += 1; }],
  ["DeviceName", (b) => { b.name = "x".repeat(65); }],
  ["Link", (b) => { b.secret = b.secret.slice(1); }],
  ["Link", (b) => { b.link = b.link.toUpperCase(); }],
  ["LinkRequest", (b) => { b.identity_key = b.identity_key.replaceAll("/", "_"); }],
  ["LinkRequest", (b) => { b.secret = "0".repeat(64); }],
  ["Linked", (b) => { delete b.device; }],
  ["Privacy", (b) => { b.online = "friends"; }],
  ["Privacy", (b) => { b.last_seen = null; }],
  ["Privacy", (b) => { b.about = "everyone"; }],
  ["Person", (b) => { b.except = ["typing"]; }],
  ["Person", (b) => { b.blocked = 1; }],
  ["People", (b) => { b.people = Array(5001).fill(b.people[0]); }],
  ["People", (b) => { b.people[0].number = "4915112345678"; }],
  ["People", (b) => { b.people[0].person.except = ["online", "online"]; }],
  ["People", (b) => { delete b.people[0].person; }],
  ["ReportRequest", (b) => { b.reason = "envy"; }],
  ["ReportRequest", (b) => { b.comment = "x".repeat(1001); }],
  ["ReportRequest", (b) => { b.messages = Array(11).fill(b.messages[0]); }],
  ["ReportRequest", (b) => { b.messages[0].id = b.messages[0].id.toUpperCase(); }],
  ["ReportRequest", (b) => { delete b.number; }],
  ["Motd", (b) => { delete b.text; }],
  ["MotdRequest", (b) => { b.text = ""; }],
  ["MotdRequest", (b) => { b.text = "x".repeat(501); }],
  ["Suspension", (b) => { delete b.reason; }],
  ["Inspection", (b) => { b.devices = 6; }],
  ["Inspection", (b) => { b.limits.send_burst = "all"; }],
  ["Inspection", (b) => { b.name = "Alice"; }],
  ["Audit", (b) => { b.entries[0].action = "look"; }],
  ["Audit", (b) => { b.entries[0].id = b.entries[0].id.slice(1); }],
  ["Audit", (b) => { b.next = "all"; }],
  ["Usage", (b) => { b.spent = -1; }],
  ["Health", (b) => { b.status = "ill"; }],
  ["Problem", (b) => { b.error = "oops"; }],
  ["Problem", (b) => { delete b.message; }],
];
for (const [name, change] of wrongBodies) {
  const wrong = body(name);
  assert.equal(http(name)(wrong), null, name);
  change(wrong);
  assert.notEqual(http(name)(wrong), null, `${name} takes ${change}`);
}
console.log(`${wrongFrames.length + wrongBodies.length} wrong values refused`);
