/**
 * What stands between Workers and each other's data: the capability that workerd injects into a binding's requests.
 * The tests take real ones out of a running Worker's configuration, as an intruder on the machine's sockets would.
 */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import http from "node:http";
import { join } from "node:path";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { uploadedWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after });
const account = `/accounts/${platform.ready.account_id}`;
const kv = async (title: string): Promise<string> =>
  (await platform.rest("POST", `${account}/storage/kv/namespaces`, { title })).body.result.id;
const d1 = async (name: string): Promise<string> => (await platform.rest("POST", `${account}/d1/database`, { name })).body.result.uuid;
const ids = { A: await kv("a"), B: await kv("b"), DA: await d1("da"), DB: await d1("db") };
const project = await uploadedWorker(platform, {
  files: {
    "index.js": `export default { async fetch(request, env) {
      for (const name of ["A", "B"]) await env[name].put("secret", name);
      for (const name of ["DA", "DB"]) await env[name].exec("CREATE TABLE secret AS SELECT '" + name + "' AS v");
      return Response.json({ names: Object.keys(env), headers: [...request.headers.keys()], json: JSON.stringify(env) });
    } }`,
  },
  config: {
    name: "guarded",
    kv_namespaces: [
      { binding: "A", id: ids.A },
      { binding: "B", id: ids.B },
    ],
    d1_databases: [
      { binding: "DA", database_name: "da", database_id: ids.DA },
      { binding: "DB", database_name: "db", database_id: ids.DB },
    ],
  },
});
const seen = (await (await platform.fetch(project.url)).json()) as { json: string; headers: string[] };

const runDirectory = await readFile(join(platform.dir, "run-directory"), "utf8");
const sockets = { node: join(runDirectory, "node.sock"), d1Engine: join(runDirectory, "d1.sock") };

async function capabilities(): Promise<string[]> {
  const found = new Set<string>();
  for (const entry of await readdir(runDirectory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name !== "config.capnp") continue;
    const text = await readFile(join(entry.parentPath, entry.name), "utf8");
    for (const [, value] of text.matchAll(/name = "x-freehold-capability", value = "([^"]+)"/g)) found.add(value as string);
  }
  return [...found];
}

const claims = (capability: string): Record<string, string> =>
  JSON.parse(Buffer.from(capability.split(".")[1] as string, "base64url").toString());

async function capabilityOf(name: string, value: string): Promise<string> {
  const found = (await capabilities()).find((capability) => claims(capability)[name] === value);
  assert(found !== undefined, `no running Worker has a capability with ${name} ${value}`);
  return found;
}

function ask(
  socketPath: string,
  method: string,
  path: string,
  capability?: string,
  body?: string,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = capability === undefined ? {} : { "x-freehold-capability": capability };
    const request = http.request({ socketPath, method, path, headers, timeout: 10_000 }, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode ?? 0, text });
    });
    request.on("error", reject).end(body);
  });
}

const readKv = (capability?: string) => ask(sockets.node, "GET", "/secret", capability);
const readD1 = (capability?: string) =>
  ask(sockets.node, "POST", "/query?resultsFormat=ROWS_AND_COLUMNS", capability, '{"sql":"SELECT v FROM secret"}');

test("a capability opens its own resource and no other", async () => {
  for (const name of ["A", "B"] as const) {
    assert.deepEqual(await readKv(await capabilityOf("namespace", ids[name])), { status: 200, text: name });
  }
  for (const name of ["DA", "DB"] as const) {
    const { status, text } = await readD1(await capabilityOf("database", ids[name]));
    assert.deepEqual([status, JSON.parse(text)[0].results.rows], [200, [[name]]]);
  }
});

test("without a capability, with a forged one, or with another's claims, every door is shut", async () => {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  for (const [read, product, a, b, other] of [
    [readKv, "kv", await capabilityOf("namespace", ids.A), await capabilityOf("namespace", ids.B), { namespace: ids.B }],
    [readD1, "d1", await capabilityOf("database", ids.DA), await capabilityOf("database", ids.DB), { database: ids.DB }],
  ] as const) {
    const [, claimsA, macA] = a.split(".") as [string, string, string];
    const [, claimsB] = b.split(".") as [string, string];
    const flipped = `${macA.slice(0, -2)}${macA.at(-2) === "A" ? "B" : "A"}${macA.at(-1)}`;
    const forged = {
      missing: undefined,
      empty: "",
      words: "let me in",
      "another's claims": `${product}.${claimsB}.${macA}`,
      "own claims": `${product}.${encode(other)}.${macA}`,
      "no MAC": `${product}.${claimsA}.`,
      "wrong MAC": `${product}.${claimsA}.${flipped}`,
      "more parts": `${a}.${a}`,
      "another product": `r2.${claimsA}.${macA}`,
      platform: `${product}.${encode({ ...other, role: "platform" })}.${macA}`,
    };
    for (const [name, capability] of Object.entries(forged)) {
      const { status, text } = await read(capability);
      assert.deepEqual([status, text], [403, "This request carries no valid capability"], `${product}: ${name}`);
    }
    assert.equal((await read(a)).status, 200);
  }
});

test("a binding's capability speaks its own product's protocol only", async () => {
  const namespace = await capabilityOf("namespace", ids.A);
  const database = await capabilityOf("database", ids.DA);
  // The product comes from the capability: KV takes D1's path for a key of POST, D1 takes no GET.
  assert.equal((await readD1(namespace)).status, 405);
  assert.equal((await readKv(database)).status, 404);
});

test("a binding's capability does not open the engine itself", async () => {
  const database = await capabilityOf("database", ids.DA);
  for (const [method, path] of [
    ["DELETE", "/"],
    ["GET", "/stats"],
    ["GET", "/export"],
    ["POST", "/import"],
    ["POST", "/calls"],
  ] as const) {
    for (const capability of [database, undefined, await capabilityOf("namespace", ids.A)]) {
      const { status } = await ask(sockets.d1Engine, method, path, capability, method === "POST" ? "[]" : undefined);
      assert.equal(status, 403, `${method} ${path}`);
    }
    const { status } = await ask(sockets.node, method, path, database, method === "POST" ? "{}" : undefined);
    assert.equal(status, 404, `${method} ${path}`);
  }
  assert.equal((await readD1(database)).status, 200);
});

test("a Worker sees neither capabilities nor sockets", () => {
  const text = JSON.stringify(seen);
  assert.doesNotMatch(text, /capability|\.sock|freehold-/);
});

test("a deleted resource is closed to the capabilities that are still about", async () => {
  const namespace = await capabilityOf("namespace", ids.B);
  await platform.rest("DELETE", `${account}/storage/kv/namespaces/${ids.B}`);
  assert.equal((await readKv(namespace)).status, 404);
  assert.equal((await ask(sockets.node, "PUT", "/secret", namespace, "late")).status, 404);
  const database = await capabilityOf("database", ids.DB);
  await platform.rest("DELETE", `${account}/d1/database/${ids.DB}`);
  const deadline = Date.now() + 10_000;
  let text: string;
  // The data is deleted in the background, right after the answer.
  do text = (await readD1(database)).text;
  while (!text.includes("could not be found") && Date.now() < deadline);
  assert.deepEqual(JSON.parse(text), { success: false, error: "The database could not be found" });
});
