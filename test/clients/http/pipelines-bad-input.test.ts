/** What an ingest endpoint refuses: each with its status, code and text, and nothing of it is delivered. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { startPlatform } from "../../harness/platform.ts";
import { answerOn, rawHttp, rawSocket } from "../../harness/raw-http.ts";
import { eventFields, eventually, pipelinesWorld, sampleEvents } from "../pipelines-world.ts";

const platform = await startPlatform({ after }, { config: { "gateway.body_idle_timeout_ms": 1000 } });
const world = await pipelinesWorld(platform);
const bucket = await world.bucket("bad-input");
const { endpoint } = await world.stream("strict_stream", eventFields);
await world.r2Sink("strict_sink", bucket, {}, { type: "json" });
await world.pipeline("strict", "INSERT INTO strict_sink SELECT user_id FROM strict_stream");
const { host } = new URL(endpoint);

/** Users of the events that were answered 200: what must be in the bucket in the end, and nothing else. */
const accepted: string[] = [];
let next = 0;
function good(): string {
  const user_id = `user-${next++}`;
  accepted.push(user_id);
  return JSON.stringify([{ user_id, event_type: "x" }]);
}
const poison = JSON.stringify([{ user_id: "poison", event_type: "x" }]);

async function refused(body: string | Uint8Array, status: number, code: number, text: RegExp, headers: Record<string, string> = {}) {
  const place = typeof body === "string" ? body.slice(0, 60) : `${body.length} bytes`;
  const answer = await world.send(endpoint, body, headers);
  const { success, errors, result } = answer.body as { success: boolean; errors: { code: number; message: string }[]; result: unknown };
  assert.deepEqual([answer.status, success, errors.length, errors[0]?.code, result], [status, false, 1, code, null], place);
  assert.match(errors[0]?.message ?? "", text, place);
  assert.match(answer.headers.get("content-type") ?? "", /^application\/json/);
}

async function taken(body: string | Uint8Array, headers: Record<string, string> = {}) {
  const answer = await world.send(endpoint, body, headers);
  assert.deepEqual([answer.status, answer.body], [200, { success: true, result: { committed: 1 } }]);
}

test("bodies that are not JSON", async () => {
  const broken = ["", " \n", "{", "nul", "[1,]", poison.slice(0, -1), `${poison}${poison}`, `\ufeff${poison}`, "[{'user_id':'poison'}]"];
  const notJson = [
    "[NaN]",
    '[{"user_id":"poison","event_type":"x",}]',
    `// poison\n${poison}`,
    '{"user_id":"poison"}\n{"user_id":"poison"}',
  ];
  for (const body of [...broken, ...notJson]) await refused(body, 400, 2006, /^The body is not valid JSON$/);
  for (const bytes of [Buffer.from(poison, "utf16le"), Buffer.from(poison.replace("poison", "poison\xff"), "latin1"), gzipSync(poison)])
    await refused(bytes, 400, 2006, /^The body is not valid JSON$/);
  await refused('[{"user_id":"poison\\ud800","event_type":"x"}]', 400, 2006, /unpaired surrogate/);
});

test("JSON that is not an array of events", async () => {
  for (const body of ["{}", poison.slice(1, -1), "5", '"poison"', "null", "true"])
    await refused(body, 400, 2007, /^The body must be a JSON array of events$/);
  for (const element of ["5", "null", '"poison"', "[]", "false"])
    await refused(`${poison.slice(0, -1)},${element}]`, 400, 2008, /^Every event must be a JSON object$/);
  const deep = (levels: number) => `[{"user_id":"poison","event_type":"x","more":${"[".repeat(levels)}${"]".repeat(levels)}}]`;
  await refused(deep(100), 400, 2009, /^An event is nested too deeply$/);
  await refused(deep(200_000), 400, 2009, /^An event is nested too deeply$/);
});

test("content types and encodings", async () => {
  for (const type of [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonp",
    "",
    "json",
  ])
    await refused(poison, 415, 2005, /^The content type must be application\/json$/, { "content-type": type });
  for (const encoding of ["gzip", "deflate", "br", "gzip, identity"])
    await refused(gzipSync(poison), 415, 2016, /^Compressed bodies are not supported/, { "content-encoding": encoding });
  for (const type of ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.api+json"])
    await taken(good(), { "content-type": type });
  await taken(good(), { "content-encoding": "identity" });
});

test("methods", async () => {
  for (const method of ["GET", "PUT", "PATCH", "DELETE"]) {
    const answer = await platform.fetch(endpoint, { method, ...(method !== "GET" && { body: poison }) });
    assert.equal(answer.status, 405, method);
    const { errors } = (await answer.json()) as { errors: { code: number; message: string }[] };
    assert.deepEqual(errors, [{ code: 2004, message: "Events are sent with POST" }]);
  }
  assert.equal((await platform.fetch(endpoint, { method: "HEAD" })).status, 405);
});

const request = (head: string, body: string): string =>
  `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n${head}\r\n\r\n${body}`;
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;

test("chunked bodies are taken, broken ones refused", async (t) => {
  const body = good();
  const [first, second] = [body.slice(0, 9), body.slice(9)];
  const whole = await rawHttp(
    t,
    platform,
    request("Transfer-Encoding: chunked\r\nConnection: close", `${chunk(first)}${chunk(second)}0\r\n\r\n`),
  );
  assert.deepEqual(whole.statuses, [200]);
  assert.match(whole.text, /\{"success":true,"result":\{"committed":1\}\}/);
  for (const broken of [
    request("Transfer-Encoding: chunked", `zz\r\n${poison}\r\n0\r\n\r\n`),
    request("Transfer-Encoding: chunked", `${poison.length.toString(16)}\r\n${poison}poison\r\n0\r\n\r\n`),
    request(`Transfer-Encoding: chunked\r\nContent-Length: ${poison.length}`, poison),
    request(`Content-Length: ${poison.length}\r\nContent-Length: 5`, poison),
    request("Content-Length: -5", poison),
    request("Transfer-Encoding: gzip", poison),
  ]) {
    const answer = await rawHttp(t, platform, broken);
    assert.ok(answer.closed && answer.statuses.every((status) => status >= 400 && status < 500), answer.text);
  }
});

test("bodies that never end, and clients that go away in the middle", async (t) => {
  const [announced, chunks] = [
    request(`Content-Length: ${poison.length + 1}`, poison),
    request("Transfer-Encoding: chunked", chunk(poison)),
  ];
  for (const half of [announced, chunks]) {
    const answer = await rawHttp(t, platform, half);
    assert.deepEqual(answer.statuses, [408]);
    assert.match(answer.text, /"code":2011,"message":"The body was not received in time"/);
    const gone = await rawSocket(t, platform);
    gone.write(half);
    gone.end();
    assert.ok((await answerOn(gone)).statuses.every((status) => status >= 400));
    const reset = await rawSocket(t, platform);
    reset.write(half);
    reset.resetAndDestroy();
  }
});

test("SQL that is huge, deep or explosive is refused by name, and events are taken meanwhile", async () => {
  const chain = (expression: string, length: number): string => {
    const steps = Array.from({ length }, (_, i) => `q${i + 1} AS (SELECT ${expression} AS v FROM q${i})`);
    return `WITH q0 AS (SELECT user_id AS v FROM strict_stream), ${steps.join(", ")} SELECT v FROM q${length}`;
  };
  const select = (expression: string): string => `SELECT ${expression} AS v FROM strict_stream`;
  const hostile: readonly (readonly [string, RegExp])[] = [
    [select(`'${"x".repeat(1_000_000)}'`), /longer than 100000 characters/],
    [select(`${"(".repeat(40_000)}1${")".repeat(40_000)}`), /./],
    [select(`${"upper(".repeat(5000)}user_id${")".repeat(5000)}`), /./],
    [`SELECT * FROM ${"(SELECT * FROM ".repeat(60)}strict_stream${")".repeat(60)}`, /nested more than 50 levels/],
    [chain("v || v", 40), /more than 16 times/],
    [chain("struct(v, v)", 40), /more than 16 times/],
    [chain("array_concat(make_array(v), make_array(v))", 40), /more than 16 times/],
    [select(Array.from({ length: 40 }, () => "repeat('x', 1000000)").join(" || ")), /join more than 8/],
    [select(`coalesce(${Array.from({ length: 2500 }, () => "repeat('x', 16000000)").join(", ")})`), /more than 50 calls/],
    [select("regexp_like(user_id, '((a{1,1000}){1,1000}){1,1000}')"), /./],
  ];
  for (const [sql, text] of hostile) {
    const validated = platform.rest("POST", `${world.base}/validate_sql`, { sql: `INSERT INTO strict_sink ${sql}` });
    await taken(good());
    const { status, body } = await validated;
    assert.deepEqual(
      [status, body.errors.map(({ code }) => code)],
      [400, [1004]],
      `${sql.slice(0, 80)}: ${JSON.stringify(body).slice(0, 300)}`,
    );
    assert.match(body.errors[0]?.message ?? "", text, sql.slice(0, 80));
  }
});

test("of all this only what was answered 200 is delivered", async () => {
  await taken(good());
  const rows = await eventually("the events", async () => {
    const found = await world.jsonRows(bucket);
    assert.ok(found.length >= accepted.length);
    return found;
  });
  assert.deepEqual(rows.map(({ user_id }) => user_id).sort(), accepted.sort());
  await world.ingest(endpoint, sampleEvents);
});
