/**
 * What became of received mail: the activity log, and the figures of the GraphQL Analytics API; kept for 30 days.
 * https://developers.cloudflare.com/email-routing/get-started/email-routing-analytics/
 */
import { randomUUID } from "node:crypto";
import { openEventLog } from "../../kernel/analytics/event-log.ts";
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
const FACTS_MAX = 100_000;
const COLUMNS = ["zone_id", "sender", "recipient", "subject", "message_id", "action", "status", "error", "spf", "dkim", "dmarc"] as const;

export function openActivity({ meta, clock, log }: KernelSlice): ActivityLog {
  const events = openEventLog(meta, clock, log, { name: "email_routing_activity", columns: ["id", ...COLUMNS], keepMs: KEEP_MS });

  async function facts(from: number, to: number): Promise<Fact[]> {
    await events.flush();
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
    add: (activity) => events.add({ ...activity, id: randomUUID() }),
    datasets: { emailRoutingAdaptive: dataset, emailRoutingAdaptiveGroups: dataset },
    stop: () => events.stop(),
  };
}
