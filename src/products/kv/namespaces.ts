/**
 * The account's namespaces: rows in meta, mirrored in memory, because every operation of a binding asks whether its
 * namespace still exists. All changes go through this object, so the mirror is the table.
 */
import { randomBytes } from "node:crypto";
import type { QueueSender } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { kvError } from "./errors.ts";

export type NamespaceId = string & { readonly __brand: "NamespaceId" };

export interface Namespace {
  readonly id: NamespaceId;
  readonly title: string;
  readonly jurisdiction: string | null;
  /** Milliseconds since the epoch. */
  readonly created_at: number;
}

export interface Namespaces {
  has(id: string): boolean;
  /** Throws `kv.namespaceNotFound`. */
  require(id: string): Namespace;
  /** All of them: their number is bounded. */
  list(order: "id" | "title", descending: boolean): Namespace[];
  /** Throws `kv.titleMissing`, `kv.titleTaken`, `kv.tooManyNamespaces`. */
  create(title: string, jurisdiction: string | null): Promise<Namespace>;
  rename(id: string, title: string): Promise<Namespace>;
  /** Gone for every reader when this resolves; its pairs are removed in the background. */
  remove(id: string): Promise<void>;
}

const TITLE_MAX_BYTES = 512;

/** What subscribed queues hear of (docs/kv/platform/event-subscriptions). */
export const namespaceEvents = ["namespace.created", "namespace.deleted"] as const;

/** Loads the namespaces; `max` bounds their number. Subscribers are told of changes in the transaction that makes them. */
export async function openNamespaces(meta: MetaStore, clock: Clock, max: number, announce: QueueSender["announce"]): Promise<Namespaces> {
  const byId = new Map<string, Namespace>();
  for (const row of await meta.all<Namespace>("SELECT id, title, jurisdiction, created_at FROM kv_namespaces"))
    byId.set(row.id, { ...row });

  function require(id: string): Namespace {
    const found = byId.get(id);
    if (found === undefined) throw kvError("namespaceNotFound");
    return found;
  }

  function checkTitle(title: string, own?: string): void {
    if (title === "") throw kvError("titleMissing");
    if (Buffer.byteLength(title) > TITLE_MAX_BYTES) throw kvError("titleTooLong");
    for (const other of byId.values()) if (other.title === title && other.id !== own) throw kvError("titleTaken");
  }

  /** Two requests may pass `checkTitle` together; the table's UNIQUE decides between them. */
  async function unique<T>(work: Promise<T>, title: string): Promise<T> {
    try {
      return await work;
    } catch (cause) {
      if (await meta.get("SELECT 1 FROM kv_namespaces WHERE title = ?", title)) throw kvError("titleTaken", undefined, { cause });
      throw cause;
    }
  }

  return {
    has: (id) => byId.has(id),
    require,
    list(order, descending) {
      const sign = descending ? -1 : 1;
      return [...byId.values()].sort((a, b) => sign * Buffer.compare(Buffer.from(a[order]), Buffer.from(b[order])));
    },
    async create(title, jurisdiction) {
      checkTitle(title);
      if (byId.size >= max) throw kvError("tooManyNamespaces");
      const created: Namespace = { id: randomBytes(16).toString("hex") as NamespaceId, title, jurisdiction, created_at: clock.now() };
      const { id, created_at } = created;
      const announced = await unique(
        meta.transaction(async (tx) => {
          await tx.run(
            "INSERT INTO kv_namespaces (id, title, jurisdiction, created_at) VALUES (?, ?, ?, ?)",
            id,
            title,
            jurisdiction,
            created_at,
          );
          return announce(tx, { type: "kv" }, "namespace.created", { id, name: title });
        }),
        title,
      );
      byId.set(id, created);
      announced();
      return created;
    },
    async rename(id, title) {
      const renamed: Namespace = { ...require(id), title };
      checkTitle(title, id);
      await unique(meta.run("UPDATE kv_namespaces SET title = ? WHERE id = ?", title, id), title);
      byId.set(id, renamed);
      return renamed;
    },
    async remove(id) {
      const removed = require(id);
      // Refused to bindings first: a write that starts now must not outlive the purge.
      byId.delete(id);
      try {
        const announced = await meta.transaction(async (tx) => {
          await tx.run("DELETE FROM kv_namespaces WHERE id = ?", id);
          await tx.run("INSERT INTO kv_purges (namespace, deleted_at) VALUES (?, ?)", id, clock.now());
          return announce(tx, { type: "kv" }, "namespace.deleted", { id, name: removed.title });
        });
        announced();
      } catch (error) {
        byId.set(id, removed);
        throw error;
      }
    },
  };
}
