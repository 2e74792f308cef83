/**
 * The process that rewrites data files, apart from the platform's own: a file that exhausts memory or crashes the engine
 * takes nothing else down. Jobs come and answers go as messages of its parent; it ends with that.
 *
 * Invariant: each job runs in a DuckDB instance of its own that can open the files of the job and nothing else.
 */
import { dirname } from "node:path";
import { literal, prepareDuckDb } from "../../../kernel/duckdb/engine.ts";
import { duckDbError } from "../../../kernel/duckdb/errors.ts";
import { copyToParquet } from "../../../kernel/duckdb/parquet.ts";
import type { RewriteAnswer, RewriteJob, RewriterSettings } from "./rewriter.ts";

const settings = JSON.parse(process.argv[2] ?? "{}") as RewriterSettings;
// Nothing here is worth keeping, and an ordinary exit would wait for the engine's threads.
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));

async function rewrite(job: RewriteJob): Promise<RewriteAnswer> {
  const { memoryMb, threads, spill } = settings;
  const prepared = await prepareDuckDb({ memoryMb, threads, spill, setup: ["SET GLOBAL enable_external_file_cache = false"] });
  const db = await prepared.lock({ files: job.files, directories: [dirname(job.output)] });
  try {
    return await db.use(async (connection) => {
      const data = `[${job.data.map(literal).join(", ")}]`;
      // The root has no id; below it a column without one cannot be told apart from a column that is not there.
      const { anonymous } = (await connection.get<{ anonymous: bigint }>(
        `SELECT count(*) AS anonymous FROM (SELECT file_name, bool_and(field_id IS NULL) AS none FROM parquet_schema(${data}) GROUP BY file_name) WHERE none`,
      )) ?? { anonymous: 0n };
      if (anonymous > 0n) return { anonymous: Number(anonymous) };
      const size = await connection.get<{ bytes: bigint; rows: bigint }>(
        `SELECT sum(total_uncompressed_size)::BIGINT AS bytes, (SELECT sum(num_rows) FROM parquet_file_metadata(${data}))::BIGINT AS rows FROM parquet_metadata(${data})`,
      );
      const rowBytes = Number(size?.bytes ?? 0) / Math.max(1, Number(size?.rows ?? 1));
      const { compression, rowGroupBytes, fieldIds, sql, output } = job;
      const options = { compression, rowGroupBytes, fieldIds, rowBytes };
      return { written: await copyToParquet(connection, sql, output, options, new AbortController().signal) };
    });
  } finally {
    await db.close();
  }
}

process.on("message", (job: RewriteJob) => {
  rewrite(job)
    .catch((cause: unknown): RewriteAnswer => {
      const { kind, message } = duckDbError(cause);
      return { error: { kind, message } };
    })
    .then((answer) => process.send?.(answer));
});
