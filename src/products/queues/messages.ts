/**
 * The messages of all queues: written, handed out under a lease, acknowledged or put back. One row is one message; its
 * insert's commit is what makes a message acknowledged to its sender, its delete what makes it delivered. A lease is a
 * time before which the row is not handed out again, so that a message whose consumer died comes back by itself.
 * What is older than its queue keeps, or was purged, is seen by nobody; the sweeper deletes its rows.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore, MetaTransaction, SqlValue } from "../../kernel/meta/meta.ts";
import { type BacklogCounter, openBacklog } from "./backlog.ts";
import { lowestId, messageIds, timeOfId } from "./message-ids.ts";
import type { Metrics } from "./metrics.ts";
import type { ContentType, LeasedMessage, MessageSource, NewMessage, Queue } from "./model.ts";

export interface Messages {
  readonly backlog: BacklogCounter;
  /** Durable when it resolves, all or none. `delaySeconds` is the default of those that have none of their own. */
  insert(queue: Queue, messages: readonly NewMessage[], source: MessageSource, delaySeconds?: number): Promise<void>;
  /** The same in the caller's transaction; what it resolves with is to be called after the commit. */
  insertIn(tx: MetaTransaction, queue: Queue, messages: readonly NewMessage[], source: MessageSource): Promise<() => void>;
  /**
   * Hands out at most `limit` messages that are due, for `ms`. One whose retries are used up goes to `deadLetters`
   * instead, or is deleted when there is no such queue.
   */
  lease(queue: Queue, kind: LeaseKind, limit: number, ms: number, deadLetters: Queue | undefined): Promise<LeasedMessage[]>;
  /** Deletes acknowledged messages and puts others back, in one commit. Resolves with how many of each it found. */
  settle(queue: Queue, settlement: Settlement, deadLetters: Queue | undefined): Promise<{ acked: number; retried: number }>;
  /** Puts back messages that could not be handed over: this delivery does not count. */
  release(queue: Queue, messages: readonly LeasedMessage[], delayMs: number): Promise<void>;
  /** When the next `limit` messages are due, in order. */
  due(queue: Queue, limit: number): Promise<number[]>;
  /** Whether at least so many messages are due now. */
  atLeast(queue: Queue, count: number): Promise<boolean>;
  /** The oldest messages, whether handed out or not; nothing changes. */
  peek(queue: Queue, limit: number): Promise<LeasedMessage[]>;
  /** Ends the leases of push consumers: after a start nothing is with them any more. */
  recover(queue: Queue): Promise<void>;
  /** Deletes some rows that nobody sees; false when there are none. */
  sweep(queue: Queue): Promise<boolean>;
  /** The same for every row of a deleted queue. */
  sweepAll(queueId: string): Promise<boolean>;
  /** An id that is higher than those of all messages so far. */
  newId(): string;
}

export type LeaseKind = "push" | "pull";

export interface Settlement {
  /** Ids of messages. Whose lease it was does not matter: delivered is delivered. */
  readonly acks: readonly string[];
  /** Only those that are still under this lease go back. Absent delay: the consumer's. */
  readonly retries: readonly { readonly id: string; readonly lease: string; readonly delaySeconds?: number | undefined }[];
}

interface Row {
  id: string;
  attempts: number;
  lease: string | null;
  content_type: ContentType;
  source: MessageSource;
  size: number;
  body: Uint8Array;
}

const COLUMNS = "queue_id, id, ready_at, attempts, content_type, source, size, body";
const READ_COLUMNS = "id, attempts, lease, content_type, source, size, body";
/** Rows that one step of the sweeper deletes. */
const SWEEP_STEP = 1000;
const marks = (items: readonly unknown[], mark = "?"): string => items.map(() => mark).join(", ");
const sum = (rows: readonly { size: number }[]): number => rows.reduce((total, row) => total + row.size, 0);

/**
 * The bytes with memory of their own. What goes to the thread that writes takes all of the memory behind it along, which
 * for a piece of what a socket read is 64 KiB.
 */
const owned = (bytes: Uint8Array): Uint8Array => (bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes));

const toLeased = (row: Row): LeasedMessage => ({
  id: row.id,
  body: row.body,
  contentType: row.content_type,
  source: row.source,
  attempts: row.attempts,
  lease: row.lease ?? "",
});

/** `arrived` hears of each queue that got messages, or got some back; `count` of each operation. */
export async function openMessages(
  meta: MetaStore,
  clock: Clock,
  arrived: (queueId: string) => void,
  count: Metrics["count"],
): Promise<Messages> {
  const backlog = await openBacklog(meta);
  const newId = messageIds(clock);

  /** Messages up to this id are gone: purged, or older than the queue keeps them. */
  function floor({ purgedTo, settings }: Queue): string {
    const expired = lowestId(clock.now() - settings.message_retention_period * 1000);
    return purgedTo > expired ? purgedTo : expired;
  }

  /** Deliveries that a message gets: one, and the retries. */
  const deliveriesMax = ({ consumer }: Queue): number => (consumer === null ? Number.MAX_SAFE_INTEGER : consumer.settings.max_retries + 1);

  function insertStatement(queueId: string, rows: readonly { id: string; readyAt: number; message: NewMessage; source: MessageSource }[]) {
    const params: SqlValue[] = [];
    for (const { id, readyAt, message, source } of rows)
      params.push(queueId, id, readyAt, message.contentType, source, message.body.byteLength, owned(message.body));
    return { sql: `INSERT INTO queues_messages (${COLUMNS}) VALUES ${marks(rows, "(?, ?, ?, 0, ?, ?, ?, ?)")}`, params };
  }

  /** Writes dead letters inside the transaction that deletes them from their queue. Returns what to do after its commit. */
  async function bury(tx: MetaTransaction, queue: Queue, rows: readonly Row[], deadLetters: Queue | undefined): Promise<() => void> {
    if (rows.length === 0) return () => undefined;
    const letters = rows.map((row) => ({
      id: newId(),
      readyAt: clock.now(),
      message: { body: row.body, contentType: row.content_type },
      source: "dlq" as const,
    }));
    if (deadLetters !== undefined) {
      const { sql, params } = insertStatement(deadLetters.id, letters);
      await tx.run(sql, ...params);
    }
    return () => {
      backlog.removed(queue.id, rows.length, sum(rows));
      const consumer = queue.consumer?.type;
      count(queue.id, { action: "DeleteMessage", consumer, outcome: deadLetters === undefined ? "fail" : "dlq", messages: rows });
      if (deadLetters === undefined) return;
      count(deadLetters.id, { action: "WriteMessage", messages: rows });
      backlog.added(deadLetters.id, letters.length, sum(rows), letters[0]?.id as string);
      arrived(deadLetters.id);
    };
  }

  async function leaseOnce(
    queue: Queue,
    lease: string,
    limit: number,
    ms: number,
    deadLetters: Queue | undefined,
  ): Promise<{ leased: Row[]; buried: number }> {
    const now = clock.now();
    const { leased, buried, after } = await meta.transaction(async (tx) => {
      const rows = await tx.all<Row>(
        `UPDATE queues_messages SET attempts = attempts + 1, lease = ?, ready_at = ? WHERE queue_id = ? AND id IN (
           SELECT id FROM queues_messages WHERE queue_id = ? AND ready_at <= ? AND id > ? ORDER BY ready_at, id LIMIT ?)
         RETURNING ${READ_COLUMNS}`,
        lease,
        now + ms,
        queue.id,
        queue.id,
        now,
        floor(queue),
        limit,
      );
      const dead = rows.filter((row) => row.attempts > deliveriesMax(queue));
      if (dead.length > 0) {
        const ids = dead.map((row) => row.id);
        await tx.run(`DELETE FROM queues_messages WHERE queue_id = ? AND id IN (${marks(ids)})`, queue.id, ...ids);
      }
      const after = await bury(tx, queue, dead, deadLetters);
      return { leased: rows.filter((row) => !dead.includes(row)), buried: dead.length, after };
    });
    after();
    count(queue.id, {
      action: "ReadMessage",
      consumer: queue.consumer?.type,
      messages: leased.map(({ id, size, attempts }) => ({ size, lagMs: Math.max(0, now - timeOfId(id)), retries: attempts - 1 })),
    });
    // RETURNING has no order; ids are in the order of sending.
    leased.sort((a, b) => (a.id < b.id ? -1 : 1));
    return { leased, buried };
  }

  /** Deletes a step of rows that the condition names, each by its key. */
  async function sweepRows(queueId: string, condition: string, ...params: SqlValue[]): Promise<boolean> {
    const any = await meta.get(`SELECT 1 FROM queues_messages WHERE queue_id = ? ${condition} LIMIT 1`, queueId, ...params);
    if (any === undefined) return false;
    const rows = await meta.transaction((tx) =>
      tx.all<{ size: number }>(
        `DELETE FROM queues_messages WHERE queue_id = ? AND id IN (
           SELECT id FROM queues_messages WHERE queue_id = ? ${condition} ORDER BY id LIMIT ${SWEEP_STEP}) RETURNING size`,
        queueId,
        queueId,
        ...params,
      ),
    );
    backlog.removed(queueId, rows.length, sum(rows));
    return rows.length > 0;
  }

  /** Writes messages by one statement. Returns what to do after its commit. */
  async function write(
    run: MetaTransaction["run"],
    queue: Queue,
    messages: readonly NewMessage[],
    source: MessageSource,
    delaySeconds = queue.settings.delivery_delay,
  ): Promise<() => void> {
    const now = clock.now();
    const rows = messages.map((message) => ({
      id: newId(),
      readyAt: now + (message.delaySeconds ?? delaySeconds) * 1000,
      message,
      source,
    }));
    const { sql, params } = insertStatement(queue.id, rows);
    // From this statement's commit on the messages are the queue's.
    await run(sql, ...params);
    return () => {
      const sizes = messages.map(({ body }) => ({ size: body.byteLength }));
      backlog.added(queue.id, rows.length, sum(sizes), rows[0]?.id as string);
      count(queue.id, { action: "WriteMessage", messages: sizes });
      arrived(queue.id);
    };
  }

  return {
    backlog,
    newId,
    async insert(queue, messages, source, delaySeconds) {
      const after = await write(meta.run, queue, messages, source, delaySeconds);
      after();
    },
    insertIn: (tx, queue, messages, source) => write(tx.run, queue, messages, source),
    async lease(queue, kind, limit, ms, deadLetters) {
      const lease = `${kind}-${randomBytes(8).toString("hex")}`;
      for (;;) {
        const { leased, buried } = await leaseOnce(queue, lease, limit, ms, deadLetters);
        if (leased.length > 0 || buried === 0) return leased.map(toLeased);
      }
    },
    async settle(queue, { acks, retries }, deadLetters) {
      const now = clock.now();
      const groups = Map.groupBy(
        retries,
        ({ lease, delaySeconds }) => `${lease}/${delaySeconds ?? queue.consumer?.settings.retry_delay ?? 0}`,
      );
      const { acked, retried, after } = await meta.transaction(async (tx) => {
        const acked =
          acks.length === 0
            ? []
            : await tx.all<{ size: number }>(
                `DELETE FROM queues_messages WHERE queue_id = ? AND id IN (${marks(acks)}) RETURNING size`,
                queue.id,
                ...acks,
              );
        let retried = 0;
        const dead: Row[] = [];
        for (const [key, group] of groups) {
          const [lease, delay] = key.split("/") as [string, string];
          const ids = group.map(({ id }) => id);
          const which = `queue_id = ? AND lease = ? AND id IN (${marks(ids)})`;
          const gone = await tx.all<Row>(
            `DELETE FROM queues_messages WHERE ${which} AND attempts >= ? RETURNING ${READ_COLUMNS}`,
            queue.id,
            lease,
            ...ids,
            deliveriesMax(queue),
          );
          const { changes } = await tx.run(
            `UPDATE queues_messages SET ready_at = ?, lease = NULL WHERE ${which}`,
            now + Number(delay) * 1000,
            queue.id,
            lease,
            ...ids,
          );
          dead.push(...gone);
          retried += gone.length + changes;
        }
        return { acked, retried, after: await bury(tx, queue, dead, deadLetters) };
      });
      backlog.removed(queue.id, acked.length, sum(acked));
      count(queue.id, { action: "DeleteMessage", consumer: queue.consumer?.type, outcome: "success", messages: acked });
      after();
      if (retried > 0) arrived(queue.id);
      return { acked: acked.length, retried };
    },
    async release(queue, messages, delayMs) {
      if (messages.length === 0) return;
      await meta.run(
        `UPDATE queues_messages SET attempts = attempts - 1, lease = NULL, ready_at = ?
         WHERE queue_id = ? AND lease = ? AND id IN (${marks(messages)})`,
        clock.now() + delayMs,
        queue.id,
        messages[0]?.lease as string,
        ...messages.map(({ id }) => id),
      );
      arrived(queue.id);
    },
    async due(queue, limit) {
      const rows = await meta.all<{ ready_at: number }>(
        "SELECT ready_at FROM queues_messages WHERE queue_id = ? AND id > ? ORDER BY ready_at LIMIT ?",
        queue.id,
        floor(queue),
        limit,
      );
      return rows.map((row) => row.ready_at);
    },
    async atLeast(queue, count) {
      const last = await meta.get(
        "SELECT 1 FROM queues_messages WHERE queue_id = ? AND ready_at <= ? AND id > ? ORDER BY ready_at LIMIT 1 OFFSET ?",
        queue.id,
        clock.now(),
        floor(queue),
        count - 1,
      );
      return last !== undefined;
    },
    async peek(queue, limit) {
      const rows = await meta.all<Row & Record<string, never>>(
        `SELECT ${READ_COLUMNS} FROM queues_messages WHERE queue_id = ? AND id > ? ORDER BY id LIMIT ?`,
        queue.id,
        floor(queue),
        limit,
      );
      return rows.map(toLeased);
    },
    async recover(queue) {
      const now = clock.now();
      await meta.run(
        "UPDATE queues_messages SET lease = NULL, ready_at = ? WHERE queue_id = ? AND ready_at > ? AND substr(lease, 1, 5) = 'push-'",
        now,
        queue.id,
        now,
      );
    },
    sweep: (queue) => sweepRows(queue.id, "AND id <= ?", floor(queue)),
    sweepAll: (queueId) => sweepRows(queueId, ""),
  };
}
