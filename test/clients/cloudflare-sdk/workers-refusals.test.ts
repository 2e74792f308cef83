/**
 * Every documented refusal of an upload, of bindings, migrations, routes, cron triggers, secrets and deployments, by its
 * status, code and text. One Worker serves all the while: after each refusal its deployment answers as before.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import Cloudflare, { toFile } from "cloudflare";
import { FormData } from "undici";
import { startPlatform } from "../../harness/platform.ts";

const platform = await startPlatform({ after }, { config: { "workers.count_max": 2, "workers.script_max_bytes": 1024 * 1024 } });
const client = platform.sdk();
const account = { account_id: platform.ready.account_id };
const { scripts } = client.workers;
const path = `/accounts/${account.account_id}/workers/scripts`;

interface Upload {
  /** The main module; by default one that works. */
  readonly code?: string;
  readonly metadata?: Record<string, unknown>;
  readonly files?: Readonly<Record<string, { readonly body: string; readonly type: string }>>;
  /** Worker's name, if not the one that serves. */
  readonly name?: string;
}

const MODULE = "application/javascript+module";
const good = `export default { fetch: () => new Response("never seen") };`;

async function upload({ code = good, metadata = {}, files = {}, name = "steady" }: Upload): Promise<unknown> {
  const parts: Record<string, unknown> = { "index.js": await toFile(Buffer.from(code), "index.js", { type: MODULE }) };
  for (const [file, { body, type }] of Object.entries(files)) parts[file] = await toFile(Buffer.from(body), file, { type });
  return scripts.update(name, {
    ...account,
    metadata: { main_module: "index.js", compatibility_date: "2026-11-01", ...metadata } as never,
    files: parts as never,
  });
}

const objects = `import { DurableObject } from "cloudflare:workers";
  export class Counter extends DurableObject { fetch() { return new Response("0"); } }
  export default { fetch: () => new Response("serving") };`;

await upload({
  code: objects,
  metadata: {
    bindings: [
      { type: "durable_object_namespace", name: "COUNTER", class_name: "Counter" },
      { type: "plain_text", name: "KEPT", text: "x" },
    ],
    migrations: { new_tag: "v1", steps: [{ new_sqlite_classes: ["Counter"] }] },
  },
});
await scripts.subdomain.create("steady", { ...account, enabled: true });
await upload({ name: "other" });
const zone = await client.zones.create({ account: { id: account.account_id }, name: "refusals.example" });
await client.workers.routes.create({ zone_id: zone.id, pattern: "refusals.example/*", script: "other" });
const url = platform.host("workers", { worker: "steady", subdomain: "dev" });

const bound = (...bindings: object[]): Upload => ({ metadata: { bindings } });
const text = (name: string, value = "x") => ({ type: "plain_text", name, text: value });
const migrated = (migrations: object, code = objects): Upload => ({ code, metadata: { migrations } });

/** Uploads that the API refuses: what is wrong, the upload, and status, code and text of the answer. */
const refusedUploads: readonly [what: string, upload: Upload, status: number, code: number, text: RegExp][] = [
  ["code that does not parse", { code: "export default {" }, 400, 10021, /SyntaxError/],
  ["a top level that throws", { code: `throw new TypeError("at start"); ${good}` }, 400, 10021, /TypeError: at start/],
  ["a top level that fetches", { code: `await fetch("http://example.com"); ${good}` }, 400, 10021, /global scope/],
  ["a module that is missing", { code: `import "./gone.js"; ${good}` }, 400, 10021, /No such module "gone\.js"/],
  ["a main module that is missing", { metadata: { main_module: "main.js" } }, 400, 10021, /No such module "main\.js"/],
  ["no main module", { metadata: { main_module: undefined } }, 400, 10021, /main_module/],
  ["a module outside of the Worker", { files: { "../up.js": { body: "", type: MODULE } } }, 400, 10021, /relative path/],
  ["a type of module that nobody knows", { files: { "x.bin": { body: "", type: "application/x-unknown" } } }, 400, 10021, /unknown type/],
  ["no handlers", { code: "export default {};" }, 400, 10068, /No event handlers were registered/],
  ["a compatibility date that is none", { metadata: { compatibility_date: "soon" } }, 400, 10021, /compatibility_date|date/i],
  ["a compatibility date to come", { metadata: { compatibility_date: "2999-01-01" } }, 400, 10021, /date/i],
  [
    "an unknown compatibility flag",
    { metadata: { compatibility_flags: ["no_such_flag"] } },
    400,
    10021,
    /No such compatibility flag: no_such_flag/,
  ],
  ["limits out of range", { metadata: { limits: { cpu_ms: 300_001 } } }, 400, 10021, /limits\.cpu_ms/],
  ["subrequests that are no number", { metadata: { limits: { subrequests: "many" } } }, 400, 10021, /limits\.subrequests/],
  [
    "a Worker that is too large",
    { files: { "big.txt": { body: "x".repeat(1_100_000), type: "text/plain" } } },
    413,
    10027,
    /exceeded the size limit of 1 MiB/,
  ],
  ["a name with capitals", { name: "Not-A-Name" }, 400, 10016, /Invalid Worker name/],
  ["a name that is too long", { name: "a".repeat(64) }, 400, 10016, /Invalid Worker name/],
  ["one Worker too many", { name: "third" }, 403, 10037, /limit of Workers/],
  ["a binding without a name", bound({ type: "plain_text", text: "x" }), 400, 10052, /missing a name/],
  ["two bindings of one name", bound(text("A"), text("A")), 400, 10053, /Binding name 'A' already in use/],
  ["a variable over 5 KB", bound(text("A", "x".repeat(5121))), 400, 10054, /Text binding 'A' is too large/],
  ["JSON over 5 KB", bound({ type: "json", name: "A", json: ["x".repeat(5121)] }), 400, 10054, /too large/],
  ["a secret over 5 KB", bound({ type: "secret_text", name: "A", text: "x".repeat(5121) }), 400, 10054, /too large/],
  ["129 variables", bound(...Array.from({ length: 129 }, (_, i) => text(`V${i}`))), 400, 10055, /too many environment variables/],
  ["a binding to inherit that is not there", bound({ type: "inherit", name: "GONE" }), 400, 10057, /does not have binding named 'GONE'/],
  ["a binding of a type that nobody knows", bound({ type: "telepathy", name: "A" }), 501, 10501, /telepathy/],
  ["a namespace that is not there", bound({ type: "kv_namespace", name: "A", namespace_id: "f".repeat(32) }), 400, 10041, /./],
  ["a bucket that is not there", bound({ type: "r2_bucket", name: "A", bucket_name: "no-such-bucket" }), 400, 10085, /no-such-bucket/],
  ["a service that is not there", bound({ type: "service", name: "A", service: "nobody" }), 400, 10143, /Target script 'nobody' not found/],
  ["an entrypoint that is not there", bound({ type: "service", name: "A", service: "other", entrypoint: "Admin" }), 400, 10144, /'Admin'/],
  ["a class that is not there", bound({ type: "durable_object_namespace", name: "A", class_name: "Gone" }), 400, 10061, /./],
  ["assets without an upload", bound({ type: "assets", name: "ASSETS" }), 400, 10021, /no assets were uploaded/],
  ["a tail consumer that is not there", { metadata: { tail_consumers: [{ service: "nobody" }] } }, 400, 10143, /'nobody'/],
  ["objects whose class is no longer exported", { code: good }, 400, 10064, /does not export class 'Counter'/],
  ["a migration from another tag", migrated({ old_tag: "v0", new_tag: "v2", steps: [] }), 412, 10079, /migration tag/],
  [
    "a class that exists already",
    migrated({ old_tag: "v1", new_tag: "v2", steps: [{ new_classes: ["Counter"] }] }),
    400,
    10074,
    /already depended on/,
  ],
  [
    "a new class that is not exported",
    migrated({ old_tag: "v1", new_tag: "v2", steps: [{ new_classes: ["Absent"] }] }),
    400,
    10070,
    /not exported/,
  ],
  [
    "a rename of what is not there",
    migrated({ old_tag: "v1", new_tag: "v2", steps: [{ renamed_classes: [{ from: "Gone", to: "Counter" }] }] }),
    400,
    10071,
    /no existing Durable Objects/,
  ],
];

async function refusal(work: Promise<unknown>): Promise<[status: number, code: number | undefined, text: string]> {
  try {
    await work;
  } catch (error) {
    assert(error instanceof Cloudflare.APIError, String(error));
    const [first] = error.errors as { code?: number; message?: string }[];
    return [error.status as number, first?.code, first?.message ?? ""];
  }
  return [200, undefined, "it was accepted"];
}

const serving = async (): Promise<string> => (await platform.fetch(url)).text();

test("uploads that are refused leave the deployment as it was", async (t) => {
  assert.equal(await serving(), "serving");
  for (const [what, given, status, code, words] of refusedUploads) {
    await t.test(what, async () => {
      const [gotStatus, gotCode, message] = await refusal(upload(given));
      assert.deepEqual([gotStatus, gotCode], [status, code], message);
      assert.match(message, words);
      assert.equal(await serving(), "serving");
    });
  }
  const { length } = (await platform.rest("GET", `${path}/steady/versions`)).body.result.items as unknown[];
  assert.equal(length, 1);
});

test("secrets, cron triggers, routes and deployments that are refused change nothing", async () => {
  const cron = (...crons: string[]) => scripts.schedules.update("steady", { ...account, body: crons.map((cron) => ({ cron })) });
  const route = (pattern: string, script = "steady") => client.workers.routes.create({ zone_id: zone.id, pattern, script });
  const deploy = (...percentages: number[]) =>
    scripts.deployments.create("steady", {
      ...account,
      strategy: "percentage",
      versions: percentages.map((percentage, i) => ({ percentage, version_id: `0000000${i}-0000-4000-8000-000000000000` })),
    });
  const cases: [() => Promise<unknown>, number, number, RegExp][] = [
    [
      () => scripts.secrets.update("steady", { ...account, name: "S", text: "x".repeat(5121), type: "secret_text" }),
      400,
      10054,
      /too large/,
    ],
    [() => scripts.secrets.delete("GONE", { ...account, script_name: "steady" }), 404, 10056, /'GONE'/],
    [() => scripts.secrets.update("nobody", { ...account, name: "S", text: "x", type: "secret_text" }), 404, 10007, /does not exist/],
    [() => cron("0 0 * * 0"), 400, 10100, /^invalid cron string: 0 0 \* \* 0/],
    [() => cron("* * * *"), 400, 10100, /^invalid cron string: \* \* \* \*/],
    [() => cron("61 * * * *"), 400, 10100, /^invalid cron string/],
    [() => cron("0 0 * * *", "0 0 * * *"), 400, 10100, /^duplicate cron found: 0 0 \* \* \*/],
    [() => cron(...Array.from({ length: 251 }, (_, i) => `${i % 60} ${Math.floor(i / 60)} * * *`)), 400, 10072, /limit of cron triggers/],
    [() => route("refusals.example/*"), 409, 10020, /same pattern/],
    [() => route("refusals.example/a*b"), 400, 10022, /invalid/],
    [() => route("elsewhere.example/*"), 400, 10022, /does not belong to the zone/],
    [() => route("refusals.example/x", "nobody"), 404, 10007, /does not exist/],
    [() => deploy(100), 404, 10208, /./],
    [() => deploy(60, 60), 400, 10209, /./],
    [() => deploy(), 400, 10209, /./],
    [() => scripts.versions.create("nobody", { ...account, metadata: { main_module: "index.js" } }), 404, 10007, /does not exist/],
    [() => scripts.delete("nobody", account), 404, 10007, /does not exist/],
  ];
  for (const [i, [work, status, code, words]] of cases.entries()) {
    const [gotStatus, gotCode, message] = await refusal(work());
    assert.deepEqual([gotStatus, gotCode], [status, code], `case ${i}: ${message}`);
    assert.match(message, words);
  }
  assert.equal(await serving(), "serving");
  assert.deepEqual((await scripts.schedules.get("steady", account)).schedules, []);
});

test("bodies that no client sends: no form, no metadata, no JSON, an unsupported event", async () => {
  const put = async (body: FormData | string, type?: string) => {
    const headers = { authorization: `Bearer ${platform.ready.api_token}`, ...(type && { "content-type": type }) };
    const answer = await platform.fetch(`/client/v4${path}/steady`, { method: "PUT", headers, body });
    const { errors } = (await answer.json()) as { errors: { code: number }[] };
    return [answer.status, errors[0]?.code];
  };
  const form = (metadata?: string, code = `addEventListener("fetch", () => {})`) => {
    const parts = new FormData();
    if (metadata !== undefined) parts.append("metadata", metadata);
    parts.append("script", new Blob([code], { type: "application/javascript" }), "script.js");
    return parts;
  };
  assert.deepEqual(await put("no form at all", "multipart/form-data; boundary=x"), [400, 10006]);
  assert.deepEqual(await put(form()), [400, 10006]);
  assert.deepEqual(await put(form("{")), [400, 10006]);
  assert.deepEqual(
    await put(form(`{"body_part":"script"}`, `addEventListener("fetch", () => {}); addEventListener("install", () => {})`)),
    [400, 10069],
  );
  assert.deepEqual(await put(form(`{"body_part":"script"}`, "const nothing = 1;")), [400, 10068]);
  const bad = await platform.fetch(`/client/v4${path}/steady/secrets`, {
    method: "PUT",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: "{",
  });
  assert.deepEqual([bad.status, ((await bad.json()) as { errors: { code: number }[] }).errors[0]?.code], [400, 10026]);
  assert.equal(await serving(), "serving");
});
