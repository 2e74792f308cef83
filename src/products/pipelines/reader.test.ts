/**
 * A reader that dies at each step of a roll. Goal: whatever the step, the events are in the target once. Method: a real
 * journal and real files; the target is a map from a file's name to its rows, as a bucket is; a "crash" ends the reader
 * at the step and starts another one from the state that was saved.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Clock } from "../../kernel/clock.ts";
import { openDuckDb } from "../../kernel/duckdb/engine.ts";
import { openSegmentJournals } from "../../kernel/journal/segments.ts";
import { openLog } from "../../kernel/log.ts";
import { parseFields } from "./fields.ts";
import { fileWriter } from "./file-writer.ts";
import { type FileIdentity, fileStem } from "./naming.ts";
import { jsonList } from "./output.ts";
import { type Reader, type ReaderState, startReader } from "./reader.ts";
import { recordCheck } from "./record-check.ts";
import { encodeBatch } from "./records.ts";
import { scratchFiles } from "./scratch-files.ts";
import type { RollingPolicy } from "./sink-config.ts";
import { compilePipeline } from "./sql/compile.ts";
import { engineFunctions, macros } from "./sql/functions.ts";

const STEPS = ["prepare", "saveIntent", "beforeDeliver", "afterDeliver", "afterAdvance"] as const;
type Step = (typeof STEPS)[number] | undefined;

async function world(t: TestContext, rolling: RollingPolicy = { intervalMs: 50, fileBytes: undefined, inactivityMs: undefined }) {
  const directory = await mkdtemp(join(tmpdir(), "pipelines-reader-"));
  const log = openLog({ level: "error" });
  const journals = await openSegmentJournals({
    directory: join(directory, "journals"),
    segmentBytes: 64 * 1024,
    pendingMaxBytes: 2 ** 24,
    log,
  });
  const journal = await journals.open("stream");
  const db = await openDuckDb({
    directories: [directory],
    spill: join(directory, "spill"),
    memoryMb: 256,
    functions: engineFunctions(),
    setup: macros,
  });
  const fields = parseFields({ fields: [{ name: "id", type: "int64", required: true }] });
  const [statement] = await db.use((c) =>
    compilePipeline(
      "INSERT INTO sink SELECT id FROM stream",
      { stream: (name) => ({ id: "s", name, fields }), sink: (name) => ({ id: "k", name }) },
      c,
      0,
    ),
  );
  assert.ok(statement !== undefined);
  const plan = {
    version: 1 as const,
    select: statement.select,
    guarded: null,
    output: jsonList(statement.columns, { timestamps: "rfc3339", decimals: "number", unstructured: false }),
    columns: [],
  };
  const format = { type: "json" as const, compression: "uncompressed", rowGroupBytes: 1 };
  const writer = fileWriter(db, directory, 1e6, { timeoutMs: 60_000, fileBytes: 1e9 }, () => undefined);
  const saved = { state: { position: 0, rolls: 0, intent: undefined } as ReaderState, health: undefined as string | undefined };
  const target = new Map<string, number[]>();
  let dropped = 0;
  /** How far the clock is from the real one, milliseconds. */
  const skew = { ms: 0 };
  const clock: Clock = { now: () => Date.now() + skew.ms };

  /** Starts a reader that dies at `step`: from there on nothing it does has an effect. `died` resolves then. */
  function start(step: Step): { reader: Reader; died: Promise<void> } {
    const { promise: died, resolve } = Promise.withResolvers<void>();
    let dead = false;
    const at = async (here: Step): Promise<void> => {
      if (here === step) {
        dead = true;
        resolve();
      }
      if (dead) throw new Error("dead");
    };
    const deliver = async (path: string, file: FileIdentity): Promise<void> => {
      const text = await readFile(path, "utf8");
      await rm(path);
      target.set(
        fileStem("uuid", file),
        text
          .trimEnd()
          .split("\n")
          .map((line) => (JSON.parse(line) as { id: number }).id),
      );
    };
    const reader = startReader({
      pipeline: "p",
      ordinal: 0,
      journal,
      rolling,
      target: {
        partitionOf: () => "",
        async prepare() {
          await at("prepare");
          return {};
        },
        delivered: async () => undefined,
        deliver: async (written, file) => {
          await at("beforeDeliver");
          await deliver(written.path, file);
          await at("afterDeliver");
        },
      },
      write: (roll, _, signal) => writer.write({ plan, fields, format, ...roll }, signal),
      scratch: scratchFiles(directory),
      state: saved.state,
      limit: (work) => work(),
      saveIntent: async (intent) => {
        await at("saveIntent");
        saved.state = { ...saved.state, intent };
      },
      advance: async (state, metrics) => {
        if (dead) throw new Error("dead");
        saved.state = state;
        dropped += metrics.dropped.reduce((sum, { count }) => sum + count, 0);
        await at("afterAdvance");
      },
      onHealth: (reason) => {
        saved.health = reason;
      },
      clock,
      log: openLog({ level: "silent" }),
    });
    return { reader, died };
  }
  const readers: Reader[] = [];
  t.after(async () => {
    for (const reader of readers) await reader.stop();
    await db.close();
    await journals.close();
    await rm(directory, { recursive: true });
  });
  return {
    journal,
    saved,
    skew,
    target,
    dropped: () => dropped,
    start: (step: Step) => {
      const started = start(step);
      readers.push(started.reader);
      return started;
    },
    async send(events: readonly unknown[]): Promise<void> {
      const batch = encodeBatch(Buffer.from(JSON.stringify(events)), recordCheck(fields), clock.now());
      assert.ok(batch !== undefined);
      await journal.append(batch.payload, batch.count);
    },
    async delivered(position: number): Promise<void> {
      const end = Date.now() + 10_000;
      while (saved.state.position < position) {
        assert.ok(Date.now() < end, `at ${saved.state.position} of ${position}: ${saved.health}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
  };
}

test("a reader that dies at any step leaves every event in the target once", async (t) => {
  const w = await world(t);
  let sent = 0;
  const send = async (count: number): Promise<void> => {
    await w.send(Array.from({ length: count }, () => ({ id: sent++ })));
  };
  for (const step of [...STEPS, ...STEPS]) {
    await send(7);
    await send(3);
    const { reader, died } = w.start(step);
    await died;
    // What arrives between the death and the next start must not change what the repeated roll holds.
    await send(5);
    await reader.stop();
  }
  w.start(undefined);
  await w.delivered(sent);
  const ids = [...w.target.values()].flat().sort((a, b) => a - b);
  assert.deepEqual(
    ids,
    Array.from({ length: sent }, (_, i) => i),
  );
});

test("rolls that hold nothing but dropped events move the position and write no file", async (t) => {
  const w = await world(t);
  await w.send([{ id: "x" }, { id: null }, {}]);
  w.start(undefined);
  await w.delivered(3);
  assert.equal(w.target.size, 0);
  assert.equal(w.dropped(), 3);
});

test("a size limit cuts a backlog into files in order, without gaps", async (t) => {
  const w = await world(t, { intervalMs: 60_000, fileBytes: 20_000, inactivityMs: undefined });
  for (let i = 0; i < 100; i++) await w.send(Array.from({ length: 100 }, (_, k) => ({ id: i * 100 + k })));
  w.start(undefined);
  await w.delivered(9_000);
  assert.ok(w.target.size > 3, `${w.target.size} files`);
  const ids = [...w.target.values()].flat();
  assert.deepEqual(
    ids,
    Array.from({ length: w.saved.state.position }, (_, i) => i),
  );
});

test("a roll that fails is repeated with backoff, and the reason is known meanwhile", async (t) => {
  const w = await world(t);
  await w.send([{ id: 1 }]);
  const { died } = w.start("prepare");
  await died;
  const end = Date.now() + 5000;
  while (w.saved.health === undefined && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(w.saved.health, "dead");
  assert.equal(w.saved.state.position, 0);
});

test("a number of events cuts rolls too, and draining does not wait for the interval", async (t) => {
  const w = await world(t, { intervalMs: 3_600_000, fileBytes: undefined, inactivityMs: undefined, events: 100 });
  for (let i = 0; i < 25; i++) await w.send(Array.from({ length: 10 }, (_, k) => ({ id: i * 10 + k })));
  const { reader } = w.start(undefined);
  await w.delivered(200);
  assert.deepEqual(
    [...w.target.values()].map((ids) => ids.length),
    [100, 100],
  );
  await reader.drain();
  assert.equal(w.saved.state.position, 250);
  assert.equal(w.target.size, 3);
});

test("a clock that is set back or forth holds up no roll, repeats none and loses none", async (t) => {
  const w = await world(t, { intervalMs: 200, fileBytes: undefined, inactivityMs: undefined });
  let { reader } = w.start(undefined);
  let sent = 0;
  for (const jump of [-86_400_000, 86_400_000, -3_600_000, 3_600_000, -86_400_000]) {
    await w.send([{ id: sent++ }]);
    // In the middle of a roll, and before one.
    w.skew.ms += jump;
    await w.send([{ id: sent++ }]);
    await w.delivered(sent);
    // Also for a reader that finds times ahead of its clock when it starts.
    await reader.stop();
    await w.send([{ id: sent++ }]);
    w.skew.ms -= 7_200_000;
    reader = w.start(undefined).reader;
    await w.delivered(sent);
  }
  const ids = [...w.target.values()].flat().sort((a, b) => a - b);
  assert.deepEqual(
    ids,
    Array.from({ length: sent }, (_, i) => i),
  );
});
