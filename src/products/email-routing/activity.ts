/**
 * What became of received mail: the activity log, and the figures of the GraphQL Analytics API. Written once a second at
 * the most, so a killed platform loses the last second's entries; kept for 30 days.
 * https://developers.cloudflare.com/email-routing/get-started/email-routing-analytics/
 */
import { randomUUID } from "node:crypto";
import type { Dataset, Fact, KernelSlice } from "../../kernel/product.ts";

export interface Activity {
  readonly zone_id: string;
  readonly sender: string;
  readonly recipient: string;
  readonly subject: string;
  readonly message_id: string;
  /** "forward", "worker", "drop", or "" when no rule was reached. */
  readonly action: string;
  readonly status: "forwarded" | "dropped" | "rejected" | "delivered";
  readonly error: string;
  readonly spf: string;
  readonly dkim: string;
  readonly dmarc: string;
}

export interface ActivityLog {
  add(activity: Activity): void;
  readonly datasets: Readonly<Record<string, Dataset>>;
  stop(): Promise<void>;
}

const KEEP_MS = 30 * 24 * 3600 * 1000;
const FLUSH_MS = 1_000;
const PENDING_MAX = 10_000;
const FACTS_MAX = 100_000;
const COLUMNS = ["zone_id", "sender", "recipient", "subject", "message_id", "action", "status", "error", "spf", "dkim", "dmarc"] as const;

export function openActivity({ meta, clock, log }: KernelSlice): ActivityLog {
  let lost = 0;
  let pending: (Activity & { id: string; at: number })[] = [];
  let timer: NodeJS.Timeout | undefined;
  let flushing = Promise.resolve();

  async function write(): Promise<void> {
    const rows = pending;
    if (rows.length === 0) return;
    pending = [];
    if (lost > 0) log.warn("email_routing.activity_lost", { entries: lost });
    lost = 0;
    await meta.transaction(async (tx) => {
      for (const row of rows) {
        await tx.run(
          `INSERT INTO email_routing_activity (id, at, ${COLUMNS.join(", ")}) VALUES (?, ?, ${COLUMNS.map(() => "?").join(", ")})`,
          ...[row.id, row.at, ...COLUMNS.map((column) => row[column])],
        );
      }
      await tx.run("DELETE FROM email_routing_activity WHERE at < ?", clock.now() - KEEP_MS);
    });
  }

  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    flushing = flushing.then(write).catch((error: unknown) => log.warn("email_routing.activity_not_written", { error }));
    return flushing;
  };

  async function facts(from: number, to: number): Promise<Fact[]> {
    await flush();
    const rows = await meta.all<Activity & { at: number } & Record<string, never>>(
      `SELECT * FROM email_routing_activity WHERE at >= ? AND at < ? ORDER BY at LIMIT ${FACTS_MAX}`,
      from,
      to,
    );
    return rows.map((row) => ({
      time: row.at,
      dimensions: {
        zoneTag: row.zone_id,
        from: row.sender,
        to: row.recipient,
        subject: row.subject,
        messageId: row.message_id,
        action: row.action,
        status: row.status,
        errorDetail: row.error,
        spf: row.spf,
        dkim: row.dkim,
        dmarc: row.dmarc,
        eventType: row.action === "worker" ? "worker" : "inbound",
      },
    }));
  }

  const dataset: Dataset = {
    description: "Received mail: what became of it, and how it was authenticated",
    permission: ["Account Analytics Read", "Email Routing Rules Read"],
    dimensions: Object.fromEntries(
      ["zoneTag", "from", "to", "subject", "messageId", "action", "status", "errorDetail", "spf", "dkim", "dmarc", "eventType"].map(
        (name) => [name, "string"],
      ),
    ),
    facts: ({ from, to }) => facts(from, to),
  };

  return {
    add(activity) {
      if (pending.length >= PENDING_MAX) {
        lost++;
        return;
      }
      pending.push({ ...activity, id: randomUUID(), at: clock.now() });
      timer ??= setTimeout(() => void flush(), FLUSH_MS).unref();
    },
    datasets: { emailRoutingAdaptive: dataset, emailRoutingAdaptiveGroups: dataset },
    stop: flush,
  };
}
