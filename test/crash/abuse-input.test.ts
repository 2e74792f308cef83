/**
 * Goal: bad input gets the documented error and changes nothing, on operations that exist today and on those that come.
 * Method: hostile bodies, ids and queries are sent to every operation that the platform lists; after that, surface by
 * surface, what the walk cannot know: forms, limits, and names that look like paths.
 *
 * Elsewhere, with the product it concerns: a Worker that throws at its start and unknown binding targets
 * (test/clients/wrangler/workers-deploy.test.ts), asset paths (workers-assets.test.ts), SQL that does not parse or names
 * unknown columns (test/clients/cloudflare-sdk/d1.test.ts, test/clients/wrangler/pipelines.test.ts, test/clients/http/
 * r2-sql.test.ts), ingest bodies (test/clients/http/pipelines-ingest.test.ts), the catalog (test/clients/pyiceberg/
 * r2-data-catalog-refusals.test.ts), S3 requests that no client sends (test/clients/aws-sdk/r2-raw.test.ts), a port in
 * use, a data directory in use or of a newer version (test/clients/cli).
 */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { DeleteObjectCommand, GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from "@aws-sdk/client-s3";
import { type Envelope, startPlatform } from "../harness/platform.ts";
import { type Answer, bearer, NAME, type Operation, openSurface } from "./surface.ts";

const SCRIPT_MAX_BYTES = 2_000_000;
const platform = await startPlatform({ after }, { config: { "workers.script_max_bytes": SCRIPT_MAX_BYTES } });
const surface = await openSurface(platform);
const { account_id: account, api, api_token: root } = platform.ready;
const json = { ...bearer(root), "content-type": "application/json" };

const takesBody = ({ method }: Operation): boolean => ["POST", "PUT", "PATCH"].includes(method);
/** Operations whose body is bytes of the caller's own, not JSON. */
const BYTES = new Set(["kv.values.put", "r2.objects.put"]);
/** Operations that say everything in path, query and headers. */
const BODILESS =
  /^(freehold\.dashboard\.link|autorag\.rags\.sync|r2\.buckets\.edit|images\.keys\.update|pages\.cache\.purge|stream\.keys\.create|(r2|basin)_catalog\.(enable|disable|delete))$/;

/** Operations that say in plain text what is wrong with a request, as the real service does: the SQL API of Analytics Engine. */
const PLAIN = /^analytics-engine\.sql\./;

/** Never a failure of ours, and in the API's envelope. */
function documented({ status, contentType, text }: Answer, place: string, op: string): void {
  assert.ok(status < 500 || status === 501, `${place}: ${status} ${text.slice(0, 500)}`);
  if (status < 400) return;
  if (PLAIN.test(op) && contentType.startsWith("text/plain")) {
    assert.notEqual(text, "", place);
    return;
  }
  assert.match(contentType, /^application\/json/, `${place}: ${status} ${text.slice(0, 500)}`);
  const { success, errors, result } = JSON.parse(text) as Envelope;
  assert.deepEqual([success, result], [false, null], place);
  for (const { code, message } of errors) assert.ok(Number.isInteger(code) && message !== "", `${place}: ${text}`);
  assert.notEqual(errors.length, 0, place);
}

test("broken JSON is refused by every operation that reads JSON, and changes nothing", async () => {
  const beforehand = await surface.state();
  const broken = ["{", '{"name":"x"', "{'name':'x'}", "nul", "[1,]", '{"name":"x"}}', "\0", "\ufeff"];
  for (const operation of surface.operations) {
    if (!takesBody(operation) || BYTES.has(operation.op) || BODILESS.test(operation.op)) continue;
    for (const body of broken) {
      const place = `${operation.method} ${operation.path} with ${JSON.stringify(body)}`;
      const answer = await surface.send(operation, surface.pathOf(operation), json, body);
      documented(answer, place, operation.op);
      assert.ok(answer.status >= 400, `${place}: ${answer.status} ${answer.text}`);
    }
  }
  assert.deepEqual(await surface.state(), beforehand);
});

/** Members that some operation knows, all with one value that none of them expects. */
const everywhere = (value: unknown): string =>
  JSON.stringify(
    Object.fromEntries(
      [
        ...["name", "title", "sql", "params", "batch", "rules", "enabled", "config", "format", "schema", "http", "worker_binding", "token"],
        ...["state", "compaction", "snapshot_expiration", "domain", "zoneId", "query", "variables", "keys", "type", "action", "etag"],
        ...["filename", "output_format", "current_bookmark", "dump_options", "read_replication", "storageClass", "locationHint", "key"],
        ...["bindings", "manifest", "versions", "strategy", "crons", "cron", "tags", "observability", "subdomain", "policies", "value"],
        ...["expires_on", "bucket", "parentAccessKeyId", "permission", "ttlSeconds", "metadata", "fields", "filters", "expiration"],
      ].map((member) => [member, value]),
    ),
  );

test("whatever body comes, the answer is a documented one", async () => {
  const part = (disposition: string, content: string) => `--x\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${content}\r\n`;
  const form = "multipart/form-data; boundary=x";
  const bodies: [string, string | Uint8Array, string][] = [
    ...["", "null", "[]", '"x"', "1e999", "{}", "[null]", "[[[]]]", "[{}]", "true"].map((body): [string, string, string] => [
      body,
      body,
      "application/json",
    ]),
    ["100,000 levels", "[".repeat(100_000) + "]".repeat(100_000), "application/json"],
    ["prototypes", '{"__proto__":{"name":"x"},"constructor":{"prototype":1},"toString":1,"hasOwnProperty":1}', "application/json"],
    ["bytes that are no UTF-8", Uint8Array.of(0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d), "application/json"],
    ...[null, -1, 1e308, true, "", "\0", "\ud800", "'; DROP TABLE x; --", "../../x", [], {}, [{ a: [null] }], "a".repeat(20_000)].map(
      (value): [string, string, string] => [`${JSON.stringify(value).slice(0, 30)} everywhere`, everywhere(value), "application/json"],
    ),
    ["JSON as text", "{}", "text/plain"],
    ["JSON as a form", "{}", "application/x-www-form-urlencoded"],
    ["JSON of no type", "{}", ""],
    ["JSON of a nonsense type", "{}", "a/b/c; ; ="],
    ["a form without a boundary", "--x", "multipart/form-data"],
    ["a form that ends early", part('name="metadata"', "{}").slice(0, -10), form],
    ["a form without its end", part('name="metadata"', "{}"), form],
    ["a form with broken metadata", `${part('name="metadata"', "{")}--x--\r\n`, form],
    ["a form with null for metadata", `${part('name="metadata"', "null")}--x--\r\n`, form],
    ["a form without names", `${part("filename=x", "{}")}--x--\r\n`, form],
    ["a form with odd members", `${part('name="metadata"', everywhere([]))}--x--\r\n`, form],
    ["an empty form", "--x--\r\n", form],
  ];
  for (const operation of surface.operations.filter(takesBody)) {
    for (const [what, body, type] of bodies) {
      const headers = { ...bearer(root), ...(type !== "" && { "content-type": type }) };
      documented(await surface.send(operation, surface.pathOf(operation), headers, body), `${operation.op} with ${what}`, operation.op);
    }
  }
});

test("whatever ids and queries come, the answer is a documented one", async () => {
  const ids = [
    ...["%00", "..%2f..%2fetc%2fpasswd", "'%20OR%201=1--", "a".repeat(2000), "%F0%9F%92%A9", "%ff", "%zz", "__proto__", "constructor"],
    ...["0", "-1", "%20", "null", "undefined", "%0d%0aX-Injected:%201", "%252e%252e", "*", "0".repeat(32), "a/b/c"],
  ];
  const queries = [
    ...["page=-1&per_page=0", "page=1e9&per_page=1e9", "limit=abc&cursor=garbage", `cursor=${"A".repeat(5000)}`, "limit=-1", "prefix=%00"],
    ...[
      "per_page=1.5&limit=1.5&page_size=-3",
      "page_token=%ff&parent=..&return_details=maybe&force=maybe",
      "order=x&direction=y&name='%20OR%201=1",
    ],
    ...["timestamp=x&bookmark=..&from=x&to=y", "page=1&page=2&per_page[]=1", "delimiter=&start_after=%00&expiration=x&expiration_ttl=y"],
  ];
  for (const operation of surface.operations) {
    // The root token lists itself: without it there is no test.
    if (operation.op.endsWith("tokens.delete")) continue;
    const body = takesBody(operation) ? "{}" : undefined;
    if (/:(?!account)/.test(operation.path)) {
      for (const id of ids)
        documented(
          await surface.send(operation, surface.pathOf(operation, id), json, body),
          `${operation.method} ${operation.path} with ${id}`,
          operation.op,
        );
    }
    for (const query of queries) {
      const path = `${surface.pathOf(operation)}?${query}`;
      if (operation.method === "GET") documented(await surface.send(operation, path, json), `${operation.path}?${query}`, operation.op);
    }
  }
});

test("a body over the limit is refused by its surface, and the connection goes on", async () => {
  const large = Buffer.alloc(11 * 1024 * 1024, '["x"]');
  const to = (method: string, url: string, headers: Record<string, string>, chunked: boolean): Promise<[number, string]> =>
    platform
      .fetch(url, {
        method,
        headers,
        ...(chunked ? { body: pieces(large), duplex: "half" as const } : { body: large }),
      })
      .then(async (answer): Promise<[number, string]> => [answer.status, await answer.text()]);
  const surfaces: [string, string, string, number, RegExp][] = [
    ["REST", "POST", `${api}/accounts/${account}/storage/kv/namespaces`, 413, /"code":10413/],
    ["GraphQL", "POST", `${api}/graphql`, 413, /"code":10413/],
    ["ingest", "POST", platform.host("ingest", { stream: surface.stream }), 413, /"code":2010/],
    ["R2 SQL", "POST", `${platform.host("sql")}/r2-sql/query/${NAME}`, 413, /"code":40001/],
  ];
  for (const [what, method, url, status, code] of surfaces) {
    for (const chunked of [false, true]) {
      const [got, text] = await to(method, url, json, chunked);
      assert.equal(got, status, `${what}${chunked ? ", chunked" : ""}: ${text.slice(0, 300)}`);
      assert.match(text, code, what);
      assert.equal((await platform.rest("GET", "/user/tokens/verify")).status, 200, what);
    }
  }
});

async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let i = 0; i < bytes.length; i += 65_536) yield bytes.subarray(i, i + 65_536);
}

/** As long as clients make them. */
const BOUNDARY = `${"-".repeat(24)}0123456789abcdef`;

test("a malformed upload of a Worker is refused in its own words, and the version before it stays", async () => {
  const scripts = `${api}/accounts/${account}/workers/scripts`;
  const code = "export default { fetch: () => new Response('new') }";
  const part = (disposition: string, content: string, type = "application/json") =>
    `--${BOUNDARY}\r\nContent-Disposition: form-data; ${disposition}\r\nContent-Type: ${type}\r\n\r\n${content}\r\n`;
  const metadata = (value: unknown) => part('name="metadata"', JSON.stringify(value));
  const module = part('name="index.js"; filename="index.js"', code, "application/javascript+module");
  const whole = `${metadata({ main_module: "index.js", compatibility_date: "2026-11-01" })}${module}--${BOUNDARY}--\r\n`;
  const uploads: [string, string, string, number, RegExp][] = [
    ["cut off in a part", whole.slice(0, -60), `multipart/form-data; boundary=${BOUNDARY}`, 10006, /Could not parse your script/],
    [
      "without its last boundary",
      whole.replace(`--${BOUNDARY}--\r\n`, ""),
      `multipart/form-data; boundary=${BOUNDARY}`,
      10006,
      /Could not parse your script/,
    ],
    ["with another boundary", whole, `multipart/form-data; boundary=y${BOUNDARY}`, 10006, /Could not parse your script/],
    ["without a boundary", whole, "multipart/form-data", 10006, /Could not parse your script/],
    ["as JSON", JSON.stringify({ main_module: "index.js" }), "application/json", 10006, /Could not parse your script/],
    ["without metadata", `${module}--${BOUNDARY}--\r\n`, `multipart/form-data; boundary=${BOUNDARY}`, 10006, /no part named `metadata`/],
    [
      "with broken metadata",
      `${part('name="metadata"', "{")}${module}--${BOUNDARY}--\r\n`,
      `multipart/form-data; boundary=${BOUNDARY}`,
      10006,
      /not valid JSON/,
    ],
    ["with an array for metadata", `${metadata([])}${module}--${BOUNDARY}--\r\n`, `multipart/form-data; boundary=${BOUNDARY}`, 10021, /./],
    [
      "without its main module",
      `${metadata({ main_module: "other.js" })}${module}--${BOUNDARY}--\r\n`,
      `multipart/form-data; boundary=${BOUNDARY}`,
      10021,
      /other\.js/,
    ],
    [
      "with a main module outside",
      `${metadata({ main_module: "../../index.js" })}${module.replaceAll("index.js", "../../index.js")}--${BOUNDARY}--\r\n`,
      `multipart/form-data; boundary=${BOUNDARY}`,
      10021,
      /not a relative path/,
    ],
    [
      "with more than the limit",
      whole.replace("'new'", `'${"x".repeat(SCRIPT_MAX_BYTES)}'`),
      `multipart/form-data; boundary=${BOUNDARY}`,
      10027,
      /exceeded the size limit/,
    ],
    [
      "with a binding that has no name",
      `${metadata({ main_module: "index.js", bindings: [{ type: "plain_text", text: "x" }] })}${module}--${BOUNDARY}--\r\n`,
      `multipart/form-data; boundary=${BOUNDARY}`,
      10052,
      /missing a name/,
    ],
    [
      "with a binding of no type",
      `${metadata({ main_module: "index.js", bindings: [{ name: "X" }] })}${module}--${BOUNDARY}--\r\n`,
      `multipart/form-data; boundary=${BOUNDARY}`,
      10021,
      /./,
    ],
  ];
  const settings = (): Promise<unknown> =>
    platform.rest("GET", `/accounts/${account}/workers/scripts/steady/versions`).then(({ body }) => body.result);
  const upload = (body: string, type: string) =>
    platform.fetch(`${scripts}/steady`, { method: "PUT", headers: { ...bearer(root), "content-type": type }, body });
  const first = await upload(whole.replace("'new'", "'old'"), `multipart/form-data; boundary=${BOUNDARY}`);
  assert.equal(first.status, 200, await first.text());
  const enabled = await platform.rest("POST", `/accounts/${account}/workers/scripts/steady/subdomain`, { enabled: true });
  assert.equal(enabled.status, 200, JSON.stringify(enabled.body));
  const { subdomain } = (await platform.rest("GET", `/accounts/${account}/workers/subdomain`)).body.result as { subdomain: string };
  const beforehand = await settings();
  for (const [what, body, type, code, message] of uploads) {
    const answer = await upload(body, type);
    const text = await answer.text();
    assert.equal(answer.status, code === 10027 ? 413 : 400, `${what}: ${text}`);
    const [error] = (JSON.parse(text) as Envelope).errors;
    assert.equal(error?.code, code, `${what}: ${text}`);
    assert.match(error?.message ?? "", message, what);
    const served = await platform.fetch(platform.host("workers", { worker: "steady", subdomain }));
    assert.equal(await served.text(), "old", what);
  }
  assert.deepEqual(await settings(), beforehand);
  assert.equal((await upload(whole, `multipart/form-data; boundary=${BOUNDARY}`)).status, 200, "the form itself is a good one");
});

test("a malformed form for a KV value is refused, and the value before it stays", async () => {
  const { id } = (await platform.rest("POST", `/accounts/${account}/storage/kv/namespaces`, { title: "forms" })).body.result as {
    id: string;
  };
  const url = `${api}/accounts/${account}/storage/kv/namespaces/${id}/values/key`;
  const put = (body: string, type: string) =>
    platform.fetch(url, { method: "PUT", headers: { ...bearer(root), "content-type": type }, body });
  assert.equal((await put("old", "text/plain")).status, 200);
  const value = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="value"\r\n\r\nnew\r\n`;
  const broken = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{\r\n`;
  for (const [body, type] of [
    [value, `multipart/form-data; boundary=${BOUNDARY}`],
    [value.slice(0, 40), `multipart/form-data; boundary=${BOUNDARY}`],
    [`${value}--${BOUNDARY}--\r\n`, `multipart/form-data; boundary=y${BOUNDARY}`],
    [`${value}--${BOUNDARY}--\r\n`, "multipart/form-data"],
    [`${value}${broken}--${BOUNDARY}--\r\n`, `multipart/form-data; boundary=${BOUNDARY}`],
    [`--${BOUNDARY}--\r\n`, `multipart/form-data; boundary=${BOUNDARY}`],
  ] as const) {
    const answer = await put(body, type);
    documented(
      { status: answer.status, contentType: answer.headers.get("content-type") ?? "", text: await answer.text() },
      body,
      "kv.values.put",
    );
    assert.equal(answer.status, 400, `${type}: ${body}`);
    const kept = await platform.fetch(url, { headers: bearer(root) });
    assert.equal(await kept.text(), "old", body);
  }
  assert.equal(
    (await put(`${value}--${BOUNDARY}--\r\n`, `multipart/form-data; boundary=${BOUNDARY}`)).status,
    200,
    "the form itself is a good one",
  );
});

test("names that look like paths are names: nothing outside the store is read or written", async () => {
  const names = [
    ...["../../../../../../etc/passwd", "..", ".", "a/../b", "./a", "/etc/passwd", "//a//b", "a/", "~/x", "C:\\x", "..\\..\\x", "%2e%2e/x"],
    ...["file:///etc/passwd", "\u0001", "a\nb", "a?b#c", "💩", "con", "meta.sqlite", "secret.key", "..%2f..%2fx", "a\tb c"],
  ];
  await platform.rest("POST", `/accounts/${account}/r2/buckets`, { name: "names" });
  const s3 = platform.s3();
  // "." and ".." as whole steps do not come through URLs, which every client resolves: those go by the form of the SDK.
  for (const name of names) await s3.send(new PutObjectCommand({ Bucket: "names", Key: name, Body: `content of ${name}` }));
  for (const name of names) {
    const object = await s3.send(new GetObjectCommand({ Bucket: "names", Key: name }));
    assert.equal(await object.Body?.transformToString(), `content of ${name}`, name);
  }
  const listed = await s3.send(new ListObjectsV2Command({ Bucket: "names" }));
  assert.deepEqual(listed.Contents?.map(({ Key }) => Key).sort(), [...names].sort());
  const rest = `${api}/accounts/${account}/r2/buckets/names/objects`;
  for (const name of names) {
    // What is only dots is gone from a URL before it is sent.
    if (/(^|\/)\.\.?(\/|$)/.test(name)) continue;
    const url = `${rest}/${encodeURIComponent(name)}`;
    const answer = await platform.fetch(url, { headers: bearer(root) });
    assert.deepEqual([answer.status, await answer.text()], [200, `content of ${name}`], url);
  }
  const { id } = (await platform.rest("POST", `/accounts/${account}/storage/kv/namespaces`, { title: "names" })).body.result as {
    id: string;
  };
  const pairs = names.filter((name) => name !== "." && name !== "..").map((name) => ({ key: name, value: `content of ${name}` }));
  const put = await platform.rest("PUT", `/accounts/${account}/storage/kv/namespaces/${id}/bulk`, pairs);
  assert.equal(put.status, 200, JSON.stringify(put.body));
  const got = await platform.rest("POST", `/accounts/${account}/storage/kv/namespaces/${id}/bulk/get`, {
    keys: pairs.map(({ key }) => key),
  });
  assert.deepEqual(got.body.result.values, Object.fromEntries(pairs.map(({ key, value }) => [key, value])));
  for (const name of names) await s3.send(new DeleteObjectCommand({ Bucket: "names", Key: name }));
  assert.equal((await s3.send(new ListObjectsV2Command({ Bucket: "names" }))).KeyCount, 0);

  // No file got a name that a client chose.
  const chosen = new Set(["passwd", "x", "b", "a", "con"]);
  for (const entry of await readdir(platform.dir, { recursive: true, withFileTypes: true })) {
    assert.ok(!chosen.has(entry.name), `a file of the data directory is called ${join(entry.parentPath, entry.name)}`);
  }
  assert.equal((await readFile(join(platform.dir, "secret.key"))).includes("content of"), false);
});
