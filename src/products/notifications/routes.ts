/** REST of Notifications (`/alerting/v3`), as the `cloudflare` SDKs send it. Webhooks are the one mechanism there is. */
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { notificationsError } from "./errors.ts";
import type { Outbox } from "./outbox.ts";
import { type Policy, type PolicyChange, policyChange, policySchema, type Store, webhookSchema } from "./store.ts";

const ROOT = "/accounts/:account/alerting/v3";
const WEBHOOKS = `${ROOT}/destinations/webhooks`;
const POLICIES = `${ROOT}/policies`;
const READ = ["Account Settings Read", "Account Settings Write"] as const;
const WRITE = ["Account Settings Write"] as const;

export interface Alert {
  readonly type: string;
  readonly display_name: string;
  readonly description: string;
}

export function notificationRoutes(store: Store, outbox: Outbox, alerts: () => ReadonlyMap<string, readonly Alert[]>): Route[] {
  const param = (c: RequestContext, name: string): string => c.params[name] as string;
  const note = (c: RequestContext, info: string, type: "create" | "update" | "delete", resource: string, id: string): void =>
    c.audit({ info, type, resource: { type: resource, id } });

  async function check({ alert_type, mechanisms }: PolicyChange): Promise<void> {
    const known = [...alerts().values()].flat().some(({ type }) => type === alert_type);
    if (alert_type !== undefined && !known) throw notificationsError("invalid", `There are no notifications of the type ${alert_type}`);
    for (const { id } of mechanisms?.webhooks ?? []) await store.webhook(id);
  }

  return [
    {
      op: "notifications.alerts.list",
      method: "GET",
      path: `${ROOT}/available_alerts`,
      permission: READ,
      handle: async () =>
        Object.fromEntries([...alerts()].map(([product, list]) => [product, list.map((alert) => ({ ...alert, filter_options: [] }))])),
    },
    {
      op: "notifications.webhooks.list",
      method: "GET",
      path: WEBHOOKS,
      permission: READ,
      handle: async (c) =>
        numberedPage(
          (await store.webhooks()).map(({ view }) => view),
          c.query,
          100,
          100,
        ),
    },
    {
      op: "notifications.webhooks.create",
      method: "POST",
      path: WEBHOOKS,
      permission: WRITE,
      async handle(c) {
        const given = await c.json(webhookSchema);
        const id = await store.addWebhook(given);
        note(c, "CreateWebhook", "create", "webhook", id);
        // As documented for the dashboard: a new destination hears at once.
        await outbox.add([id], { text: "This is a test message. If you can see this, your webhook is configured properly." });
        return { id };
      },
    },
    {
      op: "notifications.webhooks.get",
      method: "GET",
      path: `${WEBHOOKS}/:webhook`,
      permission: READ,
      handle: async (c) => (await store.webhook(param(c, "webhook"))).view,
    },
    {
      op: "notifications.webhooks.update",
      method: "PUT",
      path: `${WEBHOOKS}/:webhook`,
      permission: WRITE,
      async handle(c) {
        await store.changeWebhook(param(c, "webhook"), await c.json(webhookSchema));
        note(c, "UpdateWebhook", "update", "webhook", param(c, "webhook"));
        return { id: param(c, "webhook") };
      },
    },
    {
      op: "notifications.webhooks.delete",
      method: "DELETE",
      path: `${WEBHOOKS}/:webhook`,
      permission: WRITE,
      async handle(c) {
        await store.removeWebhook(param(c, "webhook"));
        note(c, "DeleteWebhook", "delete", "webhook", param(c, "webhook"));
        return null;
      },
    },
    {
      op: "notifications.policies.list",
      method: "GET",
      path: POLICIES,
      permission: READ,
      handle: async (c) => numberedPage((await store.policies()).map(view), c.query, 500, 500),
    },
    {
      op: "notifications.policies.create",
      method: "POST",
      path: POLICIES,
      permission: WRITE,
      async handle(c) {
        const given = await c.json(policySchema);
        await check(given);
        const id = await store.addPolicy(given);
        note(c, "CreatePolicy", "create", "notification_policy", id);
        return { id };
      },
    },
    {
      op: "notifications.policies.get",
      method: "GET",
      path: `${POLICIES}/:policy`,
      permission: READ,
      handle: async (c) => view(await store.policy(param(c, "policy"))),
    },
    {
      op: "notifications.policies.update",
      method: "PUT",
      path: `${POLICIES}/:policy`,
      permission: WRITE,
      async handle(c) {
        const given = await c.json(policyChange);
        await check(given);
        await store.changePolicy(param(c, "policy"), given);
        note(c, "UpdatePolicy", "update", "notification_policy", param(c, "policy"));
        return { id: param(c, "policy") };
      },
    },
    {
      op: "notifications.policies.delete",
      method: "DELETE",
      path: `${POLICIES}/:policy`,
      permission: WRITE,
      async handle(c) {
        await store.removePolicy(param(c, "policy"));
        note(c, "DeletePolicy", "delete", "notification_policy", param(c, "policy"));
        return null;
      },
    },
  ];
}

const view = ({ created, modified, enabled = true, ...policy }: Policy): object => ({
  ...policy,
  enabled,
  created: new Date(created).toISOString(),
  modified: new Date(modified).toISOString(),
});
