/**
 * What Workers have sent: each message is a blob and a row, kept until newer ones need the room. The row makes a message
 * visible; `send()` resolves after its commit.
 */
import { randomBytes } from "node:crypto";
import type { BlobId, BlobStore } from "../../kernel/blobs/blobs.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { emailError } from "./errors.ts";
import type { Outgoing } from "./outgoing.ts";

interface Row {
  readonly number: number;
  readonly id: string;
  readonly worker: string;
  readonly sender: string;
  readonly recipients: string;
  readonly subject: string;
  readonly message_id: string;
  readonly size: number;
  readonly blob: BlobId;
  readonly sent_at: number;
}

/** A message as the API shows it. */
export interface SentMessage {
  readonly id: string;
  readonly worker: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly message_id: string;
  readonly size: number;
  readonly sent_on: string;
}

export interface Sent {
  keep(worker: string, message: Outgoing): Promise<void>;
  /** Newest first. */
  list(): Promise<SentMessage[]>;
  /** Throws `emailRouting.notFound`. */
  get(id: string): Promise<SentMessage>;
  raw(id: string): Promise<Uint8Array>;
}

const view = (row: Row): SentMessage => ({
  id: row.id,
  worker: row.worker,
  from: row.sender,
  to: JSON.parse(row.recipients) as string[],
  subject: row.subject,
  message_id: row.message_id,
  size: row.size,
  sent_on: new Date(row.sent_at).toISOString(),
});

export function openSent({ meta, leases, clock, config }: KernelSlice, blobs: BlobStore): Sent {
  const countMax = config["email_routing.sent_max"];
  const bytesMax = config["email_routing.sent_max_bytes"];

  async function find(id: string): Promise<Row> {
    const row = await meta.get<Row>("SELECT * FROM email_routing_sent WHERE id = ?", id);
    if (row === undefined) throw emailError("notFound");
    return row;
  }

  return {
    async keep(worker, { sender, recipients, subject, messageId, raw }) {
      const blob = await leases.put(raw);
      const id = randomBytes(16).toString("hex");
      let old: { id: string; blob: BlobId }[] = [];
      try {
        old = await meta.transaction(async (tx) => {
          await tx.run(
            `INSERT INTO email_routing_sent (id, worker, sender, recipients, subject, message_id, size, blob, sent_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
            ...[id, worker, sender, JSON.stringify(recipients), subject, messageId, raw.byteLength, blob, clock.now()],
          );
          await leases.settle(tx, blob);
          const over = await tx.all<{ id: string; blob: BlobId }>(
            `SELECT id, blob FROM (
               SELECT id, blob, ROW_NUMBER() OVER newest AS place, SUM(size) OVER newest AS bytes FROM email_routing_sent
               WINDOW newest AS (ORDER BY number DESC)
             ) WHERE place > 1 AND (place > ? OR bytes > ?)`,
            countMax,
            bytesMax,
          );
          for (const one of over) {
            await tx.run("DELETE FROM email_routing_sent WHERE id = ?", one.id);
            await leases.revoke(tx, one.blob);
          }
          return over;
        });
      } catch (error) {
        await leases.discard(blob);
        throw error;
      }
      for (const one of old) await leases.discard(one.blob);
    },
    list: async () => (await meta.all<Row>("SELECT * FROM email_routing_sent ORDER BY number DESC LIMIT ?", countMax)).map(view),
    get: async (id) => view(await find(id)),
    raw: async (id) => blobs.bytes((await find(id)).blob),
  };
}
