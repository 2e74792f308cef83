/**
 * The meter against messages encoded by hand: a message is a segment table, the root pointer, the Message struct with its
 * discriminant, and behind its one pointer the call's own struct, whose first field is the question's number.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RpcMeter } from "./rpc-meter.ts";

const CALL = 2;
const RETURN = 3;
const FINISH = 4;
const BOOTSTRAP = 8;

function message(kind: number, id: number, extraWords = 0): Buffer {
  const body = Buffer.alloc((1 + 2 + 2 + extraWords) * 8);
  // Root: struct pointer, offset 0, one data word, one pointer.
  body.writeUInt16LE(1, 4);
  body.writeUInt16LE(1, 6);
  body.writeUInt16LE(kind, 8);
  // The union's pointer: struct right behind it, two data words.
  body.writeUInt16LE(2, 16 + 4);
  body.writeUInt32LE(id, 24);
  const table = Buffer.alloc(8);
  table.writeUInt32LE(0, 0);
  table.writeUInt32LE(body.length / 8, 4);
  return Buffer.concat([table, body]);
}

test("a connection is busy from the call to its finish, in both directions", () => {
  const changes: boolean[] = [];
  const meter: RpcMeter = new RpcMeter(() => changes.push(meter.idle));
  assert(meter.idle);
  meter.toServer.read(message(BOOTSTRAP, 0));
  meter.toServer.read(message(CALL, 1));
  meter.toClient.read(message(RETURN, 1));
  assert(!meter.idle);
  meter.toServer.read(Buffer.concat([message(FINISH, 0), message(FINISH, 1)]));
  assert(meter.idle);
  // A callback: the server asks, with a number of its own.
  meter.toClient.read(message(CALL, 1));
  assert(!meter.idle);
  meter.toServer.read(message(FINISH, 1));
  assert(!meter.idle, "a finish of the client's own question is not the server's");
  meter.toClient.read(message(FINISH, 1));
  assert(meter.idle);
  assert.deepEqual(changes, [false, true, false, true]);
});

test("messages may be cut anywhere", () => {
  const stream = Buffer.concat([message(CALL, 7, 100), message(RETURN, 3, 5), message(CALL, 8), message(FINISH, 7), message(FINISH, 8, 3)]);
  for (const size of [1, 3, 7, 8, 9, 64, 1000]) {
    const meter = new RpcMeter(() => undefined);
    let busy = false;
    for (let at = 0; at < stream.length; at += size) {
      meter.toServer.read(stream.subarray(at, at + size));
      busy ||= !meter.idle;
    }
    assert(busy && meter.idle, `in pieces of ${size}`);
  }
});

test("what is no RPC is refused", () => {
  const meter = new RpcMeter(() => undefined);
  assert.throws(() => meter.toServer.read(Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")));
});
