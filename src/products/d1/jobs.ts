/**
 * Imports and exports as the REST API runs them: a request starts the job, waits a while for its end, and otherwise names
 * a bookmark by which the client polls on (docs/d1/best-practices/import-export-data; wrangler polls without a pause).
 * Jobs live in memory: after a restart a poll is told that nothing runs, and an import that was cut off has changed nothing.
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { Clock } from "../../kernel/clock.ts";
import { PlatformError, platformError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { DatabaseId, Databases } from "./databases.ts";
import type { Engine } from "./engine.ts";
import { BASE, bodyOf, READ, WRITE } from "./rest.ts";
import type { Transfers } from "./transfers.ts";

interface Job {
  readonly bookmark: string;
  readonly messages: string[];
  /** Resolves with the job's final answer; never rejects. */
  readonly finished: Promise<Record<string, unknown>>;
}

/** How long one request waits for a job. */
const WAIT_MS = 5_000;
/** A finished job is remembered this long for its last poll. */
const REMEMBER_MS = 600_000;

const Import = z.discriminatedUnion("action", [
  z.object({ action: z.literal("init"), etag: z.string().regex(/^[0-9a-f]{32}$/) }),
  z.object({ action: z.literal("ingest"), etag: z.string(), filename: z.string() }),
  z.object({ action: z.literal("poll"), current_bookmark: z.string() }),
]);

const Export = z.object({
  output_format: z.literal("polling"),
  current_bookmark: z.string().nullish(),
  dump_options: z
    .object({
      no_schema: z.boolean().optional(),
      no_data: z.boolean().optional(),
      tables: z.array(z.string()).optional(),
      compatibility: z.string().optional(),
    })
    .optional(),
});

export interface Jobs {
  readonly routes: readonly Route[];
  /** Waits for the jobs under way. */
  stop(): Promise<void>;
}

export function openJobs(databases: Databases, engine: Engine, transfers: Transfers, clock: Clock, log: Log): Jobs {
  const jobs = new Map<string, Job & { endedAt: number | undefined }>();

  function start(database: DatabaseId, type: "import" | "export", work: (messages: string[]) => Promise<Record<string, unknown>>): Job {
    for (const [bookmark, { endedAt }] of jobs) if (endedAt !== undefined && clock.now() - endedAt > REMEMBER_MS) jobs.delete(bookmark);
    const bookmark = `${database}-${randomBytes(8).toString("hex")}`;
    const messages: string[] = [];
    const finished = work(messages)
      .catch((error: unknown) => {
        if (!(error instanceof PlatformError)) log.error("d1.job_failed", { database, type, error });
        const text = error instanceof PlatformError ? error.message : `Internal error while running the ${type}`;
        return { success: true, status: "error", error: text, errors: [text] };
      })
      .then((answer) => {
        job.endedAt = clock.now();
        return { ...answer, type, at_bookmark: bookmark };
      });
    const job = { bookmark, messages, finished, endedAt: undefined as number | undefined };
    jobs.set(bookmark, job);
    return job;
  }

  /** What the job is at now, or its end when that comes in time. */
  async function progress(database: DatabaseId, type: "import" | "export", job: Job | undefined): Promise<Record<string, unknown>> {
    if (job === undefined || !job.bookmark.startsWith(database))
      return { success: false, type, error: `Not currently ${type}ing anything.`, messages: [] };
    let timer: NodeJS.Timeout | undefined;
    const soon = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, WAIT_MS, undefined);
    });
    const answer = await Promise.race([job.finished, soon]).finally(() => clearTimeout(timer));
    const messages = job.messages.splice(0);
    if (answer === undefined) return { success: true, type, status: "active", at_bookmark: job.bookmark, messages };
    return { ...answer, messages };
  }

  async function importFile(context: RequestContext): Promise<unknown> {
    const { uuid } = await databases.require(context.params.database ?? "");
    const body = await bodyOf(context, Import);
    if (body.action === "init") {
      const { filename, url } = await transfers.openUpload(uuid, body.etag);
      return { success: true, type: "import", filename, upload_url: url, messages: [] };
    }
    if (body.action === "poll") return progress(uuid, "import", jobs.get(body.current_bookmark));
    const upload = await transfers.uploaded(uuid, body.filename, body.etag);
    if (upload === undefined) return { success: false, type: "import", error: "The file has not been uploaded", messages: [] };
    const job = start(uuid, "import", async (messages) => {
      messages.push("Starting import...");
      const { success, error, ...result } = await engine.import(uuid, upload.file);
      await upload.done();
      if (!success) return { success: true, status: "error", error, errors: [error] };
      messages.push(`Processed ${result.num_queries} queries.`);
      return { success: true, status: "complete", result };
    });
    return progress(uuid, "import", job);
  }

  async function exportFile(context: RequestContext): Promise<unknown> {
    const { uuid } = await databases.require(context.params.database ?? "");
    const { current_bookmark, dump_options: options = {} } = await bodyOf(context, Export);
    if (current_bookmark) return progress(uuid, "export", jobs.get(current_bookmark));
    if (options.compatibility !== undefined && options.compatibility !== "d1")
      throw platformError("notImplemented", `D1 exports with compatibility "${options.compatibility}" are not implemented`);
    const job = start(uuid, "export", async (messages) => {
      const chunks = await engine.export(uuid, {
        tables: options.tables ?? [],
        schema: options.no_schema !== true,
        data: options.no_data !== true,
      });
      const { filename, url } = await transfers.offer(uuid, chunks, (part) => void messages.push(`Uploaded part ${part}`));
      return { success: true, status: "complete", result: { filename, signed_url: url } };
    });
    return progress(uuid, "export", job);
  }

  return {
    routes: [
      { op: "d1.database.import", method: "POST", path: `${BASE}/:database/import`, permission: WRITE, handle: importFile },
      { op: "d1.database.export", method: "POST", path: `${BASE}/:database/export`, permission: READ, handle: exportFile },
    ],
    async stop() {
      await Promise.all([...jobs.values()].map((job) => job.finished));
    },
  };
}
