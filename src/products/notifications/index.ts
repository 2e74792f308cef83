/** Notifications: what products tell the account of, sent to webhooks as its policies say. See README.md. */
import { randomUUID } from "node:crypto";
import type { Product } from "../../kernel/product.ts";
import { migrations } from "./migrations.ts";
import { openOutbox } from "./outbox.ts";
import { type Alert, notificationRoutes } from "./routes.ts";
import { openStore, type Policy } from "./store.ts";

/** Each filter that is about a facet names its value. Others ask for what no message says, and are not applied. */
const fits = (filters: Policy["filters"], facets: Readonly<Record<string, string>> = {}): boolean =>
  Object.entries(facets).every(([name, value]) => {
    const wanted = filters?.[name];
    return !Array.isArray(wanted) || wanted.length === 0 || wanted.includes(value);
  });

export const notifications = {
  name: "notifications",
  status: "experimental",
  provides: ["notifier"],
  migrations,
  async start(kernel) {
    const alerts = new Map<string, readonly Alert[]>();
    const store = openStore(kernel);
    const outbox = openOutbox(kernel, store);
    return {
      routes: notificationRoutes(store, outbox, () => alerts),
      offers: {
        notifier: {
          addAlerts: (product, list) => void alerts.set(product, list),
          async notify(type, { text, data, facets }) {
            for (const policy of await store.policies()) {
              if (policy.enabled === false || policy.alert_type !== type || !fits(policy.filters, facets)) continue;
              await outbox.add(
                policy.mechanisms.webhooks.map(({ id }) => id),
                {
                  ...{ name: policy.name, text, data, ts: Math.floor(kernel.clock.now() / 1000), account_id: kernel.accountId },
                  ...{ policy_id: policy.id, policy_name: policy.name, alert_type: type, alert_correlation_id: randomUUID() },
                },
              );
            }
          },
        },
      },
      stop: () => outbox.stop(),
    };
  },
} satisfies Product;
