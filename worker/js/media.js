// Files in R2: what would cost a call into the module for each chunk, and so is done here.
//
// Invariant: no file, and no part of one, is in memory but for chunks of 256 KiB, and the bytes of a
// request that R2 does not have yet, so that a cut loses none that arrived: at most 8 MiB a request, and 32 MiB in all.
// A request that finds no room is cut back to the last part that was committed.
//
// What is decided (which bytes go where, what counts) is decided in the module.

const CHUNK = 256 * 1024;
// What one operation reads of a file: R2's local stand-in has all of what it joins from parts in memory.
const STRETCH = 32 * 1024 * 1024;
const KEPT_MAX = 32 * 1024 * 1024;
// The platform ends a request without a word. What it kept is then forgotten with the isolate's memory,
// and its count after this long.
const KEPT_FOR = 15 * 60 * 1000;

const kept = new Map();

function keep(bytes) {
  const now = Date.now();
  let total = bytes;
  for (const [key, { size, since }] of kept) {
    if (now - since > KEPT_FOR) kept.delete(key);
    else total += size;
  }
  if (total > KEPT_MAX) return undefined;
  const key = {};
  kept.set(key, { size: bytes, since: now });
  return { bytes: new Uint8Array(bytes), release: () => kept.delete(key) };
}

// The store's number of an error (https://developers.cloudflare.com/r2/api/error-codes/), 0 if it has none.
const number = (error) => Number(/\((\d{5})\)/.exec(String(error?.message))?.[1] ?? 0);

export class Store {
  #bucket;

  constructor(bucket) {
    this.#bucket = bucket;
  }

  // The operations below resolve to 0, or to the store's number of the error; 1 where there is none.
  async #outcome(work) {
    try {
      await work();
      return 0;
    } catch (error) {
      return number(error) || 1;
    }
  }

  // A whole file out of one request.
  put(key, body, metadata, algorithm, checksum) {
    const options = { customMetadata: metadata === undefined ? {} : { metadata } };
    if (algorithm !== undefined) options[algorithm] = checksum;
    return this.#outcome(() => this.#bucket.put(key, body ?? new Uint8Array(0), options));
  }

  async begin(key, metadata) {
    const customMetadata = metadata === undefined ? {} : { metadata };
    return (await this.#bucket.createMultipartUpload(key, { customMetadata })).uploadId;
  }

  finish(key, multipart, numbers, etags) {
    const parts = etags.map((etag, at) => ({ partNumber: numbers[at], etag }));
    return this.#outcome(() => this.#bucket.resumeMultipartUpload(key, multipart).complete(parts));
  }

  abort(key, multipart) {
    return this.#outcome(() => this.#bucket.resumeMultipartUpload(key, multipart).abort());
  }

  remove(keys) {
    return this.#outcome(() => this.#bucket.delete(keys));
  }

  // Notes a text under a key, unless there is one. Resolves to whether it was noted.
  async note(key, metadata) {
    const options = { customMetadata: { metadata }, onlyIf: { etagDoesNotMatch: "*" } };
    return (await this.#bucket.put(key, new Uint8Array(0), options)) !== null;
  }

  write(key, text) {
    return this.#outcome(() => this.#bucket.put(key, text));
  }

  async read(key) {
    return (await this.#bucket.get(key))?.text();
  }

  // The next keys after a key, their texts, and whether there are more.
  async texts(prefix, startAfter, limit) {
    const { objects, truncated } = await this.#bucket.list({ prefix, startAfter, limit });
    const keys = objects.map(({ key }) => key);
    return [keys, await Promise.all(keys.map((key) => this.read(key))), truncated];
  }

  async head(key) {
    return described(await this.#bucket.head(key));
  }

  // `length` undefined: to the end. Resolves to undefined where there is no such file, and where the range
  // is not in it.
  async get(key, offset, length = Infinity) {
    try {
      const object = await this.#stretch(key, offset, length);
      if (!object) return undefined;
      const bytes = Math.min(length, object.size - offset);
      const body = bytes > STRETCH ? this.#joined(key, object, offset, bytes) : object.body;
      return { ...described(object), body };
    } catch (error) {
      // R2 has an error for a range that is not there, its local stand-in fails in another way.
      const object = await this.#bucket.head(key);
      if (!object || offset >= object.size) return undefined;
      throw error;
    }
  }

  #stretch(key, offset, length) {
    return this.#bucket.get(key, { range: { offset, length: Math.min(length, STRETCH) } });
  }

  #joined(key, first, offset, bytes) {
    const { readable, writable } = new FixedLengthStream(bytes);
    const join = async () => {
      let object = first;
      for (let sent = 0; sent < bytes; ) {
        object ??= await this.#stretch(key, offset + sent, bytes - sent);
        if (!object) throw new Error("the file is no longer there");
        await object.body.pipeTo(writable, { preventClose: true });
        sent += Math.min(STRETCH, bytes - sent);
        object = undefined;
      }
      await writable.close();
    };
    join().catch((error) => writable.abort(error).catch(() => {}));
    return readable;
  }

  // Deletes what was uploaded before a time, of the objects whose names come after `start`. Looks at no
  // more than `pages` thousand. Resolves to how many thousand it looked at.
  async sweep(prefix, start, before, pages) {
    let startAfter = start;
    for (let page = 1; ; page += 1) {
      const { objects, truncated } = await this.#bucket.list({ prefix, startAfter });
      const old = objects.filter(({ uploaded }) => uploaded.getTime() < before);
      if (old.length > 0) await this.#bucket.delete(old.map(({ key }) => key));
      if (!truncated || page >= pages) return page;
      startAfter = objects.at(-1).key;
    }
  }

  // The body of a request, to be taken in pieces: so many bytes, with this checksum if there is one.
  body(stream, bytes, algorithm, expected) {
    return new Body(this.#bucket, stream, bytes, algorithm, expected);
  }
}

function described(object) {
  if (!object) return undefined;
  const { size, uploaded, httpEtag: tag, customMetadata } = object;
  return { size, uploaded: uploaded.getTime(), tag, metadata: customMetadata?.metadata };
}

class Body {
  #bucket;
  #reader;
  #left;
  #expected;
  #digest;
  #hashing;
  #scratch = new ArrayBuffer(CHUNK);

  constructor(bucket, stream, bytes, algorithm, expected) {
    this.#bucket = bucket;
    this.#reader = stream?.getReader({ mode: "byob" });
    this.#left = bytes;
    if (algorithm === undefined) return;
    this.#expected = expected;
    this.#digest = new crypto.DigestStream(algorithm);
    this.#hashing = this.#digest.getWriter();
  }

  // Each of these puts the objects `before`, which have `offset` bytes, and then so many bytes of the
  // body under one name. Each resolves to an outcome; see `#pour`.
  part(key, multipart, partNumber, before, offset, bytes, rescue) {
    const sink = (stream) =>
      this.#bucket.resumeMultipartUpload(key, multipart).uploadPart(partNumber, stream);
    return this.#pour(sink, before, offset, bytes, rescue);
  }

  // Where a file has the name already, it stays.
  whole(key, metadata, before, offset, bytes, rescue) {
    const customMetadata = metadata === undefined ? {} : { metadata };
    const onlyIf = { etagDoesNotMatch: "*" };
    const sink = (stream) => this.#bucket.put(key, stream, { customMetadata, onlyIf });
    return this.#pour(sink, before, offset, bytes, rescue);
  }

  fragment(key, before, offset, bytes, rescue) {
    const sink = (stream) => this.#bucket.put(key, stream);
    return this.#pour(sink, before, offset, bytes, rescue);
  }

  // Whether all that was read has the checksum that was announced. To be asked once, at the end.
  async genuine() {
    if (!this.#hashing) return true;
    await this.#hashing.close();
    const digest = new Uint8Array(await this.#digest.digest);
    const same = (byte, at) => byte === digest[at];
    return this.#expected.length === digest.length && this.#expected.every(same);
  }

  // Nobody waits for what is left of the body.
  cancel() {
    this.#reader?.cancel().catch(() => {});
  }

  // The outcome: `done`, and R2's `etag`; or why not: bytes that are `forged`, a name that is `taken`, or else
  // a cut, and then how many bytes of the body lie safe as a fragment of the name `rescue`. Without a name
  // for it, nothing is rescued.
  async #pour(sink, before, offset, bytes, rescue) {
    const room = rescue === undefined ? undefined : keep(bytes);
    let read = 0;
    let forged = false;
    try {
      const { readable, writable } = new FixedLengthStream(offset + bytes);
      const sunk = sink(readable);
      // Rejects with the store's error; nobody else would hear of it while bytes are on their way.
      const failed = sunk.then(() => new Promise(() => {}));
      failed.catch(() => {});
      const writer = await this.#fill(writable, before, failed);
      try {
        while (read < bytes) {
          const value = await this.#read(Math.min(CHUNK, bytes - read));
          room?.bytes.set(value, read);
          read += value.byteLength;
          await this.#hashing?.write(value);
          // The last bytes are held back until all are known to be right: without them R2 takes none.
          if (this.#left === 0 && !(await this.genuine())) {
            forged = true;
            throw new Error("not the checksum that was announced");
          }
          await Promise.race([writer.write(value), failed]);
          this.#scratch = value.buffer;
        }
        await Promise.race([writer.close(), failed]);
      } catch (error) {
        writer.abort(error).catch(() => {});
        throw error;
      }
      const stored = await sunk;
      return stored === null ? { taken: true } : { done: true, etag: stored.etag };
    } catch {
      if (forged) return { forged };
      return { rescued: await this.#rescue(room, read, rescue) };
    } finally {
      room?.release();
    }
  }

  async #fill(writable, before, failed) {
    for (const key of before) {
      const object = await this.#bucket.get(key);
      if (!object) throw new Error("a fragment is not there");
      await Promise.race([object.body.pipeTo(writable, { preventClose: true }), failed]);
    }
    return writable.getWriter();
  }

  async #read(bytes) {
    const { value, done } = await this.#reader.read(new Uint8Array(this.#scratch, 0, bytes));
    if (done || !value) throw new Error("the body is shorter than announced");
    this.#left -= value.byteLength;
    return value;
  }

  async #rescue(room, read, key) {
    if (!room || read === 0) return 0;
    const stored = await this.#bucket.put(key, room.bytes.subarray(0, read)).catch(() => null);
    return stored === null ? 0 : read;
  }
}
