/**
 * Data points as they are stored: rows of a timeline in days, every dataset of the account in one. What a Worker's process
 * sends is checked again here, since the code in it is the user's.
 *
 * What an acknowledgement means: the points survive a crash.
 */
import { z } from "zod";
import type { KernelSlice } from "../../kernel/product.ts";
import { openTimeline, type Timeline, type TimelineParts } from "../../kernel/timeline/timeline.ts";
import { limits, POINTS_MAX, type WirePoint } from "./limits.ts";

const DAY_MS = 24 * 3_600_000;
/** Points of one turn of a Worker, each as large as it may be and every byte of it an escape. */
export const REQUEST_MAX_BYTES = POINTS_MAX * (6 * (limits.blobsBytes + limits.indexBytes) + 1_024);
/** A Worker's clock and the platform's are one; what is further off was made up. */
const CLOCK_SKEW_MS = 60_000;

const numbered = <T>(name: string, count: number, value: T): [string, T][] =>
  Array.from({ length: count }, (_, i) => [`${name}${i + 1}`, value]);

/** What is not written is '' or 0, as the real service has it. */
const columns = {
  dataset: "VARCHAR",
  ts: "BIGINT",
  index1: { type: "VARCHAR", otherwise: "''" },
  ...Object.fromEntries(numbered("blob", limits.blobs, { type: "VARCHAR", otherwise: "''" })),
  ...Object.fromEntries(numbered("double", limits.doubles, { type: "DOUBLE", otherwise: "0" })),
};

const text = (bytes: number) => z.string().refine((value) => Buffer.byteLength(value) <= bytes);
const schema = z
  .array(
    z.tuple([
      z.number().int(),
      text(limits.indexBytes),
      z
        .array(z.string())
        .max(limits.blobs)
        .refine((blobs) => blobs.reduce((sum, blob) => sum + Buffer.byteLength(blob), 0) <= limits.blobsBytes),
      z.array(z.union([z.number(), z.enum(["NaN", "Infinity", "-Infinity"])])).max(limits.doubles),
    ]),
  )
  .max(100_000);

export interface Points {
  /** Stores the points of a request body: its HTTP status. Durable with 200. */
  write(dataset: string, body: string): Promise<200 | 400 | 503>;
  /** Names of the datasets that have been written to, in order. */
  datasets(): readonly string[];
  readonly timeline: Timeline;
  stop(): Promise<void>;
}

export async function openPoints(kernel: TimelineParts & Pick<KernelSlice, "config">): Promise<Points> {
  const { clock, config, meta } = kernel;
  const timeline = await openTimeline(kernel, {
    name: "analytics_engine",
    columns,
    order: "dataset, index1, ts",
    periodMs: DAY_MS,
    retentionMs: config["analytics_engine.retention_days"] * DAY_MS,
    storedMaxBytes: config["analytics_engine.stored_max_bytes"],
    rollBytes: config["analytics_engine.roll_bytes"],
    pendingMaxBytes: config["analytics_engine.pending_max_bytes"],
    memoryMb: config["analytics_engine.memory_mb"],
  });
  /** When a dataset's row was last renewed: those without points any more are forgotten. */
  const written = new Map(
    (await meta.all<{ name: string; written_on: number }>("SELECT name, written_on FROM analytics_engine_datasets LIMIT 100000")).map(
      (row) => [row.name, row.written_on],
    ),
  );

  async function note(dataset: string): Promise<void> {
    const now = clock.now();
    if (now - (written.get(dataset) ?? 0) < DAY_MS) return;
    await meta.transaction((tx) =>
      tx.run(
        "INSERT INTO analytics_engine_datasets (name, written_on) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET written_on = excluded.written_on",
        dataset,
        now,
      ),
    );
    written.set(dataset, now);
  }

  return {
    timeline,
    async write(dataset, body) {
      const points = parsed(body);
      if (points === undefined) return 400;
      await note(dataset);
      const now = clock.now();
      const name = JSON.stringify(dataset);
      const times = points.map(([time]) => (Math.abs(time - now) <= CLOCK_SKEW_MS ? time : now));
      const rows = points.map((point, i) => rowOf(name, times[i] as number, point));
      const from = times.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
      const to = times.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      return (await timeline.add({ rows, from, to })) ? 200 : 503;
    },
    datasets: () =>
      [...written]
        .filter(([, on]) => on + DAY_MS >= timeline.horizon())
        .map(([name]) => name)
        .sort(),
    stop: timeline.stop,
  };
}

function parsed(body: string): readonly WirePoint[] | undefined {
  try {
    return schema.parse(JSON.parse(body)) as unknown as readonly WirePoint[];
  } catch {
    // Only a Worker that forges what its binding sends comes here.
    return undefined;
  }
}

function rowOf(dataset: string, ts: number, [, index, blobs, doubles]: WirePoint): string {
  let row = `{"dataset":${dataset},"ts":${ts},"index1":${JSON.stringify(index)}`;
  blobs.forEach((blob, i) => {
    if (blob !== "") row += `,"blob${i + 1}":${JSON.stringify(blob)}`;
  });
  doubles.forEach((double, i) => {
    if (double !== 0) row += `,"double${i + 1}":${JSON.stringify(double)}`;
  });
  return `${row}}`;
}
