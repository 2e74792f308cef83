/** KV by binding: reads and writes of 1 KB values. */
import type { BenchResult } from "./bench.ts";
import { againstMiniflare } from "./miniflare.ts";

export function run(): Promise<BenchResult[]> {
  return againstMiniflare({
    name: "kv",
    operations: ["put", "get"],
    setup: `for (let i = 0; i < 100; i++) await env.KV.put("key-" + i, "v".repeat(1024));`,
    work: {
      put: `return env.KV.put("key-" + (i % 100), "v".repeat(1024));`,
      get: `return env.KV.get("key-" + (i % 100));`,
    },
    async binding(platform) {
      const path = `/accounts/${platform.ready.account_id}/storage/kv/namespaces`;
      const { body } = await platform.rest("POST", path, { title: "bench" });
      return { kv_namespaces: [{ binding: "KV", id: body.result.id }] };
    },
    miniflare: { kvNamespaces: ["KV"] },
  });
}
