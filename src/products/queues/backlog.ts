/**
 * How many messages each queue holds, how many bytes, and since when: counted at start and followed with each commit, so
 * that a send can be answered with it. Messages that are handed out count until they are acknowledged.
 */
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { timeOfId } from "./message-ids.ts";
import type { Backlog } from "./model.ts";

export interface BacklogCounter {
  added(queueId: string, count: number, bytes: number, firstId: string): void;
  removed(queueId: string, count: number, bytes: number): void;
  bytes(queueId: string): number;
  of(queueId: string): Promise<Backlog>;
  forget(queueId: string): void;
}

interface Count {
  count: number;
  bytes: number;
  /** Undefined: it has to be looked up. */
  oldest: string | undefined;
}

export async function openBacklog(meta: MetaStore): Promise<BacklogCounter> {
  const counts = new Map<string, Count>();
  const rows = await meta.all<{ queue_id: string; count: number; bytes: number }>(
    "SELECT queue_id, COUNT(*) AS count, SUM(size) AS bytes FROM queues_messages GROUP BY queue_id",
  );
  for (const { queue_id, count, bytes } of rows) counts.set(queue_id, { count, bytes, oldest: undefined });

  return {
    added(queueId, count, bytes, firstId) {
      const known = counts.get(queueId);
      if (known === undefined) counts.set(queueId, { count, bytes, oldest: firstId });
      else {
        if (known.count === 0) known.oldest = firstId;
        known.count += count;
        known.bytes += bytes;
      }
    },
    removed(queueId, count, bytes) {
      const known = counts.get(queueId);
      if (known === undefined || count === 0) return;
      known.count -= count;
      known.bytes -= bytes;
      known.oldest = undefined;
    },
    bytes: (queueId) => counts.get(queueId)?.bytes ?? 0,
    async of(queueId) {
      const known = counts.get(queueId);
      if (known === undefined || known.count <= 0) return { count: 0, bytes: 0, oldest: 0 };
      if (known.oldest === undefined) {
        const row = await meta.get<{ id: string | null }>("SELECT MIN(id) AS id FROM queues_messages WHERE queue_id = ?", queueId);
        known.oldest = row?.id ?? undefined;
      }
      return { count: known.count, bytes: known.bytes, oldest: known.oldest === undefined ? 0 : timeOfId(known.oldest) };
    },
    forget: (queueId) => void counts.delete(queueId),
  };
}
