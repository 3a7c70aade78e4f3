// tus-js-client, unchanged, sends files: whole, in pieces, cut, and over the death of the server.
//
// Arguments: the Worker's URL. On standard input, a line of JSON each: the text messages that the Worker
// sends, and {"restarted": true}. On standard output, beside what it found: `kill`, to have the runtime
// killed and started again.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { DetailedError, Upload } from "tus-js-client";

const [url] = process.argv.slice(2);
const endpoint = `${url}/v1/uploads`;
const MIB = 1024 * 1024;

const heard = [];
const waiting = [];
createInterface({ input: process.stdin }).on("line", (line) => {
  heard.push(JSON.parse(line));
  waiting.splice(0).forEach((look) => look());
});

async function hear(wanted) {
  for (;;) {
    const index = heard.findIndex(wanted);
    if (index >= 0) return heard.splice(index, 1)[0];
    await new Promise((resolve) => waiting.push(resolve));
  }
}

async function register(number) {
  const post = (path, body) => fetch(url + path, { method: "POST", body: JSON.stringify(body) });
  await post("/v1/registration/code", { number });
  const { text } = await hear(({ to }) => to === number);
  const identity_key = randomBytes(32).toString("base64");
  const code = text.match(/\b\d{6}\b/)[0];
  return (await post("/v1/registration", { number, code, name: "tus", identity_key })).json();
}

const { token } = await register("+33612345678");
const authorization = `Bearer ${token}`;

// Sends a file. `then` sees each progress; the result has every request, with its answer.
function send(file, options = {}, then = () => {}) {
  const requests = [];
  let upload;
  const done = new Promise((resolve, reject) => {
    upload = new Upload(file, {
      endpoint,
      headers: { authorization },
      onSuccess: resolve,
      onError: reject,
      onProgress: (sent, all) => then(sent, all, upload),
      onAfterResponse: (request, response) => {
        requests.push({
          method: request.getMethod(),
          status: response.getStatus(),
          offset: Number(response.getHeader("Upload-Offset")),
        });
      },
      ...options,
    });
    upload.start();
  });
  return { upload, done, requests };
}

async function arrived({ upload, done, requests }, file, expected) {
  await done;
  const media = upload.url.split("/").at(-1).slice(0, 32);
  const answer = await fetch(`${url}/v1/media/${media}`, { headers: { authorization } });
  assert.equal(answer.status, 200);
  const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
  assert.equal(sha256(Buffer.from(await answer.arrayBuffer())), sha256(file));
  if (expected) assert.deepEqual(requests.map(({ method }) => method), expected);
}

async function inOnePiece() {
  const small = randomBytes(64 * 1024);
  await arrived(send(small, { uploadDataDuringCreation: true }), small, ["POST"]);
  const empty = Buffer.alloc(0);
  await arrived(send(empty, { uploadSize: 0 }), empty, ["POST"]);
  const file = randomBytes(20 * MIB);
  await arrived(send(file, { metadata: { filename: "été.jpg" } }), file, ["POST", "PATCH"]);
  console.log("a file in one piece arrives");
}

async function inPieces() {
  const file = randomBytes(10 * MIB + 1);
  const pieces = ["POST", ...Array(11).fill("PATCH")];
  await arrived(send(file, { chunkSize: MIB }), file, pieces);
  const first = { chunkSize: 4 * MIB, uploadDataDuringCreation: true };
  await arrived(send(file, first), file, ["POST", "PATCH", "PATCH"]);
  console.log("a file in pieces arrives");
}

async function cutAndResumed() {
  const file = randomBytes(48 * MIB);
  const cut = await new Promise((resolve, reject) => {
    const { done } = send(file, {}, (sent, all, upload) => {
      if (sent > all / 3 && upload.url) upload.abort().then(() => resolve(upload), reject);
    });
    done.catch(reject);
  });
  const resumed = send(file, { uploadUrl: cut.url });
  await arrived(resumed, file);
  assert.equal(resumed.requests[0].method, "HEAD");
  const { offset } = resumed.requests[0];
  assert.ok(offset > 0 && offset < file.length, `it went on from ${offset}`);
  assert.ok(resumed.requests.every(({ method }) => method !== "POST"));
  console.log("a file that was cut goes on where it was");
}

async function overTheDeathOfTheServer() {
  const file = randomBytes(48 * MIB);
  let killed;
  const sent = send(file, { retryDelays: Array(100).fill(100) }, (bytes, all) => {
    if (bytes > all / 2 && !killed) {
      console.log("kill");
      killed = hear(({ restarted }) => restarted);
    }
  });
  await arrived(sent, file);
  await killed;
  const resumed = sent.requests.find(({ method, status }) => method === "HEAD" && status === 200);
  assert.ok(resumed.offset > 0 && resumed.offset < file.length, `it went on from ${resumed.offset}`);
  assert.equal(sent.requests.filter(({ method }) => method === "POST").length, 1);
  console.log("a file outlives the server");
}

async function endedAndRefused() {
  const file = randomBytes(12 * MIB);
  const ended = await new Promise((resolve, reject) => {
    const { done } = send(file, { chunkSize: MIB }, (sent, all, upload) => {
      if (sent > all / 2) upload.abort(true).then(() => resolve(upload), reject);
    });
    done.catch(reject);
  });
  const headers = { authorization, "Tus-Resumable": "1.0.0" };
  const head = await fetch(ended.url, { method: "HEAD", headers });
  assert.equal(head.status, 410);

  const refused = (options) => send(file, { retryDelays: null, ...options }).done;
  const status = (expected) => (error) =>
    error instanceof DetailedError && error.originalResponse.getStatus() === expected;
  await assert.rejects(refused({ headers: {} }), status(401));
  await assert.rejects(refused({ uploadSize: 3 * 1024 * MIB }), status(413));
  await assert.rejects(refused({ uploadLengthDeferred: true, chunkSize: MIB }), status(400));
  console.log("an upload is ended, and what is wrong is refused");
}

await inOnePiece();
await inPieces();
await cutAndResumed();
await overTheDeathOfTheServer();
await endedAndRefused();
process.exit(0);
