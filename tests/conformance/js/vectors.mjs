// The golden vectors, read by decoders and checked by a validator that were not written here.
// Says, for each vector, how those decoders' own encoders write it.

import assert from "node:assert/strict";
import { decode as decodeX, Encoder } from "cbor-x";
import { decode, encode } from "cborg";
import { asyncapi, http, inCbor, read, socket } from "./documents.mjs";

const schemas = asyncapi.components.schemas;

// cbor-x tags byte arrays, and writes integers over 32 bits as floating point, if it is let.
const encoderX = new Encoder({ useRecords: false, variableMapSize: true, tagUint8Array: false });
const large = (value) => mapNumbers(value, (number) => (number > 0xffffffff ? BigInt(number) : number));

function mapNumbers(value, change) {
  if (typeof value === "bigint" || typeof value === "number") return change(value);
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (Array.isArray(value)) return value.map((item) => mapNumbers(item, change));
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value).map(([key, item]) => [key, mapNumbers(item, change)]);
    return Object.fromEntries(entries);
  }
  return value;
}

// Both decoders' values in one form: plain numbers and plain byte arrays.
const plain = (value) => mapNumbers(value, Number);

const strict = { strict: true, rejectDuplicateMapKeys: true, allowIndefinite: false };

for (const { name, from, json, cbor } of read("protocol/tests/golden/frames.json")) {
  const batch = from === "device" ? "DeviceBatch" : "ServerBatch";
  assert.equal(socket(batch)(json), null, `${name}: the schema refuses it`);

  const value = plain(inCbor(json, schemas[batch]));
  const bytes = Buffer.from(cbor, "hex");
  assert.deepEqual(plain(decodeX(bytes)), value, `${name}: cbor-x reads something else`);
  assert.deepEqual(plain(decode(bytes, strict)), value, `${name}: cborg reads something else`);

  // In the order of the fields, the shortest form is the only one.
  const written = Buffer.from(encode(value, { mapSorter: () => 0 })).toString("hex");
  assert.equal(written, cbor, `${name}: cborg writes something else`);
  const byX = Buffer.from(encoderX.encode(large(value))).toString("hex");
  const sorted = Buffer.from(encode(value)).toString("hex");
  console.log(JSON.stringify({ name, from, json, written: [byX, sorted] }));
}

for (const { name, json } of read("protocol/tests/golden/http.json")) {
  assert.equal(http(name)(json), null, `${name}: the schema refuses it`);
}
