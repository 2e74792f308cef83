/**
 * The account's indexes: rows in meta, mirrored in memory, because every query asks for its index. All changes go through
 * this object, so the mirror is the table. An index's vectors belong to its id, which a later index of its name does not get.
 */
import { randomBytes } from "node:crypto";
import type { QueueSender } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import type { Metric } from "../../kernel/vectors/codes.ts";
import { vectorizeError } from "./errors.ts";

export interface Index {
  /** 32 hex digits. */
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly dimensions: number;
  readonly metric: Metric;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly modifiedAt: number;
}

export type NewIndex = Pick<Index, "name" | "description" | "dimensions" | "metric">;

export interface Indexes {
  /** By name. */
  list(): Index[];
  byId(id: string): Index | undefined;
  /** Throws `vectorize.indexNotFound`. */
  require(name: string): Index;
  /** Throws `vectorize.duplicateName`, `vectorize.tooManyIndexes`. */
  create(given: NewIndex): Promise<Index>;
  /** Gone for every reader when this resolves. */
  remove(name: string): Promise<Index>;
}

/** What subscribed queues hear of (docs/vectorize/platform/event-subscriptions). */
export const indexEvents = ["index.created", "index.deleted"] as const;

interface Row {
  id: string;
  name: string;
  description: string;
  dimensions: number;
  metric: Metric;
  created_at: number;
  modified_at: number;
}

const toIndex = ({ created_at, modified_at, ...row }: Row): Index => ({ ...row, createdAt: created_at, modifiedAt: modified_at });

/** Loads the indexes; `max` bounds their number. Subscribers are told of changes in the transaction that makes them. */
export async function openIndexes(meta: MetaStore, clock: Clock, max: number, announce: QueueSender["announce"]): Promise<Indexes> {
  const byName = new Map<string, Index>();
  const byId = new Map<string, Index>();
  const keep = (index: Index): void => {
    byName.set(index.name, index);
    byId.set(index.id, index);
  };
  const forget = (index: Index): void => {
    byName.delete(index.name);
    byId.delete(index.id);
  };
  for (const row of await meta.all<Row & Record<string, never>>("SELECT * FROM vectorize_indexes")) keep(toIndex({ ...row }));

  function require(name: string): Index {
    const found = byName.get(name);
    if (found === undefined) throw vectorizeError("indexNotFound", `vectorize.index.not_found - Index name "${name}"`);
    return found;
  }

  const duplicate = (name: string): Error => vectorizeError("duplicateName", `vectorize.index.duplicate_name - Index name "${name}"`);

  return {
    list: () => [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    byId: (id) => byId.get(id),
    require,
    async create(given) {
      if (byName.has(given.name)) throw duplicate(given.name);
      if (byName.size >= max) throw vectorizeError("tooManyIndexes");
      const now = clock.now();
      const index: Index = { ...given, id: randomBytes(16).toString("hex"), createdAt: now, modifiedAt: now };
      const announced = await meta.transaction(async (tx) => {
        // Two requests may have passed the check together.
        if ((await tx.get("SELECT 1 FROM vectorize_indexes WHERE name = ?", index.name)) !== undefined) throw duplicate(index.name);
        await tx.run(
          "INSERT INTO vectorize_indexes (id, name, description, dimensions, metric, created_at, modified_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
          ...[index.id, index.name, index.description, index.dimensions, index.metric, now, now],
        );
        return announce(tx, { type: "vectorize" }, "index.created", eventOf(index));
      });
      keep(index);
      announced();
      return index;
    },
    async remove(name) {
      const index = require(name);
      // Refused to writers first: what they send from now on would be deleted with it.
      forget(index);
      try {
        const announced = await meta.transaction(async (tx) => {
          await tx.run("DELETE FROM vectorize_indexes WHERE id = ?", index.id);
          return announce(tx, { type: "vectorize" }, "index.deleted", { name });
        });
        announced();
      } catch (error) {
        keep(index);
        throw error;
      }
      return index;
    },
  };
}

const eventOf = ({ name, description, createdAt, modifiedAt, dimensions, metric }: Index): Record<string, unknown> => ({
  name,
  description,
  createdAt: new Date(createdAt).toISOString(),
  modifiedAt: new Date(modifiedAt).toISOString(),
  dimensions,
  metric,
});
