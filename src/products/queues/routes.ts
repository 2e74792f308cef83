/** REST of queues and their consumers: /accounts/{account}/queues (wrangler 4.164, `cloudflare` SDK 7.3.0). */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { Dispatch } from "../../kernel/capabilities.ts";
import type { BindingConfig, Route } from "../../kernel/product.ts";
import { queueNameOf } from "./binding.ts";
import { changeOf } from "./changes.ts";
import { consumerBody, parseConsumer, parseQueueSettings } from "./consumer-config.ts";
import { queuesError } from "./errors.ts";
import type { Messages } from "./messages.ts";
import type { Metrics } from "./metrics.ts";
import type { Queue } from "./model.ts";
import type { Queues } from "./queues.ts";
import { BASE, body, QUEUE, READ, WRITE } from "./rest.ts";
import { messageRoutes } from "./routes-messages.ts";
import type { Sender } from "./send.ts";
import type { Sweeper } from "./sweeper.ts";
import { consumerView, metricsView, type Producer, queueView } from "./views.ts";

export interface QueuesApi {
  readonly queues: Queues;
  readonly messages: Messages;
  readonly sender: Sender;
  readonly sweeper: Sweeper;
  readonly metrics: Metrics;
  readonly dispatch: Dispatch;
  /** Producers besides Workers. */
  producersOf(queueId: string): Promise<readonly Producer[]>;
}

const PER_PAGE_DEFAULT = 100;
const PER_PAGE_MAX = 1000;

const newQueue = z.object({
  queue_name: z.string(),
  jurisdiction: z.enum(["eu", "us", "fedramp"]).nullish(),
  settings: z.unknown().optional(),
});
const queueChange = z.object({ queue_name: z.string().optional(), settings: z.unknown().optional() });
const purgeRequest = z.object({ delete_messages_permanently: z.boolean().optional() });

export function queuesRoutes(api: QueuesApi): Route[] {
  return [...queueRoutes(api), ...consumerRoutes(api), ...purgeRoutes(api), ...messageRoutes(api)];
}

function queueRoutes(api: QueuesApi): Route[] {
  const { queues, messages, dispatch, sweeper } = api;
  async function view(queue: Queue) {
    const writesTo = (binding: BindingConfig): boolean => binding.type === "queue" && queueNameOf(binding) === queue.name;
    const workers = dispatch.bound(writesTo).map((script): Producer => ({ type: "worker", script }));
    return queueView(queue, [...workers, ...(await api.producersOf(queue.id))]);
  }
  const change: Route["handle"] = async (context) => {
    const queue = queues.require(context.params.queue as string);
    const { queue_name, settings } = await body(context, queueChange);
    if (queue_name !== undefined && queue_name !== queue.name) throw queuesError("notRenamable");
    const changed = await queues.change(queue.id, parseQueueSettings(settings));
    context.audit(changeOf(queue, "UpdateQueue", { settings }));
    return view(changed);
  };
  return [
    {
      op: "queues.queues.list",
      method: "GET",
      path: BASE,
      permission: READ,
      async handle({ query }) {
        const names = new Set(query.getAll("name"));
        const wanted = queues.list().filter((queue) => names.size === 0 || names.has(queue.name));
        const page = numberedPage(wanted, query, PER_PAGE_MAX, PER_PAGE_DEFAULT);
        return { ...page, result: await Promise.all(page.result.map(view)) };
      },
    },
    {
      op: "queues.queues.create",
      method: "POST",
      path: BASE,
      permission: WRITE,
      async handle(context) {
        const { queue_name, jurisdiction, settings } = await body(context, newQueue);
        const queue = await queues.create(queue_name, parseQueueSettings(settings), jurisdiction ?? undefined);
        context.audit(changeOf(queue, "CreateQueue"));
        return view(queue);
      },
    },
    {
      op: "queues.queues.get",
      method: "GET",
      path: QUEUE,
      permission: READ,
      handle: async ({ params }) => view(queues.require(params.queue as string)),
    },
    { op: "queues.queues.update", method: "PUT", path: QUEUE, permission: WRITE, handle: change },
    { op: "queues.queues.edit", method: "PATCH", path: QUEUE, permission: WRITE, handle: change },
    {
      op: "queues.queues.delete",
      method: "DELETE",
      path: QUEUE,
      permission: WRITE,
      async handle({ params, audit }) {
        const queue = queues.require(params.queue as string);
        await queues.remove(queue.id);
        sweeper.wake();
        audit(changeOf(queue, "DeleteQueue"));
        return null;
      },
    },
    {
      op: "queues.queues.metrics",
      method: "GET",
      path: `${QUEUE}/metrics`,
      permission: READ,
      handle: async ({ params }) => metricsView(await messages.backlog.of(queues.require(params.queue as string).id)),
    },
  ];
}

function consumerRoutes({ queues, dispatch }: QueuesApi): Route[] {
  const path = `${QUEUE}/consumers`;
  /** The consumer that a request describes; its Worker exists, and its dead letter queue does from here on. */
  async function requested(queue: Queue, context: Parameters<Route["handle"]>[0]) {
    const consumer = parseConsumer(await body(context, consumerBody), queue.name);
    if (consumer.type === "worker" && !dispatch.has(consumer.script)) {
      throw queuesError("scriptNotFound", `The Worker "${consumer.script}" does not exist.`);
    }
    return consumer;
  }
  const ensureDeadLetters = async (name: string | null): Promise<void> => {
    if (name !== null) await queues.ensure(name);
  };
  const queueOf = ({ params }: { params: Readonly<Record<string, string>> }): Queue => queues.require(params.queue as string);
  return [
    {
      op: "queues.consumers.list",
      method: "GET",
      path,
      permission: READ,
      async handle(context) {
        const queue = queueOf(context);
        return numberedPage(queue.consumer === null ? [] : [consumerView(queue, queue.consumer)], context.query);
      },
    },
    {
      op: "queues.consumers.create",
      method: "POST",
      path,
      permission: WRITE,
      async handle(context) {
        const queue = queueOf(context);
        const consumer = await requested(queue, context);
        if (queue.consumer !== null) throw queuesError("consumerExists");
        await ensureDeadLetters(consumer.deadLetterQueue);
        const added = await queues.addConsumer(queue.id, consumer);
        context.audit(changeOf(queue, "AttachConsumer", { consumer_id: added.id, type: added.type }));
        return consumerView(queue, added);
      },
    },
    {
      op: "queues.consumers.get",
      method: "GET",
      path: `${path}/:consumer`,
      permission: READ,
      async handle(context) {
        const queue = queueOf(context);
        const { consumer } = queue;
        if (consumer === null || consumer.id !== context.params.consumer) throw queuesError("consumerNotFound");
        return consumerView(queue, consumer);
      },
    },
    {
      op: "queues.consumers.update",
      method: "PUT",
      path: `${path}/:consumer`,
      permission: WRITE,
      async handle(context) {
        const queue = queueOf(context);
        const consumer = await requested(queue, context);
        await ensureDeadLetters(consumer.deadLetterQueue);
        const changed = await queues.changeConsumer(queue.id, context.params.consumer as string, consumer);
        context.audit(changeOf(queue, "UpdateConsumerSettings", { consumer_id: changed.id }));
        return consumerView(queue, changed);
      },
    },
    {
      op: "queues.consumers.delete",
      method: "DELETE",
      path: `${path}/:consumer`,
      permission: WRITE,
      async handle(context) {
        const queue = queueOf(context);
        const consumer = context.params.consumer as string;
        await queues.removeConsumer(queue.id, consumer);
        context.audit(changeOf(queue, "RemoveConsumer", { consumer_id: consumer }));
        return null;
      },
    },
  ];
}

function purgeRoutes({ queues, messages, sweeper }: QueuesApi): Route[] {
  return [
    {
      op: "queues.purge.start",
      method: "POST",
      path: `${QUEUE}/purge`,
      permission: WRITE,
      async handle(context) {
        const queue = queues.require(context.params.queue as string);
        const { delete_messages_permanently } = await body(context, purgeRequest);
        if (delete_messages_permanently !== true) throw queuesError("purgeUnconfirmed");
        const purged = await queues.purge(queue.id, messages.newId());
        await sweeper.sweep(purged);
        return queueView(purged, []);
      },
    },
    {
      op: "queues.purge.status",
      method: "GET",
      path: `${QUEUE}/purge`,
      permission: READ,
      async handle({ params }) {
        const queue = queues.require(params.queue as string);
        if (queue.purgedAt === null) return {};
        const { oldest } = await messages.backlog.of(queue.id);
        return { started_at: new Date(queue.purgedAt).toISOString(), completed: String(oldest === 0 || oldest >= queue.purgedAt) };
      },
    },
  ];
}
