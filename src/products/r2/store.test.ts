/**
 * The store under all doors, on the real meta and blob stores. Time is a number that the test moves.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { openDirectoryBlobs } from "../../kernel/blobs/directory.ts";
import { leaseMigrations, openBlobLeases } from "../../kernel/blobs/leases.ts";
import { resolveConfig } from "../../kernel/config.ts";
import { openLog } from "../../kernel/log.ts";
import { openSqliteMeta } from "../../kernel/meta/sqlite.ts";
import { migrate } from "../../kernel/migrations.ts";
import { secretBox } from "../../kernel/secrets.ts";
import { createBucket, deleteBucket, findBucket, listBuckets, writeSetting } from "./buckets.ts";
import { commitQueue } from "./commit-queue.ts";
import type { R2 } from "./context.ts";
import { garbage } from "./garbage.ts";
import { hashPool } from "./hash-pool.ts";
import { INLINE_MAX_BYTES } from "./limits.ts";
import { listObjects } from "./list.ts";
import { LocalCopies } from "./local-copies.ts";
import { localFiles } from "./local-files.ts";
import { migrations } from "./migrations.ts";
import type { Bucket, StoredObject } from "./model.ts";
import { abortUpload, createUpload, listParts, listUploads, openUpload, uploadPart } from "./multipart.ts";
import { completeUpload } from "./multipart-complete.ts";
import { openNotifications } from "./notifications.ts";
import { copyObject, deleteObjects, getObject, headObject, type PutOptions, putObject, wholeObject } from "./objects.ts";
import { openSippy } from "./sippy.ts";
import { ssecKey } from "./ssec.ts";
import { openUsage } from "./usage.ts";

interface Store {
  readonly r2: R2;
  readonly bucket: Bucket;
  readonly directory: string;
  at: number;
}

/** A queue sender without queues: nothing here has rules. */
const sink = { find: () => undefined, send: async () => undefined, addProducers: () => undefined };

async function openStore(t: TestContext, config: Record<string, unknown> = {}): Promise<Store> {
  const directory = await mkdtemp(join(tmpdir(), "freehold-r2-"));
  const meta = await openSqliteMeta({ path: join(directory, "meta.sqlite") });
  const log = openLog({ level: "error", json: true });
  const store = { at: 1_700_000_000_000 } as { -readonly [K in keyof Store]: Store[K] };
  const clock = { now: () => store.at };
  await migrate(
    meta,
    [
      { scope: "kernel", migrations: leaseMigrations },
      { scope: "r2", migrations },
    ],
    clock,
  );
  const blobs = await openDirectoryBlobs({ directory: join(directory, "blobs") });
  const leases = await openBlobLeases(meta, blobs, log);
  const r2: R2 = {
    log,
    clock,
    config: resolveConfig(config, "test"),
    meta,
    blobs,
    accountId: "a".repeat(32),
    commits: commitQueue(meta),
    leases,
    garbage: garbage(meta, blobs, log),
    hashes: hashPool(),
    copies: new LocalCopies({ directory: blobs.scratch, idleMaxBytes: 1_000_000, idleMs: 60_000, log }),
    usage: openUsage(meta, clock, log),
    notifications: await openNotifications({ meta, clock, log, accountId: "a".repeat(32), queues: sink }),
    audit: { record: async () => {} },
    rate: { take: () => {} },
    announce: async () => () => undefined,
    sippy: await openSippy({ meta, clock, secrets: secretBox(randomBytes(32)), allowPrivate: false }),
    guards: [],
  };
  t.after(async () => {
    await r2.garbage.stop();
    await r2.hashes.stop();
    await r2.copies.stop();
    await r2.usage.stop();
    await meta.close();
    await rm(directory, { recursive: true });
  });
  return Object.assign(store, { r2, directory, bucket: await createBucket(r2, "bucket", { jurisdiction: "default" }) });
}

const bodyOf = (data: string | Uint8Array) => {
  const bytes = Buffer.from(data);
  return { chunks: Readable.from(bytes.length === 0 ? [] : [bytes]), length: bytes.length };
};

const put = ({ r2, bucket }: Store, key: string, data: string | Uint8Array = key, options: Partial<PutOptions> = {}) =>
  putObject(r2, bucket, key, bodyOf(data), { http: {}, custom: {}, ...options });

async function read({ r2, bucket }: Store, key: string, range?: { offset: number; length: number }): Promise<string | undefined> {
  const opened = await getObject(r2, bucket, key, (object) => range ?? wholeObject(object));
  return opened?.body && (await buffer(opened.body)).toString("latin1");
}

/** Blobs on disk once the collector has nothing left to do. */
async function blobCount(store: Store): Promise<number> {
  for (const deadline = Date.now() + 10_000; ; ) {
    const { n } = (await store.r2.meta.get<{ n: number }>("SELECT COUNT(*) AS n FROM r2_trash")) as { n: number };
    if (n === 0) break;
    assert.ok(Date.now() < deadline, "the trash was not emptied");
    store.r2.garbage.kick();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const files = await readdir(join(store.directory, "blobs", "objects"), { recursive: true, withFileTypes: true });
  return files.filter((file) => file.isFile()).length;
}

/** Too large for a row, so that it has a blob. */
const long = (text: string) => text.padEnd(INLINE_MAX_BYTES + 1, ".");

const md5 = (data: string | Uint8Array) => createHash("md5").update(data).digest("hex");
const key = ssecKey(Buffer.alloc(32, 7));
const code = (name: string) => ({ code: `r2.${name}` });

test("what was put is read back, with its metadata and its MD5 as ETag", async (t) => {
  const store = await openStore(t);
  const http = { contentType: "text/plain", cacheExpiry: 5 };
  const stored = await put(store, "a/b c", "hello", { http, custom: { Grün: "🦆" } });
  assert.equal(stored.etag, md5("hello"));
  assert.deepEqual(await headObject(store.r2, store.bucket, "a/b c"), stored);
  assert.deepEqual([stored.http, stored.custom, stored.size], [http, { Grün: "🦆" }, 5]);
  assert.equal(await read(store, "a/b c"), "hello");
  assert.equal(await read(store, "a/b c", { offset: 1, length: 3 }), "ell");
  assert.equal(await read(store, "missing"), undefined);
});

test("an empty object has no blob and reads as nothing", async (t) => {
  const store = await openStore(t);
  assert.equal((await put(store, "empty", "")).etag, md5(""));
  assert.equal(await read(store, "empty"), "");
  assert.equal(await blobCount(store), 0);
});

test("objects of every size around the border between row and blob read back the same, whole and in ranges", async (t) => {
  const store = await openStore(t);
  let blobs = 0;
  for (const size of [1, INLINE_MAX_BYTES - 1, INLINE_MAX_BYTES, INLINE_MAX_BYTES + 1, 4 * 1024 * 1024 - 1, 4 * 1024 * 1024, 9_000_001]) {
    const data = randomBytes(size);
    for (const [name, ssecKey] of [
      ["plain", undefined],
      ["secret", key],
    ] as const) {
      const stored = await put(store, `${name}/${size}`, data, { ssecKey, digests: ["sha256", "crc32"] });
      if (size > INLINE_MAX_BYTES) blobs++;
      assert.equal(stored.etag, md5(data));
      assert.equal(stored.checksums.digests.sha256, createHash("sha256").update(data).digest("hex"));
      for (const [offset, length] of [
        [0, size],
        [Math.floor(size / 2), Math.ceil(size / 3)],
        [size - 1, 1],
      ] as const) {
        const opened = await getObject(store.r2, store.bucket, `${name}/${size}`, () => ({ offset, length }), ssecKey);
        assert.ok(
          opened?.body && data.subarray(offset, offset + length).equals(await buffer(opened.body)),
          `${name} ${size}: ${offset}+${length}`,
        );
      }
    }
  }
  assert.equal(await blobCount(store), blobs);
});

test("a replaced or deleted object's blob goes, and only then", async (t) => {
  const store = await openStore(t);
  await put(store, "k", long("one"));
  await put(store, "k", long("two"));
  assert.equal(await blobCount(store), 1);
  assert.equal(await read(store, "k"), long("two"));
  await deleteObjects(store.r2, store.bucket, ["k", "missing"]);
  assert.equal(await blobCount(store), 0);
  assert.equal(await read(store, "k"), undefined);
});

test("a reader finishes what it has begun when the object is replaced meanwhile", async (t) => {
  const store = await openStore(t);
  const old = randomBytes(3_000_000);
  await put(store, "k", old);
  const opened = await getObject(store.r2, store.bucket, "k", wholeObject);
  assert.ok(opened?.body);
  await put(store, "k", long("new"));
  assert.deepEqual(await buffer(opened.body), old);
  assert.equal(await blobCount(store), 1);
});

test("a body that is cut off, too long or not what was said changes nothing", async (t) => {
  const store = await openStore(t);
  await put(store, "k", long("before"));
  const { r2, bucket } = store;
  async function* broken() {
    yield Buffer.from("half");
    throw new Error("client went away");
  }
  const options = { http: {}, custom: {} };
  await assert.rejects(putObject(r2, bucket, "k", { chunks: broken(), length: 100 }, options), { message: "client went away" });
  await assert.rejects(putObject(r2, bucket, "k", { ...bodyOf("abc"), length: 4 }, options), code("incompleteBody"));
  await assert.rejects(putObject(r2, bucket, "k", { ...bodyOf("abc"), length: 2 }, options), code("incompleteBody"));
  await assert.rejects(put(store, "k", "abcd", { maxBytes: 3 }), code("entityTooLarge"));
  const verify = () => {
    throw new Error("wrong digest");
  };
  await assert.rejects(put(store, "k", long("abc"), { verify }), { message: "wrong digest" });
  assert.equal(await read(store, "k"), long("before"));
  assert.equal(await blobCount(store), 1);
  assert.deepEqual(await readdir(join(store.directory, "blobs", "writing")), []);
});

test("keys of one NFC form are one object, listed as last spelled", async (t) => {
  const store = await openStore(t);
  await put(store, "He\u0301llo", "nfd");
  assert.equal(await read(store, "H\u00e9llo"), "nfd");
  await put(store, "H\u00e9llo", "nfc");
  const { objects } = await listObjects(store.r2, store.bucket, { prefix: "He\u0301" });
  assert.deepEqual(
    objects.map((object) => object.name),
    ["H\u00e9llo"],
  );
});

test("keys are bytes, never paths, and at most 1,024 of them", async (t) => {
  const store = await openStore(t);
  for (const key of ["../../etc/passwd", "/", "//", "a/../b", "a/./b", ".", " ", "a\nb\u0000c", "ü".repeat(512)]) {
    await put(store, key, `data of ${key}`);
    assert.equal(Buffer.from((await read(store, key)) as string, "latin1").toString("utf8"), `data of ${key}`);
  }
  for (const key of ["", "ü".repeat(513), "\ud800"]) await assert.rejects(put(store, key), code("invalidObjectName"));
});

test("metadata is bounded before anything is written", async (t) => {
  const store = await openStore(t);
  await put(store, "k", long("x"), { custom: { a: "b".repeat(8191) } });
  await assert.rejects(put(store, "l", "x", { custom: { a: "b".repeat(8192) } }), code("metadataTooLarge"));
  assert.equal(await blobCount(store), 1);
});

test("a conditional put looks at what is there when it commits", async (t) => {
  const store = await openStore(t);
  const absent = { etagDoesNotMatch: [{ type: "wildcard" as const }] };
  const results = await Promise.allSettled(Array.from({ length: 10 }, (_, i) => put(store, "lock", long(`${i}`), { condition: absent })));
  assert.equal(results.filter((result) => result.status === "fulfilled").length, 1);
  for (const result of results) if (result.status === "rejected") assert.equal(result.reason.code, "r2.preconditionFailed");
  const { etag } = (await headObject(store.r2, store.bucket, "lock")) as StoredObject;
  await put(store, "lock", long("next"), { condition: { etagMatches: [{ type: "strong", value: etag }] } });
  await assert.rejects(
    put(store, "lock", long("stale"), { condition: { etagMatches: [{ type: "strong", value: etag }] } }),
    code("preconditionFailed"),
  );
  assert.equal(await read(store, "lock"), long("next"));
  assert.equal(await blobCount(store), 1);
});

test("a locked object is neither replaced nor deleted until its time is over", async (t) => {
  const store = await openStore(t);
  await put(store, "logs/1", "kept");
  await put(store, "other", "free");
  const rules = [{ id: "r", enabled: true, prefix: "logs/", condition: { type: "Age", maxAgeSeconds: 60 } }];
  await writeSetting(store.r2, store.bucket, "lock", { rules });
  await assert.rejects(put(store, "logs/1", "new"), code("objectLocked"));
  assert.deepEqual(await deleteObjects(store.r2, store.bucket, ["logs/1", "other"]), { locked: ["logs/1"] });
  assert.equal(await read(store, "logs/1"), "kept");
  assert.equal(await read(store, "other"), undefined);
  store.at += 60_000;
  assert.deepEqual(await deleteObjects(store.r2, store.bucket, ["logs/1"]), { locked: [] });
});

async function listAll(
  store: Store,
  options: Parameters<typeof listObjects>[2],
): Promise<{ keys: string[]; prefixes: string[]; pages: number }> {
  const keys: string[] = [];
  const prefixes: string[] = [];
  let cursor: string | undefined;
  for (let pages = 1; ; pages++) {
    const page = await listObjects(store.r2, store.bucket, { ...options, cursor });
    keys.push(...page.objects.map((object) => object.name));
    prefixes.push(...page.prefixes);
    assert.equal(page.truncated, page.cursor !== undefined);
    if (page.cursor === undefined) return { keys, prefixes, pages };
    cursor = page.cursor;
  }
}

test("lists in byte order and pages without gaps or repeats, whatever the page size", async (t) => {
  const store = await openStore(t);
  const keys = ["a", "a/", "a/1", "a/2", "a/b/1", "a0", "b/1", "b/2", "c", "\u{ffff}", "\u{1f600}", "ä"];
  for (const key of keys) await put(store, key);
  // UTF-16 would put the emoji before U+FFFF.
  const ordered = keys.toSorted((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
  for (const limit of [1, 2, 3, 5, 12, 1000]) {
    assert.deepEqual((await listAll(store, { limit })).keys, ordered, `limit ${limit}`);
    const grouped = await listAll(store, { limit, delimiter: "/" });
    assert.deepEqual(grouped.prefixes, ["a/", "b/"], `limit ${limit}`);
    assert.deepEqual(
      grouped.keys,
      ordered.filter((key) => !key.includes("/")),
    );
    const inside = await listAll(store, { limit, delimiter: "/", prefix: "a/" });
    assert.deepEqual([inside.keys, inside.prefixes], [["a/", "a/1", "a/2"], ["a/b/"]]);
  }
  assert.equal((await listAll(store, { limit: 12 })).pages, 1);
  assert.deepEqual((await listAll(store, { startAfter: "a/2" })).keys, ordered.slice(ordered.indexOf("a/2") + 1));
  assert.deepEqual((await listAll(store, { startAfter: "a/", delimiter: "/" })).prefixes, ["b/"]);
  assert.deepEqual((await listAll(store, { prefix: "nothing" })).keys, []);
});

test("a group of many keys is one item, reported once", async (t) => {
  const store = await openStore(t);
  for (let i = 0; i < 250; i++) await put(store, `big/${i}`, "");
  await put(store, "z", "");
  const page = await listObjects(store.r2, store.bucket, { delimiter: "/", limit: 1 });
  assert.deepEqual([page.prefixes, page.truncated], [["big/"], true]);
  const next = await listObjects(store.r2, store.bucket, { delimiter: "/", limit: 1, cursor: page.cursor });
  assert.deepEqual([next.objects.map((object) => object.name), next.prefixes, next.truncated], [["z"], [], false]);
});

test("a cursor that we did not make is refused", async (t) => {
  const store = await openStore(t);
  for (const cursor of ["x", "AgBh", "AQBh!", "%%%"]) {
    await assert.rejects(listObjects(store.r2, store.bucket, { cursor }), code("invalidArgument"));
  }
  await assert.rejects(listObjects(store.r2, store.bucket, { limit: 0 }), code("invalidMaxKeys"));
  await assert.rejects(listObjects(store.r2, store.bucket, { limit: 1001 }), code("invalidMaxKeys"));
});

const MIB = 1024 * 1024;

async function upload(store: Store, key: string, sizes: readonly number[]): Promise<{ id: string; data: Buffer; etags: string[] }> {
  const { r2, bucket } = store;
  const { uploadId } = await createUpload(r2, bucket, key, { http: { contentType: "x/y" }, custom: { a: "b" } });
  const pieces = sizes.map((size) => randomBytes(size));
  // In reverse: the order in which parts arrive does not matter.
  for (let i = pieces.length - 1; i >= 0; i--) await uploadPart(r2, bucket, key, uploadId, i + 1, bodyOf(pieces[i] as Buffer));
  return { id: uploadId, data: Buffer.concat(pieces), etags: pieces.map(md5) };
}

const selected = (etags: readonly string[]) => etags.map((etag, i) => ({ number: i + 1, etag }));

test("parts become one object with the documented ETag, readable across their borders", async (t) => {
  const store = await openStore(t);
  const { r2, bucket } = store;
  const { id, data, etags } = await upload(store, "big", [5 * MIB, 5 * MIB, 3]);
  assert.equal(await headObject(r2, bucket, "big"), undefined);
  const object = await completeUpload(r2, bucket, "big", id, selected(etags).toReversed());
  assert.equal(object.etag, `${md5(Buffer.concat(etags.map((etag) => Buffer.from(etag, "hex"))))}-3`);
  assert.deepEqual([object.size, object.http, object.custom], [data.length, { contentType: "x/y" }, { a: "b" }]);
  assert.equal(await read(store, "big"), data.toString("latin1"));
  for (const [offset, length] of [
    [0, 1],
    [5 * MIB - 2, 4],
    [5 * MIB, 5 * MIB],
    [10 * MIB - 1, 4],
    [10 * MIB + 2, 1],
    [1, data.length - 2],
  ] as const) {
    const bytes = await read(store, "big", { offset, length });
    assert.ok(bytes === data.subarray(offset, offset + length).toString("latin1"), `${offset}+${length}`);
  }
  await assert.rejects(completeUpload(r2, bucket, "big", id, selected(etags)), code("noSuchUpload"));
  await deleteObjects(r2, bucket, ["big"]);
  assert.equal(await blobCount(store), 0);
});

test("the documented ETag of two parts", async () => {
  const { multipartEtag } = await import("./multipart-complete.ts");
  assert.equal(
    multipartEtag(["bce6bf66aeb76c7040fdd5f4eccb78e6", "8165449fc15bbf43d3b674595cbcc406"]),
    "f77dc0eecdebcd774a2a22cb393ad2ff-2",
  );
});

test("completing checks the parts and keeps the upload when they do not fit", async (t) => {
  const store = await openStore(t);
  const { r2, bucket } = store;
  const small = await upload(store, "small", [100, 100]);
  await assert.rejects(completeUpload(r2, bucket, "small", small.id, selected(small.etags)), code("entityTooSmall"));
  const uneven = await upload(store, "uneven", [5 * MIB, 6 * MIB, 5 * MIB]);
  await assert.rejects(completeUpload(r2, bucket, "uneven", uneven.id, selected(uneven.etags)), code("badUpload"));
  const longer = await upload(store, "longer", [5 * MIB, 6 * MIB]);
  await assert.rejects(completeUpload(r2, bucket, "longer", longer.id, selected(longer.etags)), code("badUpload"));
  const one = await upload(store, "one", [10]);
  const [etag] = one.etags as [string];
  for (const [parts, error] of [
    [[{ number: 1, etag: "0".repeat(32) }], "invalidPart"],
    [[{ number: 2, etag }], "invalidPart"],
    [[{ number: 0, etag }], "invalidPart"],
    [
      [
        { number: 1, etag },
        { number: 1, etag },
      ],
      "badUpload",
    ],
    [[], "badUpload"],
  ] as const) {
    await assert.rejects(completeUpload(r2, bucket, "one", one.id, parts), code(error));
  }
  await completeUpload(r2, bucket, "one", one.id, [{ number: 1, etag }]);
  assert.equal(await read(store, "one"), one.data.toString("latin1"));
});

test("an upload id opens only its own bucket and key", async (t) => {
  const store = await openStore(t);
  const { r2, bucket } = store;
  const other = await createBucket(r2, "other", { jurisdiction: "default" });
  const { id, etags } = await upload(store, "mine", [10]);
  for (const [where, key] of [
    [other, "mine"],
    [bucket, "yours"],
  ] as const) {
    await assert.rejects(uploadPart(r2, where, key, id, 1, bodyOf("x")), code("noSuchUpload"));
    await assert.rejects(completeUpload(r2, where, key, id, selected(etags)), code("noSuchUpload"));
    await assert.rejects(abortUpload(r2, where, key, id), code("noSuchUpload"));
  }
});

test("a part uploaded again replaces the first; unused and aborted parts go", async (t) => {
  const store = await openStore(t);
  const { r2, bucket } = store;
  const { uploadId } = await createUpload(r2, bucket, "k", { http: {}, custom: {} });
  await uploadPart(r2, bucket, "k", uploadId, 1, bodyOf("first"));
  const second = await uploadPart(r2, bucket, "k", uploadId, 1, bodyOf("second"));
  await uploadPart(r2, bucket, "k", uploadId, 2, bodyOf("unused"));
  const opened = await openUpload(r2.meta, bucket, "k", uploadId);
  const { parts, truncated } = await listParts(r2, opened, 0, 1);
  assert.deepEqual([parts.map((part) => [part.number, part.etag]), truncated], [[[1, md5("second")]], true]);
  await completeUpload(r2, bucket, "k", uploadId, [{ number: 1, etag: second.etag }]);
  assert.equal(await read(store, "k"), "second");
  assert.equal(await blobCount(store), 1);

  const aborted = await createUpload(r2, bucket, "k", { http: {}, custom: {} });
  await uploadPart(r2, bucket, "k", aborted.uploadId, 1, bodyOf("gone"));
  await abortUpload(r2, bucket, "k", aborted.uploadId);
  await abortUpload(r2, bucket, "k", aborted.uploadId);
  await assert.rejects(uploadPart(r2, bucket, "k", aborted.uploadId, 1, bodyOf("x")), code("noSuchUpload"));
  await assert.rejects(abortUpload(r2, bucket, "k", "never"), code("noSuchUpload"));
  assert.equal(await blobCount(store), 1);
});

test("a failed condition on completion ends the upload", async (t) => {
  const store = await openStore(t);
  const { r2, bucket } = store;
  await put(store, "k", long("there"));
  const { id, etags } = await upload(store, "k", [10]);
  const condition = { etagDoesNotMatch: [{ type: "wildcard" as const }] };
  await assert.rejects(completeUpload(r2, bucket, "k", id, selected(etags), { condition }), code("preconditionFailed"));
  await assert.rejects(completeUpload(r2, bucket, "k", id, selected(etags)), code("noSuchUpload"));
  assert.equal(await read(store, "k"), long("there"));
  assert.equal(await blobCount(store), 1);
});

test("uploads in progress are listed by key and id with markers and groups", async (t) => {
  const store = await openStore(t);
  const { r2, bucket } = store;
  const ids: [string, string][] = [];
  for (const key of ["a", "a", "b/1", "b/2", "c"])
    ids.push([key, (await createUpload(r2, bucket, key, { http: {}, custom: {} })).uploadId]);
  ids.sort(([k, i], [l, j]) => (k < l || (k === l && i < j) ? -1 : 1));
  const seen: [string, string][] = [];
  let [keyMarker, uploadIdMarker] = ["", ""];
  for (;;) {
    const page = await listUploads(r2, bucket, { prefix: "", delimiter: "", keyMarker, uploadIdMarker, limit: 1 });
    seen.push(...page.uploads.map((one): [string, string] => [one.name, one.uploadId]));
    if (!page.truncated) break;
    [keyMarker, uploadIdMarker] = [page.nextKeyMarker, page.nextUploadIdMarker];
  }
  assert.deepEqual(seen, ids);
  const grouped = await listUploads(r2, bucket, { prefix: "", delimiter: "/", keyMarker: "", uploadIdMarker: "", limit: 3 });
  assert.deepEqual([grouped.uploads.map((one) => one.name), grouped.prefixes, grouped.truncated], [["a", "a"], ["b/"], true]);
  const rest = await listUploads(r2, bucket, { prefix: "", delimiter: "/", keyMarker: "b/", uploadIdMarker: "", limit: 3 });
  assert.deepEqual([rest.uploads.map((one) => one.name), rest.prefixes], [["c"], []]);
});

test("a copy is an object of its own", async (t) => {
  const store = await openStore(t);
  const { r2, bucket } = store;
  const { id, data, etags } = await upload(store, "big", [5 * MIB, 7]);
  await completeUpload(r2, bucket, "big", id, selected(etags));
  const metadata = (source: StoredObject) => ({ http: source.http, custom: source.custom });
  const { copy } = await copyObject(r2, { bucket, name: "big" }, { bucket, name: "copy" }, { metadata });
  assert.deepEqual([copy.etag, copy.http, copy.custom], [md5(data), { contentType: "x/y" }, { a: "b" }]);
  await deleteObjects(r2, bucket, ["big"]);
  assert.equal(await read(store, "copy"), data.toString("latin1"));
  await assert.rejects(copyObject(r2, { bucket, name: "big" }, { bucket, name: "copy" }, { metadata }), code("noSuchKey"));
});

test("an object that is no single file is one file for all who read it, until it is replaced or a bound is reached", async (t) => {
  const store = await openStore(t);
  const { r2, bucket } = store;
  const hold = async (...keys: string[]) => {
    const { files, release } = await localFiles(r2, bucket, keys);
    return { paths: files.map((file) => file?.path as string), release };
  };
  const { id, data, etags } = await upload(store, "parts", [5 * MIB, 7]);
  await completeUpload(r2, bucket, "parts", id, selected(etags));
  await put(store, "small", "inline");
  await put(store, "blob", long("x"));
  const [one, two] = await Promise.all([hold("parts", "small", "blob", "missing"), hold("small", "parts")]);
  assert.deepEqual(two.paths, [one.paths[1], one.paths[0]]);
  assert.deepEqual(
    await Promise.all(one.paths.slice(0, 3).map((path) => readFile(path))),
    [data, "inline", long("x")].map((body) => Buffer.from(body)),
  );
  assert.equal(one.paths[3], undefined);
  await put(store, "small", "replaced");
  const three = await hold("small");
  assert.notEqual(three.paths[0], one.paths[1]);
  assert.equal(await readFile(three.paths[0] as string, "utf8"), "replaced");
  await Promise.all([one, two].map(({ release }) => release()));
  await r2.copies.stop();
  // Those that nobody holds are gone, of which the larger was more than may stay.
  assert.deepEqual(await readdir(r2.blobs.scratch), [basename(three.paths[0] as string)]);
  await three.release();
  const four = await hold("small");
  assert.deepEqual(four.paths, three.paths, "an idle copy is used again");
  await four.release();
  await put(store, "locked", "secret", { ssecKey: key });
  await assert.rejects(hold("small", "locked"), "what only its customer can read is no file");
  await r2.copies.stop();
  assert.deepEqual(await readdir(r2.blobs.scratch), []);
});

test("a bucket's name is checked, taken once, and free again after an empty bucket is deleted", async (t) => {
  const store = await openStore(t, { "r2.buckets_max": 3 });
  const { r2, bucket } = store;
  for (const name of ["ab", "A-b", "-abc", "abc-", "a_b", "a.b.c", "x".repeat(64), "ü-bucket"]) {
    await assert.rejects(createBucket(r2, name, { jurisdiction: "default" }), code("invalidBucketName"));
  }
  await assert.rejects(createBucket(r2, "bucket", { jurisdiction: "default" }), code("bucketConflict"));
  const eu = await createBucket(r2, "bucket", { jurisdiction: "eu" });
  assert.notEqual(eu.id, bucket.id);
  assert.equal((await findBucket(r2, "bucket", "eu"))?.id, eu.id);
  await createBucket(r2, "another", { jurisdiction: "default" });
  await assert.rejects(createBucket(r2, "fourth", { jurisdiction: "default" }), code("tooManyBuckets"));
  await put(store, "k");
  await assert.rejects(deleteBucket(r2, bucket), {
    message: `The bucket you tried to delete (bucket) is not empty (account ${r2.accountId})`,
  });
  await deleteObjects(r2, bucket, ["k"]);
  const { uploadId } = await createUpload(r2, bucket, "k", { http: {}, custom: {} });
  await assert.rejects(deleteBucket(r2, bucket), code("bucketNotEmpty"));
  await abortUpload(r2, bucket, "k", uploadId);
  await deleteBucket(r2, bucket);
  await assert.rejects(put(store, "k"), code("noSuchBucket"));
  assert.equal(await blobCount(store), 0);
  const { buckets } = await listBuckets(r2, { jurisdiction: "default", limit: 10 });
  assert.deepEqual(
    buckets.map(({ name }) => name),
    ["another"],
  );
});

test("steps of one commit that fail do not undo the others", async (t) => {
  const { r2, bucket } = await openStore(t);
  const insert = (name: string, fail: boolean) =>
    r2.commits.run(async (tx) => {
      await tx.run("INSERT INTO r2_settings (bucket_id, kind, value) VALUES (?, ?, '1')", bucket.id, name);
      if (fail) throw new Error(`${name} failed after writing`);
    });
  const results = await Promise.allSettled([insert("a", false), insert("b", true), insert("c", false), insert("a", false)]);
  assert.deepEqual(
    results.map((result) => result.status),
    ["fulfilled", "rejected", "fulfilled", "rejected"],
  );
  const rows = await r2.meta.all<{ kind: string }>("SELECT kind FROM r2_settings ORDER BY kind");
  assert.deepEqual(
    rows.map(({ kind }) => kind),
    ["a", "c"],
  );
});
