import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { request } from "undici";
import { isPublicAddress, PrivateAddressError, publicAgent } from "./public-network.ts";

test("private, local and reserved addresses are not public, in every notation", () => {
  for (const address of [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
  ])
    assert.ok(!isPublicAddress(address), address);
  for (const address of ["::1", "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "2002:7f00:1::"])
    assert.ok(!isPublicAddress(address), address);
  for (const address of ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111"]) assert.ok(isPublicAddress(address), address);
});

test("an agent reaches a local server only when private addresses are allowed", async (t) => {
  const server = createServer((_request, response) => void response.end("secret")).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const guarded = publicAgent(false);
  t.after(() => guarded.close());
  for (const host of ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
    await assert.rejects(request(`http://${host}:${port}/`, { dispatcher: guarded }), PrivateAddressError, host);
  const open = publicAgent(true);
  t.after(() => open.close());
  assert.equal(await (await request(`http://127.0.0.1:${port}/`, { dispatcher: open })).body.text(), "secret");
});
