/** D1 by binding: one-row inserts and reads by primary key. */
import type { BenchResult } from "./bench.ts";
import { againstMiniflare } from "./miniflare.ts";

export function run(): Promise<BenchResult[]> {
  return againstMiniflare({
    name: "d1",
    operations: ["write", "read"],
    setup: `await env.DB.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)");`,
    work: {
      write: `return env.DB.prepare("INSERT INTO t (v) VALUES (?)").bind("value " + i).run();`,
      read: `return env.DB.prepare("SELECT * FROM t WHERE id = ?").bind((i % 100) + 1).first();`,
    },
    async binding(platform) {
      const { body } = await platform.rest("POST", `/accounts/${platform.ready.account_id}/d1/database`, { name: "bench" });
      return { d1_databases: [{ binding: "DB", database_name: "bench", database_id: body.result.uuid }] };
    },
    miniflare: { d1Databases: ["DB"] },
  });
}
