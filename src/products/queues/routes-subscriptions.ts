/** REST of event subscriptions: /accounts/{account}/event_subscriptions/subscriptions (wrangler, SDK). */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { Route } from "../../kernel/product.ts";
import { body, READ, WRITE } from "./rest.ts";
import type { Subscription, Subscriptions } from "./subscriptions.ts";

const BASE = "/accounts/:account/event_subscriptions/subscriptions";
const ONE = `${BASE}/:subscription`;

const content = z.object({
  name: z.string().min(1).max(255),
  enabled: z.boolean().default(true),
  source: z.object({ type: z.string() }).catchall(z.string()),
  events: z.array(z.string()).max(100),
  destination: z.object({ type: z.literal("queues.queue"), queue_id: z.string() }),
});
const change = content.omit({ source: true }).partial();

const view = ({ id, name, enabled, source, events, queueId, createdAt, modifiedAt }: Subscription) => ({
  id,
  name,
  enabled,
  source,
  events,
  destination: { type: "queues.queue", queue_id: queueId },
  created_at: new Date(createdAt).toISOString(),
  modified_at: new Date(modifiedAt).toISOString(),
});

const orders: Readonly<Record<string, (subscription: Subscription) => string | number>> = {
  created_at: ({ createdAt }) => createdAt,
  name: ({ name }) => name,
  enabled: ({ enabled }) => Number(enabled),
  source: ({ source }) => source.type,
};

function sorted(items: readonly Subscription[], query: URLSearchParams): readonly Subscription[] {
  const by = orders[query.get("order") ?? ""];
  const sign = query.get("direction") === "desc" ? -1 : 1;
  if (by === undefined) return items;
  return [...items].sort((a, b) => (by(a) < by(b) ? -sign : by(a) > by(b) ? sign : 0));
}

export function subscriptionRoutes(subscriptions: Subscriptions): Route[] {
  const idOf = ({ params }: { params: Readonly<Record<string, string>> }): string => params.subscription as string;
  return [
    {
      op: "queues.subscriptions.list",
      method: "GET",
      path: BASE,
      permission: READ,
      async handle({ query }) {
        const queueId = query.get("queue_id");
        const wanted = subscriptions.list().filter((subscription) => queueId === null || subscription.queueId === queueId);
        return numberedPage(sorted(wanted, query).map(view), query, 100);
      },
    },
    {
      op: "queues.subscriptions.create",
      method: "POST",
      path: BASE,
      permission: WRITE,
      async handle(context) {
        const { destination, ...given } = await body(context, content);
        return view(await subscriptions.create({ ...given, queueId: destination.queue_id }));
      },
    },
    {
      op: "queues.subscriptions.get",
      method: "GET",
      path: ONE,
      permission: READ,
      handle: async (context) => view(subscriptions.require(idOf(context))),
    },
    {
      op: "queues.subscriptions.update",
      method: "PATCH",
      path: ONE,
      permission: WRITE,
      async handle(context) {
        const { name, enabled, events, destination } = await body(context, change);
        const changed = {
          ...(name !== undefined && { name }),
          ...(enabled !== undefined && { enabled }),
          ...(events !== undefined && { events }),
          ...(destination !== undefined && { queueId: destination.queue_id }),
        };
        return view(await subscriptions.change(idOf(context), changed));
      },
    },
    {
      op: "queues.subscriptions.delete",
      method: "DELETE",
      path: ONE,
      permission: WRITE,
      handle: async (context) => view(await subscriptions.remove(idOf(context))),
    },
  ];
}
