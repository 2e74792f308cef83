/** What is stored, for how long, and what a stored response answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { answerTo } from "./answer.ts";
import { lifetime, storedHeaders } from "./freshness.ts";

const now = Date.parse("2026-03-10T12:00:00Z");
const life = (headers: Record<string, string> = {}, status = 200) => lifetime(status, new Map(Object.entries(headers)), now);

test("a response's own lifetime counts, the shared one first; without one its status decides", () => {
  assert.equal(life({ "cache-control": "max-age=60" }), 60);
  assert.equal(life({ "cache-control": "public, max-age=60, S-MaxAge=5" }), 5);
  assert.equal(life({ expires: "Tue, 10 Mar 2026 12:01:40 GMT" }), 100);
  assert.equal(life({ expires: "Tue, 10 Mar 2026 12:01:40 GMT", "cache-control": "max-age=7" }), 7);
  assert.deepEqual([life(), life({}, 301), life({}, 302), life({}, 404), life({}, 500)], [7200, 7200, 1200, 180, undefined]);
  assert.equal(life({ "cache-control": "max-age=3" }, 500), 3);
});

test("what must not be stored is not", () => {
  for (const control of ["no-store", "no-cache", "private", "max-age=0", "s-maxage=0, max-age=9", "max-age=soon"])
    assert.equal(life({ "cache-control": control }), undefined, control);
  assert.equal(life({ expires: "0" }), undefined);
  assert.equal(life({ expires: "Tue, 10 Mar 2026 11:00:00 GMT" }), undefined);
  assert.equal(life({ vary: "*" }), undefined);
  assert.equal(life({}, 206), undefined);
  assert.equal(life({ "set-cookie": "a=1" }), undefined);
  assert.equal(life({ "set-cookie": "a=1", "cache-control": "private=Set-Cookie, max-age=9" }), 9);
  assert.deepEqual(
    storedHeaders([
      ["Set-Cookie", "a=1"],
      ["X-A", "1"],
      ["Transfer-Encoding", "chunked"],
    ]),
    [["X-A", "1"]],
  );
});

const stored = new Map([
  ["etag", '"abc"'],
  ["last-modified", "Tue, 10 Mar 2026 12:00:00 GMT"],
]);
const answer = (request: Record<string, string>, status = 200) => answerTo(request, stored, status, 10);

test("conditions: If-None-Match weakly and before If-Modified-Since", () => {
  assert.equal(answer({ "if-none-match": '"x", W/"abc"' }).kind, "notModified");
  assert.equal(answer({ "if-none-match": "*" }).kind, "notModified");
  assert.equal(answer({ "if-none-match": '"x"', "if-modified-since": "Tue, 10 Mar 2026 13:00:00 GMT" }).kind, "whole");
  assert.equal(answer({ "if-modified-since": "Tue, 10 Mar 2026 12:00:00 GMT" }).kind, "notModified");
  assert.equal(answer({ "if-modified-since": "Tue, 10 Mar 2026 11:00:00 GMT" }).kind, "whole");
  assert.equal(answer({ "if-modified-since": "yesterday" }).kind, "whole");
});

test("ranges: one is cut out, one outside is refused, what is none gives the whole", () => {
  assert.deepEqual(answer({ range: "bytes=2-4" }), { kind: "range", offset: 2, length: 3 });
  assert.deepEqual(answer({ range: "bytes=8-" }), { kind: "range", offset: 8, length: 2 });
  assert.deepEqual(answer({ range: "bytes=-3" }), { kind: "range", offset: 7, length: 3 });
  assert.deepEqual(answer({ range: "bytes=5-500" }), { kind: "range", offset: 5, length: 5 });
  assert.equal(answer({ range: "bytes=10-" }).kind, "unsatisfiable");
  assert.equal(answer({ range: "bytes=-0" }).kind, "unsatisfiable");
  for (const range of ["bytes=0-1,3-4", "bytes=4-2", "lines=1-2", "bytes=-"]) assert.equal(answer({ range }).kind, "whole", range);
  assert.equal(answer({ range: "bytes=2-4" }, 404).kind, "whole");
});
