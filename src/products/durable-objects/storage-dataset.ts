/**
 * What Durable Objects store, for the GraphQL Analytics API (docs/durable-objects/observability/metrics-and-analytics): the
 * sizes of workerd's files, as they are when asked. There is no history.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaReader } from "../../kernel/meta/meta.ts";
import type { Dataset } from "../../kernel/product.ts";
import type { Arrangement } from "./arrangement.ts";
import { partKeys } from "./jurisdictions.ts";

const HOUR_MS = 3_600_000;
const NAMESPACES_MAX = 100_000;
/** Files that are looked at together. */
const TOGETHER = 64;

export function storageDataset(meta: MetaReader, clock: Clock, { directoriesOf }: Arrangement): Dataset {
  /** Queries that ask meanwhile share it. */
  let reading: Promise<number> | undefined;

  async function storedBytes(): Promise<number> {
    const rows = await meta.all<{ id: string }>(
      `SELECT id FROM durable_objects_namespaces WHERE deleted_on IS NULL LIMIT ${NAMESPACES_MAX}`,
    );
    let sum = 0;
    for (const { id } of rows) for (const one of partKeys(id).flatMap(directoriesOf)) sum += await bytesIn(one);
    return sum;
  }

  return {
    description: "What Durable Objects of the account store",
    permission: ["Account Analytics Read"],
    dimensions: {},
    max: ["storedBytes"],
    async facts({ to }) {
      const now = clock.now();
      if (to < now - HOUR_MS) return [];
      reading ??= storedBytes().finally(() => {
        reading = undefined;
      });
      return [{ time: Math.min(now, to - 1), dimensions: {}, max: { storedBytes: await reading } }];
    },
  };
}

/** Of the objects of one part: their databases and what of them lies in the log of writes, but not workerd's own lists. */
async function bytesIn(directory: string): Promise<number> {
  const names = (await readdir(directory).catch(absent<string[]>([]))).filter((name) => /^[0-9a-f]{64}\.sqlite(-wal)?$/.test(name));
  let sum = 0;
  for (let at = 0; at < names.length; at += TOGETHER) {
    const sizes = names.slice(at, at + TOGETHER).map((name) => stat(join(directory, name)).then(({ size }) => size, absent(0)));
    for (const size of await Promise.all(sizes)) sum += size;
  }
  return sum;
}

/** An object may be deleted while it is looked at, and a namespace without objects has no directory. */
const absent =
  <T>(instead: T) =>
  (error: NodeJS.ErrnoException): T => {
    if (error.code === "ENOENT") return instead;
    throw error;
  };
