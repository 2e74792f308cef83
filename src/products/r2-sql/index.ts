/**
 * R2 SQL (Basin SQL): read-only SQL over the Iceberg tables of a bucket's catalog. Files are chosen from Iceberg metadata
 * here and read by DuckDB in processes of their own. `README.md` has the dialect, the guarantees and what is missing.
 */
import { rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Product } from "../../kernel/product.ts";
import { permissions } from "./access.ts";
import { EnginePool } from "./engine/pool.ts";
import { queryHandler } from "./http.ts";
import { FileColumns } from "./plan/file-columns.ts";
import { ManifestStore } from "./plan/manifest-store.ts";

/** An engine keeps about 50 MB while it waits; the first query after that pays for its start, about 150 ms. */
const ENGINE_IDLE_MS = 60_000;

export const r2Sql = {
  name: "r2-sql",
  status: "beta",
  needs: ["objects", "tables"],
  permissions,
  async start(kernel) {
    const { config, log } = kernel;
    // What an earlier process spilled is of no use to anyone.
    const scratch = join(kernel.directory, "spill");
    await rm(scratch, { recursive: true, force: true });
    const size = Math.max(1, Math.floor(config["r2_sql.queries_at_once"]));
    const pool = new EnginePool({
      size,
      waitingMax: config["r2_sql.queries_waiting_max"],
      waitMs: config["r2_sql.wait_timeout_s"] * 1000,
      memoryMb: config["r2_sql.memory_mb"] / size,
      threads: availableParallelism(),
      scratch,
      idleMs: ENGINE_IDLE_MS,
      log,
    });
    const [objects, tables] = [kernel.get("objects"), kernel.get("tables")];
    const manifests = new ManifestStore(objects, config["r2_sql.metadata_cache_bytes"]);
    return {
      hosts: [
        {
          name: "sql",
          patterns: ["sql"],
          publicHosts: ["api.sql.cloudflarestorage.com"],
          template: "/api/v1/accounts/{account}",
          handle: queryHandler(kernel, {
            objects,
            tables,
            pool,
            manifests,
            fileColumns: new FileColumns(),
            strict: config["r2_sql.strict"],
            timeLimitMs: config["r2_sql.query_timeout_s"] * 1000,
            scratch: join(scratch, "masks"),
            log,
          }),
        },
      ],
      stop: () => pool.stop(),
    };
  },
} satisfies Product;
