/** Golden test of the config's text form, and workerd's own word that it can read it. UPDATE_GOLDEN=1 rewrites. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { renderConfig, type WorkerdConfig } from "./config.ts";
import { workerdBinary } from "./process.ts";

const golden = join(import.meta.dirname, "../../../test/golden/workerd/config.capnp");

const config = (directory: string): WorkerdConfig => ({
  services: [
    {
      name: "user",
      worker: {
        modules: [
          { name: "index.js", esModule: 'export class A {}\nexport default { fetch() { return new Response("\\"ö\\t\\u0001") } }' },
          { name: "note.txt", text: "line 1\r\nline 2 \u0001" },
          { name: "data.bin", data: { file: join(directory, "data.bin") } },
        ],
        compatibilityDate: "2026-01-01",
        compatibilityFlags: ["nodejs_compat"],
        bindings: [
          { name: "TEXT", text: 'a "quoted" \\ value' },
          { name: "JSON", json: '{"a":[1,2]}' },
          { name: "SECRET", fromEnvironment: "FREEHOLD_SECRET_0" },
          { name: "A", durableObjectNamespace: { className: "A" } },
          { name: "KV", kvNamespace: "kv:1" },
          { name: "BUCKET", r2Bucket: "kv:1" },
          { name: "OTHER", service: { name: "other", entrypoint: "Named", props: { tenant: 7 } } },
          { name: "D1", wrapped: { moduleName: "cloudflare-internal:d1-api", innerBindings: [{ name: "fetcher", service: "kv:1" }] } },
        ],
        durableObjectNamespaces: [{ className: "A", uniqueKey: "0123", enableSql: true }],
        durableObjectStorage: "objects",
        globalOutbound: "internet",
      },
    },
    { name: "other", worker: { serviceWorkerScript: 'addEventListener("fetch", () => {})', compatibilityDate: "2024-01-01" } },
    {
      name: "kv:1",
      external: {
        address: "unix:/run/x.sock",
        http: { injectRequestHeaders: [{ name: "x-cap", value: "kv.e30.abc" }, { name: "x-gone" }] },
      },
    },
    { name: "objects", disk: { path: directory, writable: true } },
    { name: "internet", network: { allow: ["public"], deny: ["203.0.113.0/24"], tls: { trustBrowserCas: true } } },
  ],
  sockets: [
    { name: "http", address: `unix:${directory}/http.sock`, http: { cfBlobHeader: "x-cf", capnpConnectHost: "rpc" }, service: "user" },
  ],
  v8Flags: ["--max-old-space-size=128"],
  extensions: [{ name: "freehold:x", esModule: "export default 1;", internal: true }],
});

test("the text form is what it was", () => {
  const text = renderConfig(config("/d"));
  if (process.env.UPDATE_GOLDEN === "1") writeFileSync(golden, text);
  assert.equal(text, readFileSync(golden, "utf8"));
});

test("workerd compiles the text form", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "freehold-capnp-"));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, "data.bin"), Buffer.from([0, 1, 2]));
  const path = join(directory, "config.capnp");
  writeFileSync(path, renderConfig(config(directory)));
  const compiled = execFileSync(workerdBinary(), ["compile", "--import-path=/", "--config-only", path, "config"], { maxBuffer: 1 << 24 });
  for (const word of ['a "quoted" \\ value', "line 1\r\nline 2 \u0001", "FREEHOLD_SECRET_0"]) assert.ok(compiled.includes(word), word);
});
