import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { PrivateAddressError } from "../../../kernel/public-network.ts";
import { openPush, pushable } from "./rtmp-push.ts";

test("an output reaches no private address, and only servers of RTMP with an application", async (t) => {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.on("error", () => undefined).end("this is no RTMP");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => void server.close());
  const { port } = server.address() as { port: number };
  const { signal } = new AbortController();
  for (const host of ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
    for (const scheme of ["rtmp", "rtmps"])
      await assert.rejects(
        openPush(new URL(`${scheme}://${host}:${port}/app`), "key", { allowPrivate: false, signal }),
        (error: unknown) => error instanceof PrivateAddressError,
        `${scheme}://${host}`,
      );
  assert.equal(connections, 0);
  // Where the operator allows it, what answers otherwise is refused, not waited for.
  await assert.rejects(openPush(new URL(`rtmp://127.0.0.1:${port}/app`), "key", { allowPrivate: true, signal }));
  assert.equal(connections, 1);
  for (const wrong of [
    "http://a.example/app",
    "rtmp://a.example",
    "rtmp://a.example/",
    "file:///etc/passwd",
    "srt://a.example:1/x",
    "no URL",
  ])
    assert.equal(pushable(wrong), undefined, wrong);
});
