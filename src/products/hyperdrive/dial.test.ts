import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { dial } from "./dial.ts";
import type { OriginError } from "./origin-error.ts";

test("addresses that are not public are reached when the operator allows it, and not otherwise", async (t) => {
  const server = createServer((socket) => socket.end()).listen(0, "127.0.0.1");
  t.after(() => void server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const signal = AbortSignal.timeout(10_000);
  for (const host of ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]", "::ffff:127.0.0.1", "2130706433", "0x7f.1"])
    await assert.rejects(dial({ host, port, allowPrivate: false, signal }), ({ code, reason }: OriginError) => {
      assert.ok(code === 2009 || (code === 2008 && reason === "badHost"), `${host}: ${code}`);
      return true;
    });
  (await dial({ host: "localhost", port, allowPrivate: true, signal })).destroy();
});
