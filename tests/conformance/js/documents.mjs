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
