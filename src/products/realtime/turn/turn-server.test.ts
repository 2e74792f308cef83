import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { systemClock } from "../../../kernel/clock.ts";
import { attribute, kind, longTermKey, method, parseStun, uint32, writeStun } from "./stun.ts";
import { type Client, createTurnServer } from "./turn-server.ts";

const limits = { newPeersPerS: 5, packetsPerS: 100, bitsPerS: 1e6, allocationsMax: 5, connectionsMax: 5, relayAddress: "" };

test("values of any length, in requests that are signed, are answered and end nothing", async () => {
  const server = createTurnServer({
    ...{ realm: "r", limits, allowsPeer: () => false, now: () => systemClock.now() },
    credential: async (username) => ({ username, password: "p", expires: Number.POSITIVE_INFINITY }),
    async openRelay() {
      const relay = createSocket("udp4");
      relay.bind(0, "127.0.0.1");
      await once(relay, "listening");
      return [relay];
    },
  });
  const answers: Buffer[] = [];
  const client: Client = {
    ...{ remote: { address: "127.0.0.1", port: 1 }, stream: false, allocation: undefined },
    send: (bytes) => answers.push(bytes),
    close: () => undefined,
  };
  const ask = async (number: number, attributes: readonly (readonly [number, Buffer])[], key?: Buffer) => {
    await server.receive(client, writeStun({ method: number, kind: kind.request, attributes, key }));
    return parseStun(answers.at(-1) as Buffer);
  };
  const nonce = (await ask(method.allocate, []))?.attributes.get(attribute.nonce) as Buffer;
  const key = longTermKey("u", "r", "p");
  const signed = (number: number, attributes: readonly (readonly [number, Buffer])[]) =>
    ask(
      number,
      [[attribute.username, Buffer.from("u")], [attribute.realm, Buffer.from("r")], [attribute.nonce, nonce], ...attributes],
      key,
    );
  assert.equal((await signed(method.allocate, [[attribute.requestedTransport, uint32(17 << 24)]]))?.kind, kind.success);
  let asked = answers.length;
  for (const type of [
    attribute.channelNumber,
    attribute.xorPeerAddress,
    attribute.lifetime,
    attribute.requestedAddressFamily,
    attribute.evenPort,
  ])
    for (const number of [method.refresh, method.createPermission, method.channelBind, method.allocate])
      for (const value of ["", "00", "0001", "000100", "ffffffffffffffffffff"]) {
        await signed(number, [[type, Buffer.from(value, "hex")]]);
        assert.equal(answers.length, ++asked, `method ${number} with ${type}: ${value}`);
      }
  server.close();
});
