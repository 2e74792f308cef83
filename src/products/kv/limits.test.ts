import assert from "node:assert/strict";
import { test } from "node:test";
import { PlatformError } from "../../kernel/errors.ts";
import { cursorAfter, expirationSeconds, keyBytes, keyOfCursor, listLimit, metadataText } from "./limits.ts";

const refuses = (work: () => unknown, code: string, message: RegExp) =>
  assert.throws(work, (error) => error instanceof PlatformError && error.code === code && message.test(error.message));

test("keys are 1 to 512 bytes of UTF-8 and not a path's dots", () => {
  assert.equal(keyBytes("é".repeat(256)).byteLength, 512);
  refuses(() => keyBytes(""), "kv.invalidKey", /must not be empty/);
  for (const dots of [".", ".."]) refuses(() => keyBytes(dots), "kv.invalidKey", /Illegal key name/);
  assert.equal(keyBytes("...").byteLength, 3);
  refuses(() => keyBytes("é".repeat(257)), "kv.keyTooLong", /514 exceeds key length limit of 512/);
});

test("a TTL wins over an absolute time, and both must lie a minute ahead", () => {
  const now = 1_000_000_500;
  assert.equal(expirationSeconds("60", "5", now), 1_000_060);
  assert.equal(expirationSeconds(null, "1000060", now), 1_000_060);
  assert.equal(expirationSeconds(null, null, now), null);
  refuses(() => expirationSeconds("59", null, now), "kv.invalidExpiration", /at least 60/);
  refuses(() => expirationSeconds("soon", null, now), "kv.invalidExpiration", /of soon\. Please specify integer greater than 0/);
  refuses(() => expirationSeconds(null, "1000000", now), "kv.invalidExpiration", /greater than the current number of seconds/);
  refuses(() => expirationSeconds(null, "1000059", now), "kv.invalidExpiration", /60 seconds in the future/);
  refuses(() => expirationSeconds("9007199254740991", null, now), "kv.invalidExpiration", /Invalid expiration_ttl/);
});

test("metadata is JSON of at most 1,024 bytes in its canonical form", () => {
  assert.equal(metadataText('{ "a" : 1 }'), '{"a":1}');
  assert.equal(metadataText("null"), null);
  assert.equal(metadataText(JSON.stringify("x".repeat(1022)))?.length, 1024);
  refuses(() => metadataText(JSON.stringify("x".repeat(1023))), "kv.metadataTooLarge", /1025 exceeds limit of 1024/);
  refuses(() => metadataText("{"), "kv.invalidMetadata", /valid json/);
});

test("a cursor gives back its key, and nothing else passes for one", () => {
  for (const key of [Buffer.from("a"), Buffer.from("\u{10ffff}"), Buffer.alloc(512, 0xff)]) {
    assert.deepEqual(keyOfCursor(cursorAfter(key)), new Uint8Array(key));
  }
  assert.equal(keyOfCursor(""), null);
  for (const bad of ["a", "YQ", "AWE=", "../", Buffer.alloc(600, 1).toString("base64url")])
    refuses(() => keyOfCursor(bad), "kv.invalidCursor", /cursor/);
});

test("a page has 1 to 1,000 keys", () => {
  assert.equal(listLimit(null), 1000);
  assert.equal(listLimit("1"), 1);
  refuses(() => listLimit("0"), "kv.invalidLimit", /greater than 0/);
  refuses(() => listLimit("1001"), "kv.invalidLimit", /key_count_limit of 1001\. Please specify an integer less than 1000/);
});
