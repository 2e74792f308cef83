/** Sealed data opens only whole, unchanged and where it belongs. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { sealing } from "./sealing.ts";

const key = randomBytes(32);
const { seal, open, sealer, opened } = sealing(key);
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}
const all = (source: AsyncIterable<Uint8Array>): Promise<Buffer> => buffer(source);

test("a small text opens in its context alone, never twice the same, and not when a bit of it was changed", () => {
  const sealed = seal(text("the value"), text("a/key"));
  assert.deepEqual(open(sealed, text("a/key")), text("the value"));
  assert.notDeepEqual(seal(text("the value"), text("a/key")), sealed);
  assert(!Buffer.from(sealed).includes("value"));
  assert.deepEqual(open(seal(new Uint8Array(), text("k")), text("k")), new Uint8Array());
  assert.throws(() => open(sealed, text("b/key")));
  assert.throws(() => sealing(randomBytes(32)).open(sealed, text("a/key")));
  assert.throws(() => open(sealed.subarray(0, 20), text("a/key")));
  for (let i = 0; i < sealed.byteLength; i++) {
    const changed = Uint8Array.from(sealed);
    changed[i] = (changed[i] as number) ^ 1;
    assert.throws(() => open(changed, text("a/key")), `byte ${i}`);
  }
});

test("a long text streams, whatever the sizes of its chunks, and no piece can be left out, repeated or moved", async () => {
  const piece = 64 * 1024 + 16;
  for (const size of [0, 1, 65_535, 65_536, 65_537, 200_000]) {
    const plain = randomBytes(size);
    for (const [written, read] of [
      [7_001, 100_000],
      [150_000, 5_003],
    ] as const) {
      const one = sealer("name");
      const parts: Buffer[] = [];
      for await (const chunk of chunks(plain, written)) parts.push(one.update(chunk));
      const sealed = Buffer.concat([...parts, one.final()]);
      assert.equal(sealed.byteLength, size + 16 * Math.max(1, Math.ceil(size / 65_536)));
      assert((await all(opened("name", chunks(sealed, read)))).equals(plain), `${size} bytes`);
      await assert.rejects(all(opened("other", chunks(sealed, read))));
      await assert.rejects(all(opened("name", chunks(sealed.subarray(0, -1), read))));
    }
  }
  const one = sealer("name");
  const sealed = Buffer.concat([one.update(randomBytes(200_000)), one.final()]);
  const [first, second, rest] = [sealed.subarray(0, piece), sealed.subarray(piece, 2 * piece), sealed.subarray(2 * piece)];
  for (const bad of [[first, second], [first, rest], [second, first, rest], [first, first, second, rest], [first]])
    await assert.rejects(all(opened("name", chunks(Buffer.concat(bad), 100_000))));
});
