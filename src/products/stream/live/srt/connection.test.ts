import assert from "node:assert/strict";
import { createCipheriv, pbkdf2Sync, randomBytes } from "node:crypto";
import { test } from "node:test";
import { openConnection } from "./connection.ts";
import { sessionKeys } from "./keys.ts";
import { decodeHandshake, distance, lossesOf, lossList, streamIdOf } from "./packets.ts";

/** A caller's message with its key, wrapped by a passphrase. */
function keyMessage(passphrase: string, bytes: number): Buffer {
  const [salt, key] = [randomBytes(16), randomBytes(bytes)];
  const cipher = createCipheriv(
    `id-aes${bytes * 8}-wrap`,
    pbkdf2Sync(passphrase, salt.subarray(8), 2048, bytes, "sha1"),
    Buffer.alloc(8, 0xa6),
  );
  const head = Buffer.from([0x12, 0x20, 0x29, 0x01, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 4, bytes / 4]);
  return Buffer.concat([head, salt, cipher.update(key), cipher.final()]);
}

test("what is lost on the way is sent again, and comes in order", async () => {
  const message = keyMessage("the right passphrase", 16);
  const got: number[] = [];
  const total = 600;
  const all = Promise.withResolvers<void>();
  // Every seventh packet is lost, in both directions, and the numbers go round on the way.
  const sequence = 0x7fffffff - 100;
  let passed = 0;
  const lossy = (to: () => { handle(packet: Buffer): void }) => (packet: Buffer) => {
    if (++passed % 7 !== 0) setImmediate(() => to().handle(packet));
  };
  const keysOf = () => {
    const keys = sessionKeys("the right passphrase");
    assert.equal(keys.take(message), true);
    return keys;
  };
  const receiver: ReturnType<typeof openConnection> = openConnection({
    ...{ peer: 1, sequence, latencyMs: 10_000, keys: keysOf(), transmit: lossy(() => sender), ended: () => undefined },
    received(payload) {
      got.push(payload.readUInt32BE());
      if (got.length === total) all.resolve();
    },
  });
  const sender: ReturnType<typeof openConnection> = openConnection({
    ...{ peer: 2, sequence, latencyMs: 10_000, keys: keysOf(), transmit: lossy(() => receiver), ended: () => undefined },
    received: () => undefined,
  });
  for (let i = 0; i < total; i++) {
    const payload = Buffer.alloc(200);
    payload.writeUInt32BE(i);
    sender.send(payload);
    if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  // The last ones are missed only once something comes after them.
  const more = setInterval(() => sender.send(Buffer.alloc(200)), 5);
  await all.promise;
  clearInterval(more);
  assert.deepEqual(
    got.slice(0, total),
    Array.from({ length: total }, (_, i) => i),
  );
  sender.close();
  receiver.close();
});

test("a hole that the latency does not heal is left, and what is not encrypted, or by another key, is dropped", async () => {
  const keys = sessionKeys("the right passphrase");
  keys.take(keyMessage("the right passphrase", 32));
  const got: string[] = [];
  const second = Promise.withResolvers<void>();
  const connection = openConnection({
    ...{ peer: 1, sequence: 5, latencyMs: 20, keys, transmit: () => undefined, ended: () => undefined },
    received(payload) {
      got.push(payload.toString());
      if (got.length === 2) second.resolve();
    },
  });
  const packet = (number: number, key: number, payload: Buffer): Buffer => {
    const head = Buffer.alloc(16);
    head.writeUInt32BE(number, 0);
    head.writeUInt32BE(((3 << 30) | (key << 27) | number) >>> 0, 4);
    return Buffer.concat([head, payload]);
  };
  const sealed = (number: number, text: string): Buffer => packet(number, 1, keys.turn(Buffer.from(text), number, 1) as Buffer);
  connection.handle(sealed(5, "five"));
  connection.handle(packet(6, 0, Buffer.from("open")));
  connection.handle(packet(6, 2, Buffer.from("odd")));
  connection.handle(sealed(7, "seven"));
  await second.promise;
  assert.deepEqual(got, ["five", "seven"]);
  connection.close();
});

test("keys open by their passphrase alone, and messages that are cut short are none", () => {
  const message = keyMessage("the right passphrase", 24);
  assert.equal(sessionKeys("another passphrase").take(message), false);
  for (const end of [0, 15, 31, message.length - 1])
    assert.equal(sessionKeys("the right passphrase").take(message.subarray(0, end)), false);
  assert.equal(decodeHandshake(Buffer.alloc(40)), undefined);
  // An extension that says it is longer than the packet.
  assert.equal(decodeHandshake(Buffer.concat([Buffer.alloc(48), Buffer.from([0, 5, 0xff, 0xff])])), undefined);
  assert.equal(streamIdOf(Buffer.from("dcba\0\0\0e")), "abcde");
  assert.deepEqual(
    lossesOf(
      lossList([
        [3, 3],
        [7, 9],
      ]),
    ),
    [
      [3, 3],
      [7, 9],
    ],
  );
  assert.deepEqual([distance(0x7fffffff, 0), distance(0, 0x7fffffff)], [1, -1]);
});
