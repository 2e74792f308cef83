/** What a trace that the platform makes itself tells of a request. */
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import test from "node:test";
import { killedTrace, redactedUrl } from "./killed.ts";

test("secrets in headers and ids in the URL are redacted, as in workerd's own traces", () => {
  const request = {
    method: "POST",
    url: "/users/0123456789abcdef-0123456789abcdef?session=aB3dE6gH9jK2mN5pQ8sT1&page=a-long-name-of-a-page-in-words",
    headers: { host: "w.example", authorization: "Bearer x", cookie: "id=1", "x-api-key": "k", "x-jwt-assertion": "j", accept: "*/*" },
    socket: {},
  } as unknown as IncomingMessage;
  const { event } = killedTrace("exceededCpu", request, 1, 2, "ray");
  assert.equal(event.request.url, "http://w.example/users/REDACTED?session=REDACTED&page=a-long-name-of-a-page-in-words");
  assert.deepEqual(event.request.headers, {
    "cf-ray": "ray",
    host: "w.example",
    authorization: "REDACTED",
    cookie: "REDACTED",
    "x-api-key": "REDACTED",
    "x-jwt-assertion": "REDACTED",
    accept: "*/*",
  });
  assert.equal(redactedUrl("http://a/0123456789abcdef0123456789abcde"), "http://a/0123456789abcdef0123456789abcde");
});
