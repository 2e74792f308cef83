/** Webhooks and policies of the account, as rows. A secret is sealed, and no view shows it. */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { KernelSlice } from "../../kernel/product.ts";
import { notificationsError } from "./errors.ts";

const WEBHOOKS_MAX = 100;
const POLICIES_MAX = 500;

export const webhookSchema = z.object({
  name: z.string().min(1).max(255),
  url: z.url({ protocol: /^https?$/ }).max(2048),
  secret: z.string().max(1024).optional(),
});

const mechanisms = z.strictObject({
  webhooks: z
    .array(z.object({ id: z.string() }))
    .min(1)
    .max(20),
});

export const policySchema = z.object({
  name: z.string().min(1).max(255),
  alert_type: z.string(),
  enabled: z.boolean().optional(),
  mechanisms,
  description: z.string().max(1024).optional(),
  filters: z.record(z.string(), z.unknown()).optional(),
  alert_interval: z.string().max(64).optional(),
});

export const policyChange = policySchema.partial();

export type PolicySettings = z.infer<typeof policySchema>;
export type PolicyChange = z.infer<typeof policyChange>;

export interface Webhook {
  readonly id: string;
  readonly name: string;
  readonly url: string;
  readonly secret: string | undefined;
  readonly view: object;
}

export interface Policy extends PolicySettings {
  readonly id: string;
  readonly created: number;
  readonly modified: number;
}

interface WebhookRow extends Record<string, string | number | null> {
  id: string;
  name: string;
  url: string;
  sealed: string | null;
  created: number;
  last_success: number | null;
  last_failure: number | null;
}

interface PolicyRow {
  readonly id: string;
  readonly settings: string;
  readonly created: number;
  readonly modified: number;
}

export type Store = ReturnType<typeof openStore>;

export function openStore({ meta, clock, secrets }: KernelSlice) {
  const newId = (): string => randomBytes(16).toString("hex");
  const purpose = (id: string): string => `notifications webhook ${id}`;
  const time = (at: number | null): string | undefined => (at === null ? undefined : new Date(at).toISOString());

  const webhookOf = ({ id, name, url, sealed, created, last_success, last_failure }: WebhookRow): Webhook => ({
    ...{ id, name, url },
    secret: sealed === null ? undefined : secrets.open(sealed, purpose(id)),
    view: { id, name, url, type: "generic", created_at: time(created), last_success: time(last_success), last_failure: time(last_failure) },
  });

  async function webhook(id: string): Promise<Webhook> {
    const row = await meta.get<WebhookRow>("SELECT * FROM notifications_webhooks WHERE id = ?", id);
    if (row === undefined) throw notificationsError("webhookNotFound");
    return webhookOf(row);
  }

  async function policies(): Promise<Policy[]> {
    const rows = await meta.all<PolicyRow>(
      `SELECT id, settings, created, modified FROM notifications_policies ORDER BY created, id LIMIT ${POLICIES_MAX}`,
    );
    return rows.map(({ id, settings, created, modified }) => ({ ...(JSON.parse(settings) as PolicySettings), id, created, modified }));
  }

  async function policy(id: string): Promise<Policy> {
    const found = (await policies()).find((one) => one.id === id);
    if (found === undefined) throw notificationsError("policyNotFound");
    return found;
  }

  return {
    webhook,
    policy,
    policies,
    async webhooks(): Promise<Webhook[]> {
      const rows = await meta.all<WebhookRow>(`SELECT * FROM notifications_webhooks ORDER BY created, id LIMIT ${WEBHOOKS_MAX}`);
      return rows.map(webhookOf);
    },
    async addWebhook({ name, url, secret }: z.infer<typeof webhookSchema>): Promise<string> {
      const count = await meta.get<{ n: number }>("SELECT COUNT(*) AS n FROM notifications_webhooks");
      if ((count?.n ?? 0) >= WEBHOOKS_MAX) throw notificationsError("tooMany");
      const id = newId();
      await meta.run(
        "INSERT INTO notifications_webhooks (id, name, url, sealed, created) VALUES (?, ?, ?, ?, ?)",
        ...[id, name, url, secret === undefined ? null : secrets.seal(secret, purpose(id)), clock.now()],
      );
      return id;
    },
    async changeWebhook(id: string, { name, url, secret }: z.infer<typeof webhookSchema>): Promise<void> {
      const before = await webhook(id);
      const sealed = secret ?? before.secret;
      await meta.run(
        "UPDATE notifications_webhooks SET name = ?, url = ?, sealed = ? WHERE id = ?",
        ...[name, url, sealed === undefined ? null : secrets.seal(sealed, purpose(id)), id],
      );
    },
    async removeWebhook(id: string): Promise<void> {
      await webhook(id);
      if ((await policies()).some(({ mechanisms: { webhooks } }) => webhooks.some((one) => one.id === id)))
        throw notificationsError("webhookInUse");
      await meta.transaction(async (tx) => {
        await tx.run("DELETE FROM notifications_outbox WHERE webhook = ?", id);
        await tx.run("DELETE FROM notifications_webhooks WHERE id = ?", id);
      });
    },
    /** `succeeded`: how the last attempt ended. */
    async noteAttempt(id: string, succeeded: boolean): Promise<void> {
      await meta.run(`UPDATE notifications_webhooks SET ${succeeded ? "last_success" : "last_failure"} = ? WHERE id = ?`, clock.now(), id);
    },
    async addPolicy(settings: PolicySettings): Promise<string> {
      if ((await policies()).length >= POLICIES_MAX) throw notificationsError("tooMany");
      const id = newId();
      await meta.run(
        "INSERT INTO notifications_policies (id, name, alert_type, settings, created, modified) VALUES (?, ?, ?, ?, ?, ?)",
        ...[id, settings.name, settings.alert_type, JSON.stringify(settings), clock.now(), clock.now()],
      );
      return id;
    },
    async changePolicy(id: string, change: PolicyChange): Promise<void> {
      const { id: _id, created: _created, modified: _modified, ...before } = await policy(id);
      const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
      const settings: PolicySettings = { ...before, ...given };
      await meta.run(
        "UPDATE notifications_policies SET name = ?, alert_type = ?, settings = ?, modified = ? WHERE id = ?",
        ...[settings.name, settings.alert_type, JSON.stringify(settings), clock.now(), id],
      );
    },
    async removePolicy(id: string): Promise<void> {
      await policy(id);
      await meta.run("DELETE FROM notifications_policies WHERE id = ?", id);
    },
  };
}
