// What a push service does with what application servers post: it verifies VAPID (RFC 8292), the
// headers of RFC 8030 and the encoding and size of RFC 8291, answers 201 with a Location, and hands the
// message on. Every post is remembered with its outcome, so that no test passes over a refusal.

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { importJWK, jwtVerify } from "jose";
import { Feed } from "./feed.mjs";

// RFC 8030, section 7.2: a push service takes at least this much; those of browsers take no more.
const BODY_BYTES_MAX = 4096;
const DAY_SECONDS = 86_400;
const URGENCIES = ["very-low", "low", "normal", "high"];

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function demand(condition, status, message) {
  if (!condition) throw new Refused(status, message);
}

async function verify(authorization, audience, subscribedKey) {
  const [, token, key] = authorization?.match(/^vapid t=([^ ,]+), *k=([^ ,]+)$/i) ?? [];
  demand(key, 401, `no VAPID: ${authorization}`);
  const point = Buffer.from(key, "base64url");
  demand(point.equals(Buffer.from(subscribedKey, "base64url")), 403, "not the subscription's key");
  demand(point.length === 65 && point[0] === 4, 401, "the key is no uncompressed point");
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((half) => half.toString("base64url"));
  const jwk = await importJWK({ kty: "EC", crv: "P-256", x, y }, "ES256");
  const refuse = (error) => demand(false, 401, `VAPID: ${error.message}`);
  const { payload } = await jwtVerify(token, jwk, { algorithms: ["ES256"], audience }).catch(refuse);
  const { exp, sub } = payload;
  demand(exp <= Date.now() / 1000 + DAY_SECONDS, 401, "VAPID that lives for more than a day");
  demand(/^(mailto:|https:)/.test(sub), 401, `VAPID of ${sub}`);
}

async function read(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    demand(bytes <= BODY_BYTES_MAX, 413, "too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function accept(request, subscriptions) {
  const { headers, method, url } = request;
  demand(method === "POST", 405, method);
  const subscription = subscriptions.get(url.split("/").pop());
  demand(subscription, 410, `no subscription ${url}`);
  await verify(headers.authorization, `http://${headers.host}`, subscription.key);
  const { ttl, urgency = "normal", topic } = headers;
  demand(/^\d+$/.test(ttl), 400, `TTL ${ttl}`);
  demand(headers["content-encoding"] === "aes128gcm", 415, `encoding ${headers["content-encoding"]}`);
  demand(URGENCIES.includes(urgency), 400, `urgency ${urgency}`);
  demand(topic === undefined || /^[\w-]{1,32}$/.test(topic), 400, `topic ${topic}`);
  const message = { id: randomUUID(), ttl: Number(ttl), urgency, topic, body: await read(request) };
  return { subscription, message };
}

// `subscriptions` has {key, deliver(message)} under the last part of an endpoint's path. `other`
// answers what else is asked of the push service, and says whether it did.
export async function endpoint(subscriptions, other = () => false) {
  const posts = new Feed();
  const server = createServer(async (request, response) => {
    if (await other(request, response)) return;
    try {
      const { subscription, message } = await accept(request, subscriptions);
      const { id, body, ...said } = message;
      subscription.deliver(message);
      posts.push({ status: 201, bytes: body.length, ...said });
      response.writeHead(201, { location: `http://${request.headers.host}/m/${id}`, ttl: message.ttl }).end();
    } catch (error) {
      const { status = 500, message } = error;
      posts.push({ status, error: message });
      response.writeHead(status).end(message);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, posts, url: `http://127.0.0.1:${server.address().port}` };
}

// What waits for a browser until it acknowledges: a message with a topic takes the place of the one
// with the same topic and subscription (RFC 8030, section 5.4).
export class Waiting extends Map {
  put(subscription, message) {
    for (const [id, other] of this) {
      const same = other.subscription === subscription && other.message.topic === message.topic;
      if (message.topic && same) this.delete(id);
    }
    this.set(message.id, { subscription, message });
  }
}
