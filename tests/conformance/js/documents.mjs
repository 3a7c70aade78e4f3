// The documents that the server serves about itself, and schemas out of them that take no field
// which is not described, so that a new field cannot slip past its description.

import { readFileSync } from "node:fs";
import Ajv from "ajv";
import Ajv2020 from "ajv/dist/2020.js";

export const read = (path) => JSON.parse(readFileSync(new URL(`../../../${path}`, import.meta.url)));

export const openapi = read("worker/api/openapi.json");
export const asyncapi = read("worker/api/asyncapi.json");

function closed(schema) {
  if (Array.isArray(schema)) return schema.map(closed);
  if (schema === null || typeof schema !== "object") return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  if (copy.type === "object" && !copy.additionalProperties) copy.additionalProperties = false;
  return copy;
}

function validators(ajv, id, document) {
  const schemas = closed(document.components.schemas);
  ajv.addKeyword("components");
  ajv.addFormat("uri", (text) => URL.canParse(text));
  ajv.addSchema({ $id: id, components: { schemas } });
  return (name) => {
    const validate = ajv.compile({ $ref: `${id}#/components/schemas/${name}` });
    return (value) => (validate(value) ? null : ajv.errorsText(validate.errors));
  };
}

const strict = { strict: true, strictRequired: false, strictTypes: false, allErrors: true };

/// By the name of a schema: a function that says what is wrong with a value, or null.
export const http = validators(new Ajv2020(strict), "https://estafette.test/openapi", openapi);
export const socket = validators(new Ajv(strict), "https://estafette.test/asyncapi", asyncapi);

const schemas = asyncapi.components.schemas;
const hex = {
  toBinary: (text) => Uint8Array.from(Buffer.from(text, "hex")),
  toText: (bytes) => Buffer.from(bytes).toString("hex"),
};

// What CBOR carries in the place of a JSON value, as the descriptions of the schemas say. An integer
// over 32 bits is a BigInt, without which cbor-x would write it as floating point.
const bytes = {
  toBinary: (text) => Uint8Array.from(Buffer.from(text, "base64")),
  toText: (binary) => Buffer.from(binary).toString("base64"),
};
const forms = {
  MessageId: hex,
  DeviceId: hex,
  ConversationId: hex,
  Body: bytes,
  Handshake: bytes,
  KeyPackage: bytes,
  ListEntry: bytes,
  Invitation: bytes,
  Digest: bytes,
  PhoneNumber: { toBinary: (text) => BigInt(text.slice(1)), toText: (digits) => `+${digits}` },
};

function convert(value, schema, direction) {
  const name = (schema?.$ref ?? schema?.allOf?.[0].$ref)?.split("/").at(-1);
  if (name in forms) return forms[name][direction](value);
  if (name) return convert(value, schemas[name], direction);
  if (Array.isArray(value)) return value.map((item) => convert(item, schema?.items, direction));
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value).map(([key, item]) => [
      key,
      convert(item, schema?.properties?.[key], direction),
    ]);
    return Object.fromEntries(entries);
  }
  return typeof value === "bigint" ? Number(value) : value;
}

/// A batch as its CBOR decodes to it, and the reverse.
export const inCbor = (value, schema) => convert(value, schema, "toBinary");
export const inJson = (value, schema) => convert(value, schema, "toText");

const content = (response) => response?.content?.["application/json"]?.schema;
const resolve = (node) => (node?.$ref ? node.$ref.split("/").slice(1).reduce((at, key) => at[key], openapi) : node);

/// What is wrong with an answer by openapi.json, or null.
export function answers(method, path, response, text) {
  const template = Object.keys(openapi.paths).find((candidate) =>
    new RegExp(`^${candidate.replace(/\{\w+\}/g, "[^/]+")}$`).test(path));
  const operation = openapi.paths[template]?.[method.toLowerCase()];
  // Every path and method that is not described has the answer that `info` describes.
  const known = { 404: "not_found", 405: "method_not_allowed" };
  if (!operation) {
    const wrong = http("Problem")(JSON.parse(text));
    if (wrong) return wrong;
    if (JSON.parse(text).error !== known[response.status]) return "another code is due";
    return response.status === 405 && !response.headers.get("allow") ? "no Allow" : null;
  }
  const described = resolve(operation.responses[response.status]);
  if (!described) return "a status that is not described";
  for (const [name, header] of Object.entries(described.headers ?? {})) {
    const value = response.headers.get(name);
    const { pattern, type, minimum } = resolve(header).schema;
    // Retry-After is there when the server knows.
    if (value === null && name !== "Retry-After") return `no ${name}`;
    if (value !== null && pattern && !new RegExp(pattern).test(value)) return `${name}: ${value}`;
    if (value !== null && type === "integer" && !(Number(value) >= minimum)) return `${name}: ${value}`;
  }
  const type = response.headers.get("content-type");
  if (described.content?.["application/octet-stream"]) {
    return type === "application/octet-stream" ? null : "not bytes by its type";
  }
  const schema = content(described);
  if (!schema) return text === "" ? null : "a body where none is described";
  if (method === "HEAD") return text === "" ? null : "a body";
  if (type !== "application/json") return "not JSON by its type";
  const value = JSON.parse(text);
  if (schema.type === "object") return null;
  const [base, narrowed] = schema.allOf ?? [schema];
  const wrong = http(base.$ref.split("/").at(-1))(value);
  if (wrong) return wrong;
  const codes = narrowed?.properties.error;
  const allowed = codes?.enum ?? [codes?.const];
  return narrowed && !allowed.includes(value.error) ? `${value.error} is not described here` : null;
}
