/**
 * The account's pipelines and their readers: rows in meta, readers running. Structural changes (a pipeline, or what it
 * depends on, comes or goes) happen one at a time, so that none meets a half-made other.
 */
import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Objects, Tables } from "../../kernel/capabilities.ts";
import { type DuckDb, openDuckDb } from "../../kernel/duckdb/engine.ts";
import type { MetaTransaction } from "../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { ensureTable, requireNoTable } from "./catalog-table.ts";
import { catalogTarget } from "./catalog-target.ts";
import { checkCredentials } from "./credentials.ts";
import { pipelinesError } from "./errors.ts";
import { type FileWriter, fileWriter, type Plan } from "./file-writer.ts";
import { limiter } from "./limiter.ts";
import type { Metrics } from "./metrics.ts";
import { catalogList, icebergFields, jsonList, parquetList } from "./output.ts";
import { r2Target } from "./r2-target.ts";
import { type Intent, type Reader, type ReaderState, startReader } from "./reader.ts";
import { scratchFiles } from "./scratch-files.ts";
import type { Sink, Sinks } from "./sinks.ts";
import { type CompiledStatement, compilePipeline } from "./sql/compile.ts";
import { engineFunctions, macros } from "./sql/functions.ts";
import { SqlError } from "./sql/sql-error.ts";
import type { Stream, Streams } from "./streams.ts";
import type { Target } from "./target.ts";

export interface Pipeline {
  readonly id: string;
  readonly name: string;
  readonly sql: string;
  readonly createdAt: number;
  readonly modifiedAt: number;
  /** One for each INSERT. */
  readonly inserts: readonly { readonly stream: string; readonly sink: string }[];
}

export interface Pipelines {
  find(id: string): Pipeline | undefined;
  byName(name: string): Pipeline | undefined;
  /** Throws `pipelines.pipelineNotFound`. */
  require(id: string): Pipeline;
  list(): Pipeline[];
  /** "running", or "failed" with the reason for as long as rolls fail. */
  status(id: string): { readonly status: string; readonly reason: string | undefined };
  /** Throws `pipelines.invalidSql` with the text for the user. */
  validate(sql: string): Promise<CompiledStatement[]>;
  create(name: string, sql: string): Promise<Pipeline>;
  /** Ends the flow at once; events that are not delivered stay in the stream for the next pipeline. */
  remove(id: string): Promise<void>;
  createSink(make: () => Promise<Sink>): Promise<Sink>;
  /** Ends all writing to the sink; its pipelines fail from then on. */
  removeSink(id: string): Promise<void>;
  /** Deletes the stream, its buffered events and the pipelines that read it. */
  removeStream(id: string): Promise<void>;
  stop(): Promise<void>;
}

interface ReaderRow {
  pipeline: string;
  ordinal: number;
  stream: string;
  sink: string;
  plan: string;
  position: number;
  rolls: number;
  intent: string | null;
}

interface PipelineRow {
  id: string;
  name: string;
  sql: string;
  created_at: number;
  modified_at: number;
}

interface Running {
  readonly row: Pick<ReaderRow, "pipeline" | "ordinal" | "stream" | "sink">;
  /** Undefined when its sink was deleted. */
  readonly reader: Reader | undefined;
  /** As the row has it: events before it are needed no more. */
  position: number;
  failure: string | undefined;
}

/** Rolls that are written at a time: each uses all of DuckDB's threads, and memory for its row groups. */
const ROLLS_AT_A_TIME = 2;

export async function openPipelines(
  kernel: KernelSlice,
  objects: Objects,
  tables: Tables,
  streams: Streams,
  sinks: Sinks,
  metrics: Metrics,
): Promise<Pipelines> {
  const { meta, log, clock, config, blobs } = kernel;
  const directory = join(kernel.directory, "rolls");
  const spill = join(kernel.directory, "spill");
  // What a crash left behind.
  for (const path of [directory, spill]) await rm(path, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const db: DuckDb = await openDuckDb({
    directories: [directory, blobs.scratch],
    spill,
    memoryMb: config["pipelines.memory_mb"],
    // One core is the event loop's: with all of them taken, ingest and gathering wait for SQL.
    threads: Math.max(1, availableParallelism() - 1),
    functions: engineFunctions(),
    setup: macros,
  });
  const limits = { timeoutMs: config["pipelines.roll_timeout_s"] * 1000, fileBytes: config["pipelines.roll_file_max_bytes"] };
  const writer: FileWriter = fileWriter(db, blobs.scratch, config["pipelines.payload_max_bytes"], limits, (error) =>
    log.warn("roll.guarded", { reason: error.message }),
  );
  const scratch = scratchFiles(directory);
  const limit = limiter(ROLLS_AT_A_TIME);
  const exclusive = limiter(1);
  const byId = new Map<string, Pipeline>();
  const running = new Map<string, Running[]>();

  // --- readers ---

  function targetOf(sink: Sink, plan: Plan): Target {
    const authorize = async (): Promise<void> =>
      checkCredentials(kernel.auth, kernel.accountId, sink.settings.target.bucket, await sinks.secrets(sink.id));
    const { target } = sink.settings;
    if (target.kind === "r2") return r2Target(objects, target, sink.settings.format, authorize);
    const columns = plan.columns.map((column) => column.name);
    return catalogTarget({ tables, objects, clock, config: target, sinkId: sink.id, columns, authorize });
  }

  function start(row: ReaderRow, stream: Stream): Running {
    const sink = sinks.find(row.sink);
    if (sink === undefined) return { row, reader: undefined, position: row.position, failure: "The sink was deleted" };
    const plan = JSON.parse(row.plan) as Plan;
    const state: ReaderState = {
      position: row.position,
      rolls: row.rolls,
      intent: row.intent === null ? undefined : (JSON.parse(row.intent) as Intent),
    };
    const { pipeline, ordinal } = row;
    const entry: Running = {
      row,
      position: row.position,
      failure: undefined,
      reader: startReader({
        pipeline,
        ordinal,
        journal: stream.journal,
        rolling: sink.settings.rolling,
        growth: plan.growth ?? 1,
        target: targetOf(sink, plan),
        write: (roll, prepared, signal) =>
          writer.write({ plan, fields: stream.fields, format: sink.settings.format, ...roll, ...prepared }, signal),
        scratch,
        state,
        limit,
        clock,
        log: log.child({ pipeline, ordinal, stream: stream.name, sink: sink.name }),
        async saveIntent(intent) {
          const text = JSON.stringify(intent);
          await meta.run("UPDATE pipelines_readers SET intent = ? WHERE pipeline = ? AND ordinal = ?", text, pipeline, ordinal);
        },
        async advance(next, roll) {
          await meta.transaction(async (tx) => {
            await tx.run(
              "UPDATE pipelines_readers SET position = ?, rolls = ?, intent = NULL WHERE pipeline = ? AND ordinal = ?",
              next.position,
              next.rolls,
              pipeline,
              ordinal,
            );
            await metrics.add(tx, { pipeline, stream: row.stream, sink: row.sink }, roll);
          });
          entry.position = next.position;
          trim(stream.id);
        },
        onHealth: (reason) => {
          entry.failure = reason;
        },
      }),
    };
    return entry;
  }

  /** Gives back the journal's space before the slowest reader. A deleted sink's reader holds nothing back. */
  function trim(streamId: string): void {
    const positions = readersOf((row) => row.stream === streamId).flatMap(({ reader, position }) =>
      reader === undefined ? [] : [position],
    );
    if (positions.length === 0) return;
    const trimmed = streams.find(streamId)?.journal.trim(Math.min(...positions));
    trimmed?.catch((error: unknown) => log.warn("stream.trim_failed", { stream: streamId, error }));
  }

  const readersOf = (which: (row: Running["row"]) => boolean): Running[] => [...running.values()].flat().filter(({ row }) => which(row));

  // --- rows ---

  for (const row of await meta.all<PipelineRow>("SELECT * FROM pipelines_pipelines ORDER BY created_at, id")) {
    const rows = await meta.all<ReaderRow>("SELECT * FROM pipelines_readers WHERE pipeline = ? ORDER BY ordinal", row.id);
    byId.set(row.id, pipelineOf(row, rows));
    running.set(
      row.id,
      rows.map((reader) => start(reader, streams.require(reader.stream))),
    );
  }

  // A crash may have come between the last roll and this.
  for (const { id } of streams.list()) trim(id);

  function require(id: string): Pipeline {
    const found = byId.get(id);
    if (found === undefined) throw pipelinesError("pipelineNotFound");
    return found;
  }

  async function validate(sql: string, now: number): Promise<{ statement: CompiledStatement; sink: Sink; plan: Plan }[]> {
    try {
      const statements = await db.use((connection) =>
        compilePipeline(sql, { stream: (name) => streams.byName(name), sink: (name) => sinks.byName(name) }, connection, now),
      );
      return statements.map((statement) => {
        const sink = sinks.require(statement.sink.id);
        return { statement, sink, plan: planOf(statement, sink) };
      });
    } catch (cause) {
      if (cause instanceof SqlError) throw pipelinesError("invalidSql", cause.message, { cause });
      throw cause;
    }
  }

  /** Where a new reader begins: with the events that no pipeline has processed, or beside others with what comes from now on. */
  async function firstPosition(stream: Stream): Promise<number> {
    const others = readersOf((row) => row.stream === stream.id).some(({ reader }) => reader !== undefined);
    return others ? stream.journal.end : Math.max(stream.journal.start, await streams.released(stream.id));
  }

  async function create(name: string, sql: string): Promise<Pipeline> {
    if (!/^[A-Za-z0-9_-]{1,128}$/.test(name))
      throw pipelinesError("invalidName", "name must contain only letters, numbers, underscores and hyphens");
    if (byName(name) !== undefined) throw pipelinesError("nameTaken", `A pipeline named "${name}" already exists`);
    if (byId.size >= config["pipelines.pipelines_max"])
      throw pipelinesError("tooMany", `The account's limit of ${config["pipelines.pipelines_max"]} pipelines is reached`);
    const now = clock.now();
    const compiled = await validate(sql, now);
    for (const { statement, sink } of compiled) {
      const { target } = sink.settings;
      // A table that no pipeline row follows is empty and the sink's own: the next attempt takes it.
      if (target.kind === "catalog") await ensureTable(tables, target, sink.id, icebergFields(statement.columns));
    }
    const row: PipelineRow = { id: randomBytes(16).toString("hex"), name, sql, created_at: now, modified_at: now };
    const rows: ReaderRow[] = [];
    for (const [ordinal, { statement, sink, plan }] of compiled.entries())
      rows.push({
        pipeline: row.id,
        ordinal,
        stream: statement.stream.id,
        sink: sink.id,
        plan: JSON.stringify(plan),
        position: await firstPosition(streams.require(statement.stream.id)),
        rolls: 0,
        intent: null,
      });
    await meta.transaction(async (tx) => {
      await insertPipeline(tx, row, rows);
    });
    const pipeline = pipelineOf(row, rows);
    byId.set(row.id, pipeline);
    running.set(
      row.id,
      rows.map((reader) => start(reader, streams.require(reader.stream))),
    );
    return pipeline;
  }

  const byName = (name: string): Pipeline | undefined => [...byId.values()].find((pipeline) => pipeline.name === name);

  /** Stops the readers of the pipelines, then deletes their rows within `tx`. */
  async function stopReaders(ids: readonly string[]): Promise<void> {
    await Promise.all(ids.flatMap((id) => (running.get(id) ?? []).map(({ reader }) => reader?.stop())));
  }

  async function deleteRows(tx: MetaTransaction, id: string): Promise<void> {
    const rows = await tx.all<{ stream: string; position: number }>(
      "SELECT stream, position FROM pipelines_readers WHERE pipeline = ?",
      id,
    );
    for (const { stream, position } of rows) await streams.release(tx, stream, position);
    await tx.run("DELETE FROM pipelines_readers WHERE pipeline = ?", id);
    await tx.run("DELETE FROM pipelines_pipelines WHERE id = ?", id);
  }

  function forget(id: string): void {
    byId.delete(id);
    running.delete(id);
  }

  return {
    find: (id) => byId.get(id),
    byName,
    require,
    list: () => [...byId.values()],
    status(id) {
      const reason = running.get(id)?.find(({ failure }) => failure !== undefined)?.failure;
      return { status: reason === undefined ? "running" : "failed", reason };
    },
    async validate(sql) {
      return (await validate(sql, clock.now())).map(({ statement }) => statement);
    },
    create: (name, sql) => exclusive(() => create(name, sql)),
    remove: (id) =>
      exclusive(async () => {
        require(id);
        await stopReaders([id]);
        await meta.transaction((tx) => deleteRows(tx, id));
        forget(id);
      }),
    createSink: (make) => exclusive(make),
    removeSink: (id) =>
      exclusive(async () => {
        const sink = sinks.require(id);
        const users = readersOf((row) => row.sink === id);
        await Promise.all(users.map(({ reader }) => reader?.stop()));
        await sinks.remove(id);
        for (const [pipeline, entries] of running) {
          const failure = `The sink ${sink.name} was deleted`;
          running.set(
            pipeline,
            entries.map((entry) => (entry.row.sink === id ? { ...entry, reader: undefined, failure } : entry)),
          );
        }
      }),
    removeStream: (id) =>
      exclusive(async () => {
        streams.require(id);
        const dependent = [...byId.values()].filter((pipeline) => pipeline.inserts.some((insert) => insert.stream === id)).map((p) => p.id);
        await stopReaders(dependent);
        await streams.remove(id, async (tx) => {
          for (const pipeline of dependent) await deleteRows(tx, pipeline);
        });
        dependent.forEach(forget);
      }),
    async stop() {
      await stopReaders([...running.keys()]);
      await scratch.clear();
      await db.close();
    },
  };

  /** Throws `pipelines.invalidSql` for columns that the sink's files cannot have. */
  function planOf(statement: CompiledStatement, sink: Sink): Plan {
    const { settings } = sink;
    const output =
      settings.target.kind === "catalog"
        ? catalogList(statement.columns)
        : settings.format.type === "json"
          ? jsonList(statement.columns, settings.json)
          : parquetList(statement.columns);
    if (settings.target.kind === "catalog") icebergFields(statement.columns);
    return {
      version: 1,
      select: statement.select,
      guarded: statement.guarded,
      output,
      columns: statement.columns.map(({ name, type }) => ({ name, type: String(type) })),
      growth: statement.growth,
    };
  }
}

/** For `POST /sinks`: throws when the destination does not exist or its credentials do not fit it. */
export async function checkDestination(
  kernel: KernelSlice,
  objects: Objects,
  tables: Tables,
  sink: { readonly settings: Sink["settings"]; readonly secrets: Parameters<typeof checkCredentials>[3] },
): Promise<void> {
  const { target } = sink.settings;
  if (!(await objects.bucketExists(target.bucket))) throw pipelinesError("bucketNotFound", `The bucket ${target.bucket} does not exist`);
  await checkCredentials(kernel.auth, kernel.accountId, target.bucket, sink.secrets);
  if (target.kind === "catalog") await requireNoTable(tables, target);
}

function pipelineOf(row: PipelineRow, readers: readonly ReaderRow[]): Pipeline {
  return {
    id: row.id,
    name: row.name,
    sql: row.sql,
    createdAt: row.created_at,
    modifiedAt: row.modified_at,
    inserts: readers.map(({ stream, sink }) => ({ stream, sink })),
  };
}

async function insertPipeline(tx: MetaTransaction, row: PipelineRow, readers: readonly ReaderRow[]): Promise<void> {
  await tx.run(
    "INSERT INTO pipelines_pipelines (id, name, sql, created_at, modified_at) VALUES (?, ?, ?, ?, ?)",
    row.id,
    row.name,
    row.sql,
    row.created_at,
    row.modified_at,
  );
  for (const reader of readers)
    await tx.run(
      "INSERT INTO pipelines_readers (pipeline, ordinal, stream, sink, plan, position, rolls, intent) VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
      reader.pipeline,
      reader.ordinal,
      reader.stream,
      reader.sink,
      reader.plan,
      reader.position,
      reader.rolls,
    );
}
