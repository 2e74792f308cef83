/**
 * Exactly once, at every step. Goal: as `pipelines.test.ts` has it, for the steps that an event goes through, one after
 * another, in the three kinds of sinks. Method: clients send events with unique ids to one stream, which three INSERTs read:
 * into Parquet files, into NDJSON files and into an Iceberg table. In each round the platform is stopped by a debugger at a
 * statement that the step is named after, and killed there; a third of the rounds kills the start that follows, too, in which
 * the roll is repeated. At the end the ids in each sink are compared with those that were sent.
 *
 * FREEHOLD_CRASH_ROUNDS sets the number of kills (10 of the 20 steps), FREEHOLD_SEED repeats a run's choices.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { after, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, pipelinesWorld, type World } from "../clients/pipelines-world.ts";
import { DEBUGGABLE, type Statement, type Stopped, stopAt } from "../harness/debugger.ts";
import { startPlatform, type TestPlatform } from "../harness/platform.ts";
import { type Random, seeded } from "../harness/seed.ts";
import { killedAtStart } from "./killed-start.ts";
import { Events } from "./model.ts";

const SENDERS = 3;
/** Parts of it are hard to compress. */
const TEXT = randomBytes(3000).toString("base64");
/** As small as it gets: a file of several is written part by part. */
const ROW_GROUP_BYTES = 64 * 1024;
const LAKE = "steps-table";
/** INSERTs of the pipeline, in their order. */
const SINKS = ["parquet", "json", "table"] as const;
type SinkKind = (typeof SINKS)[number];

interface Step {
  /** What has happened, and what has not. */
  readonly name: string;
  readonly at: Omit<Statement, "passes">;
  /** Sinks whose rolls come to the statement, by an expression that tells them apart there; without it the step has nothing to do with sinks. */
  readonly sinks?: Partial<Record<SinkKind, string>>;
  /** Goes on until DuckDB has begun the file at the path that the expression gives, and kills then. */
  readonly untilFile?: string;
  /** The statement is passed this often at most before the kill. */
  readonly passes?: number;
}

const groupCommit = "kernel/journal/group-commit.ts";
const segments = "kernel/journal/segments.ts";
const reader = "products/pipelines/reader.ts";
const catalogTarget = "products/pipelines/catalog-target.ts";
const byOrdinal = (of: string): Record<SinkKind, string> => ({ parquet: `${of} === 0`, json: `${of} === 1`, table: `${of} === 2` });
const anySink = byOrdinal("options.ordinal");
const onlyTable = { table: "true" };

const STEPS: readonly Step[] = [
  { name: "received; not in the journal", at: { file: groupCommit, text: "writev(fd, done" }, passes: 30 },
  { name: "written to the journal; not synced", at: { file: groupCommit, text: "fdatasync(fd," }, passes: 30 },
  { name: "durable; nobody told", at: { file: groupCommit, text: "for (let i = 0; i < group.resolves" }, passes: 30 },
  { name: "durable; not answered", at: { file: "products/pipelines/ingest.ts", text: 'const body = `{"success":true' }, passes: 30 },
  { name: "segment begun; the one before not closed", at: { file: groupCommit, text: "const previous = this.#active" } },
  {
    name: "read from the journal; not gathered",
    at: { file: "products/pipelines/gather.ts", text: "const bytes = lines.reduce" },
    passes: 9,
  },
  { name: "gathered; not transformed", at: { file: reader, text: "const prepared = await target.prepare()" }, sinks: anySink },
  {
    name: "being transformed; the file part-written",
    at: { file: "kernel/duckdb/parquet.ts", text: "const written = await connection.get" },
    sinks: { parquet: "fieldIds === undefined", table: "fieldIds !== undefined" },
    untilFile: "path",
  },
  {
    name: "being transformed; the lines part-written",
    at: { file: "products/pipelines/file-writer.ts", text: "const rows = await connection.run(`COPY" },
    sinks: { json: "true" },
    untilFile: "path",
  },
  {
    name: "file written; its range not recorded",
    at: { file: reader, text: "if (repeated === undefined) await options.saveIntent" },
    sinks: anySink,
  },
  { name: "range recorded; file not put", at: { file: reader, text: "state = { ...state, intent }" }, sinks: anySink },
  {
    name: "bytes in the bucket's store; no object",
    at: { file: "products/r2/capability.ts", text: "const empty = adopted.size === 0" },
    passes: 3,
  },
  { name: "data file in the bucket; nothing committed", at: { file: catalogTarget, text: "await commit((metadata)" }, sinks: onlyTable },
  { name: "manifests written; commit not sent", at: { file: catalogTarget, text: "await tables.commit(" }, sinks: onlyTable },
  {
    name: "commit sent, metadata file written; table not moved",
    at: { file: "products/r2-data-catalog/commits.ts", text: "await kernel.meta.transaction(async (tx)" },
    sinks: onlyTable,
  },
  { name: "delivered; position not moved", at: { file: reader, text: "const next: ReaderState =" }, sinks: anySink },
  {
    name: "position moved in a transaction; not committed",
    at: { file: "products/pipelines/pipelines.ts", text: "await metrics.add(tx," },
    sinks: byOrdinal("ordinal"),
  },
  { name: "position moved; journal not trimmed", at: { file: reader, text: "state = next" }, sinks: anySink },
  { name: "segment to be trimmed; still there", at: { file: segments, text: "await rm(oldest.path" } },
  { name: "segment trimmed; not synced", at: { file: segments, text: "await syncDirectory(this.#directory)" } },
];

const ROUNDS = Number(process.env.FREEHOLD_CRASH_ROUNDS ?? 10);

test("[pipelines-06, pipelines-31] a SIGKILL at any step neither loses nor repeats an event in files and tables", async (t) => {
  const random = seeded((text) => t.diagnostic(text));
  // Small segments are trimmed every few rolls.
  const platform = await startPlatform({ after }, { env: DEBUGGABLE, config: { "journal.segment_bytes": 64 * 1024 } });
  const world = await pipelinesWorld(platform);
  const buckets = await prepare(world);
  const events = new Events();
  const crew = senders(world, buckets.endpoint, events, random);

  for (const [i, step] of rounds(random).entries()) {
    const sink = step.sinks && random.pick(Object.keys(step.sinks) as SinkKind[]);
    const stopped = await stopAt(platform, {
      ...step.at,
      when: sink && step.sinks?.[sink],
      passes: random.integer(0, step.passes ?? 1),
    });
    const file = step.untilFile && (await untilFile(stopped, step.untilFile));
    crew.pause();
    await platform.kill9();
    const start = random.integer(0, 2) === 0 ? random.integer(150, 900) : undefined;
    if (start !== undefined) await killedAtStart(platform, start);
    const what = [step.name, sink, file, start && `its start killed after ${start} ms`].filter(Boolean).join(", ");
    t.diagnostic(`round ${i + 1}: ${events.acknowledged} of ${events.end} events acknowledged; ${what}`);
    await platform.restart();
    crew.go();
  }
  await crew.stop();
  await check(t, platform, world, buckets, events);
});

/** Every step in a new order, again and again. */
function rounds(random: Random): Step[] {
  const chosen: Step[] = [];
  for (let left: Step[] = []; chosen.length < ROUNDS; ) {
    if (left.length === 0) left = [...STEPS];
    chosen.push(...left.splice(random.integer(0, left.length - 1), 1));
  }
  return chosen;
}

interface Buckets {
  readonly parquet: string;
  readonly json: string;
  readonly endpoint: string;
}

async function prepare(world: World): Promise<Buckets> {
  const [parquet, json] = [await world.bucket("steps-parquet"), await world.bucket("steps-json")];
  await world.catalog(LAKE);
  const { endpoint } = await world.stream("steps_stream", [
    { name: "id", type: "int64", required: true },
    { name: "text", type: "string" },
  ]);
  await world.r2Sink("steps_parquet", parquet, {}, { type: "parquet", compression: "zstd", row_group_bytes: ROW_GROUP_BYTES });
  await world.r2Sink("steps_json", json, {}, { type: "json" });
  await world.catalogSink("steps_table", LAKE, "steps", "events");
  const select = "SELECT id, upper(text) AS text FROM steps_stream";
  await world.pipeline("steps", SINKS.map((sink) => `INSERT INTO steps_${sink} ${select}`).join("; "));
  return { parquet, json, endpoint };
}

/** Clients that send without a pause, but for those while the platform is down. */
function senders(world: World, endpoint: string, events: Events, random: Random) {
  let sending = true;
  let up = Promise.withResolvers<void>();
  up.resolve();
  async function sender(): Promise<void> {
    while (sending) {
      await up.promise;
      const ids = events.take(random.integer(1, 60));
      const body = ids.map((id) => ({ id, text: TEXT.slice(random.integer(0, 2000), random.integer(2000, 4000)) }));
      const sent = await world.send(endpoint, body).catch(() => undefined);
      // Without an answer the events may or may not be there; an answer other than 200 is a failure of the test.
      if (sent === undefined) continue;
      assert.equal(sent.status, 200, JSON.stringify(sent.body));
      events.acknowledge(ids);
    }
  }
  const crew = Promise.all(Array.from({ length: SENDERS }, sender));
  crew.catch(() => undefined);
  return {
    pause(): void {
      up = Promise.withResolvers();
    },
    go: () => up.resolve(),
    async stop(): Promise<void> {
      sending = false;
      await crew;
    },
  };
}

/** Lets the platform go on until the file has begun; how much of it there is. */
async function untilFile(stopped: Stopped, expression: string): Promise<string> {
  const path = (await stopped.evaluate(expression)) as string;
  await stopped.resume();
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    if (size > 0) return `${size} bytes of the file written, ${isWhole(path, size) ? "all" : "not all"} of it`;
  }
  throw new Error(`no file came at ${path}`);
}

/** A Parquet file ends with the four letters that it begins with; lines of JSON end with a line's end. */
function isWhole(path: string, size: number): boolean {
  const end = Buffer.alloc(4);
  const file = openSync(path, "r");
  readSync(file, end, 0, 4, Math.max(0, size - 4));
  closeSync(file);
  return size > 4 && (end.toString("latin1") === "PAR1" || end.at(-1) === 0x0a);
}

async function check(t: TestContext, platform: TestPlatform, world: World, buckets: Buckets, events: Events): Promise<void> {
  const found: Record<SinkKind, () => Promise<number[]>> = {
    parquet: async () => (await world.parquetRows(buckets.parquet, "id")).map((row) => Number(row.id)),
    json: async () => (await world.jsonRows(buckets.json)).map((row) => Number(row.id)),
    table: () => tableIds(platform, events.end),
  };
  for (const sink of SINKS) await eventually(`all events in the ${sink}`, async () => events.check(await found[sink]()), 60_000);
  // And no more comes: a repeated roll would show up within its interval.
  await sleep(2000);
  for (const sink of SINKS) events.check(await found[sink]());
  t.diagnostic(`${events.acknowledged} of ${events.end} events were acknowledged`);
}

/** The ids of the table's rows, a part at a time: a query gives 10,000 rows at most. */
async function tableIds(platform: TestPlatform, end: number): Promise<number[]> {
  const query = async (sql: string): Promise<{ id: number }[]> => {
    const answer = await platform.fetch(`${platform.host("sql")}/r2-sql/query/${LAKE}`, {
      method: "POST",
      headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
      body: JSON.stringify({ query: sql }),
    });
    const body = (await answer.json()) as { success: boolean; result: { rows: { id: number }[] } };
    assert.ok(body.success, JSON.stringify(body));
    return body.result.rows;
  };
  const ids: number[] = [];
  // Half as many ids as rows: twice each would still be seen.
  for (let from = 0; from < end; from += 5000)
    for (const { id } of await query(`SELECT id FROM steps.events WHERE id >= ${from} AND id < ${from + 5000} LIMIT 10000`))
      ids.push(Number(id));
  return ids;
}
