/** Engine processes under load, cancellation and failure. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openDuckDb } from "../../../kernel/duckdb/engine.ts";
import { DuckDbError } from "../../../kernel/duckdb/errors.ts";
import { SqlSyntaxError } from "../../../kernel/duckdb/parser.ts";
import { PlatformError } from "../../../kernel/errors.ts";
import { openLog } from "../../../kernel/log.ts";
import { Engine } from "./engine.ts";
import { lines } from "./lines.ts";
import { EnginePool } from "./pool.ts";

const log = openLog({ json: true, level: "error" });
const deadline = (): AbortSignal => AbortSignal.timeout(20_000);

async function directory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "r2-sql-engine-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function start(t: TestContext, memoryMb = 256): Promise<Engine> {
  const engine = Engine.start({ memoryMb, threads: 2, spill: join(await directory(t), "spill") }, log);
  t.after(() => engine.kill());
  return engine;
}

const query = (sql: string, files: string[] = [], scope = "a") => ({ sql, scope, files, stopsEarlyAt: undefined });

async function values(engine: Engine, sql: string, signal = deadline()): Promise<unknown[]> {
  return engine.run(query(sql), signal, async (rows) => {
    const all: unknown[] = [];
    for await (const batch of rows.batches()) all.push(...(JSON.parse(batch) as object[]).flatMap((row) => Object.values(row)));
    assert.equal(rows.metrics().rows, all.length);
    return all;
  });
}

const ENDLESS = "SELECT count(*) FROM range(10000000000) a, range(10000000000) b";
const failsWith = (code: string) => (error: unknown) => error instanceof PlatformError && error.code === `r2-sql.${code}`;
const interrupted = (error: unknown) => error instanceof DuckDbError && error.kind === "interrupted";

test("an engine parses and runs one query after another, also after mistakes", async (t) => {
  const engine = await start(t);
  assert.equal((await engine.parse("SELECT a FROM b.c", deadline()))[0]?.type, "SELECT_NODE");
  await assert.rejects(engine.parse("SELECT FROM", deadline()), SqlSyntaxError);
  assert.deepEqual(await values(engine, "SELECT 'a\u2028\u2029\n' AS x"), ["a\u2028\u2029\n"]);
  await assert.rejects(values(engine, "SELECT nope"), (error) => error instanceof DuckDbError && error.kind === "binder");
  await assert.rejects(values(engine, "SELECT 'x'::INTEGER"), (error) => error instanceof DuckDbError && error.kind === "conversion");
  await assert.rejects(
    values(engine, "SELECT * FROM read_text('/etc/passwd')"),
    (error) => error instanceof DuckDbError && error.kind === "permission",
  );
  assert.deepEqual(await values(engine, "SELECT 1 AS x"), [1]);
  assert.equal((await values(engine, "SELECT i FROM range(10000) t(i)")).length, 10000);
  assert(engine.usable);
});

test("an engine opens the files that queries of a scope brought, and none of another scope", async (t) => {
  const dir = await directory(t);
  const db = await openDuckDb({ directories: [dir], spill: join(dir, "spill"), memoryMb: 64 });
  const [x, y] = [join(dir, "x.parquet"), join(dir, "y.parquet")];
  for (const [i, path] of [x, y].entries()) await db.use((c) => c.run(`COPY (SELECT ${i} AS n) TO '${path}' (FORMAT parquet)`));
  await db.close();
  const engine = await start(t);
  const read = (path: string, files: string[], scope: string) =>
    engine.run(query(`SELECT n FROM read_parquet('${path}')`, files, scope), deadline(), async (rows) => {
      let text = "";
      for await (const batch of rows.batches()) text += batch;
      return text;
    });
  const refused = (error: unknown) => error instanceof DuckDbError && error.kind === "permission";
  assert.equal(await read(x, [x], "a"), '[{"n":0}]');
  await assert.rejects(read(y, [x], "a"), refused);
  assert.equal(await read(y, [y], "a"), '[{"n":1}]');
  assert.equal(await read(x, [x], "a"), '[{"n":0}]');
  for (const files of [[], [y]]) await assert.rejects(read(x, files, "b"), refused);
  await assert.rejects(read(y, [], "a"), refused, "nothing is left of the scope after another");
});

test("a cancelled query stops, and the engine is used again", async (t) => {
  const engine = await start(t);
  await values(engine, "SELECT 1");
  await assert.rejects(values(engine, ENDLESS, AbortSignal.timeout(200)), interrupted);
  assert(engine.usable);
  assert.deepEqual(await values(engine, "SELECT 2 AS x"), [2]);
  await assert.rejects(values(engine, "SELECT 3", AbortSignal.abort()), interrupted);
});

test("a query that fails after many rows fails, it does not end early", async (t) => {
  const engine = await start(t);
  const sql = "SELECT CASE WHEN i = 90000 THEN error('stop' || i) ELSE repeat('x', 1000) END AS x FROM range(100000) t(i)";
  await assert.rejects(values(engine, sql), (error) => error instanceof DuckDbError && error.message === "stop90000");
  assert.deepEqual(await values(engine, "SELECT 1 AS x"), [1]);
});

test("an engine whose rows nobody reads is ended, and a killed one says so", async (t) => {
  const engine = await start(t);
  const reading = engine.run(query("SELECT repeat('x', 1000) AS x FROM range(100000)"), deadline(), async (rows) => {
    for await (const _ of rows.batches()) throw new Error("the client is gone");
  });
  await assert.rejects(reading, /the client is gone/);
  assert(!engine.usable);

  const other = await start(t);
  const running = assert.rejects(values(other, ENDLESS), failsWith("engineFailed"));
  await values(await start(t), "SELECT 1");
  await other.kill();
  await running;
  assert(!other.usable);
});

test("rows wait for a slow reader instead of filling memory", async (t) => {
  const engine = await start(t);
  let bytes = 0;
  await engine.run(query("SELECT repeat('x', 20000) AS x FROM range(5000)"), deadline(), async (rows) => {
    for await (const batch of rows.batches()) {
      bytes += batch.length;
      if (bytes < 2_000_000) await new Promise((resolve) => setImmediate(resolve));
    }
  });
  assert(bytes > 100_000_000, String(bytes));
});

test("a query that needs too much memory fails alone", async (t) => {
  const engine = await start(t, 64);
  await assert.rejects(
    values(engine, "SELECT len(list(repeat(i::VARCHAR, 100))) FROM range(100000000) t(i)"),
    (error) => (error instanceof DuckDbError && error.kind === "memory") || failsWith("outOfMemory")(error),
  );
  assert.deepEqual(await values(await start(t, 64), "SELECT 1 AS x"), [1]);
});

test("what does not fit in memory goes to the engine's own directory and is removed with it", async (t) => {
  const dir = await directory(t);
  const engine = Engine.start({ memoryMb: 64, threads: 1, spill: join(dir, "spill") }, log);
  const found = await values(engine, "SELECT count(*) FROM (SELECT i, hash(i) h FROM range(8000000) t(i) ORDER BY h LIMIT 7999999)");
  assert.deepEqual(found, [7999999]);
  await engine.kill();
  assert.deepEqual(await readdir(dir), []);
});

test("the line of waiting queries is bounded, and callers take turns", async (t) => {
  const pool = new EnginePool({
    size: 1,
    waitingMax: 4,
    waitMs: 60_000,
    memoryMb: 64,
    threads: 1,
    scratch: await directory(t),
    idleMs: 60_000,
    log,
  });
  t.after(() => pool.stop());
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const use = (caller: string, name: string) => pool.use(caller, deadline(), async () => void order.push(name));
  const first = pool.use("a", deadline(), () => gate.promise);
  const waiting = [use("a", "a1"), use("a", "a2"), use("a", "a3")];
  const leaving = new AbortController();
  const left = assert.rejects(
    pool.use("c", leaving.signal, async () => {}),
    /left/,
  );
  await assert.rejects(use("b", "b0"), failsWith("tooManyQueries"));
  leaving.abort(new Error("left"));
  await left;
  waiting.push(use("b", "b1"));
  assert.deepEqual(pool.load, { running: 1, waiting: 4 });
  gate.resolve();
  await Promise.all([first, ...waiting]);
  assert.deepEqual(order, ["a1", "b1", "a2", "a3"]);
  assert.deepEqual(pool.load, { running: 0, waiting: 0 });
});

test("a query that waits too long is refused, and the line goes on without it", async (t) => {
  const options = { size: 1, waitingMax: 4, memoryMb: 64, threads: 1, scratch: await directory(t), idleMs: 60_000, log };
  const pool = new EnginePool({ ...options, waitMs: 50 });
  t.after(() => pool.stop());
  const gate = Promise.withResolvers<void>();
  const first = pool.use("a", deadline(), () => gate.promise);
  await assert.rejects(
    pool.use("b", deadline(), async () => {}),
    failsWith("tooManyQueries"),
  );
  assert.deepEqual(pool.load, { running: 1, waiting: 0 });
  gate.resolve();
  await first;
  assert.equal(await pool.use("b", deadline(), async () => "ran"), "ran");
});

test("a stopped pool ends running and waiting queries", async (t) => {
  const pool = new EnginePool({
    size: 1,
    waitingMax: 4,
    waitMs: 60_000,
    memoryMb: 64,
    threads: 1,
    scratch: await directory(t),
    idleMs: 60_000,
    log,
  });
  const started = Promise.withResolvers<void>();
  const running = assert.rejects(
    pool.use("a", deadline(), (engine) => {
      started.resolve();
      return values(engine, ENDLESS);
    }),
    failsWith("engineFailed"),
  );
  await started.promise;
  const waiting = assert.rejects(
    pool.use("a", deadline(), async () => {}),
    failsWith("engineFailed"),
  );
  await pool.stop();
  await pool.stop();
  await Promise.all([running, waiting]);
  await assert.rejects(
    pool.use("a", deadline(), async () => {}),
    failsWith("engineFailed"),
  );
});

test("lines end at \\n alone, wherever chunks are cut", async () => {
  const { Readable } = await import("node:stream");
  const bytes = Buffer.from("a\u2028b\r\n\nüé\nrest");
  for (let size = 1; size < bytes.length; size++) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
    const found: string[] = [];
    for await (const line of lines(Readable.from(chunks))) found.push(line);
    assert.deepEqual(found, ["a\u2028b\r", "", "üé"]);
  }
});
