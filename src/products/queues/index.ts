/**
 * Queues: durable messages between Workers, and to and from whoever speaks HTTP. Messages are rows in meta; push
 * consumers run through the `dispatch` capability, pull consumers through REST. `README.md` has the guarantees.
 */
import type { QueueSender } from "../../kernel/capabilities.ts";
import type { Product } from "../../kernel/product.ts";
import { queueBinding } from "./binding.ts";
import { serveBinding } from "./binding-protocol.ts";
import { createDelivery } from "./delivery.ts";
import { queuesError } from "./errors.ts";
import { openMessages } from "./messages.ts";
import { openMetrics } from "./metrics.ts";
import { migrations } from "./migrations.ts";
import { openQueues } from "./queues.ts";
import { WRITE } from "./rest.ts";
import { queuesRoutes } from "./routes.ts";
import { subscriptionRoutes } from "./routes-subscriptions.ts";
import { openSender } from "./send.ts";
import { openSubscriptions } from "./subscriptions.ts";
import { startSweeper } from "./sweeper.ts";
import type { Producer } from "./views.ts";

export const queues = {
  name: "queues",
  status: "beta",
  needs: ["dispatch"],
  provides: ["queueSender"],
  migrations,
  permissions: [
    { id: "84a7755d54c646ca87cd50682a34bf7c", name: "Queues Read", scopes: ["com.cloudflare.api.account"] },
    { id: "366f57075ffc42689627bcf8242a1b6d", name: "Queues Write", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const { meta, clock, config, log, mint, accountId } = kernel;
    const dispatch = kernel.get("dispatch");
    const look = (queueId: string): void => delivery.look(queueId);
    const queues = await openQueues(meta, clock, config["queues.queues_max"], look);
    dispatch.beforeRemoval((script) => {
      if (queues.list().some(({ consumer }) => consumer?.type === "worker" && consumer.script === script))
        throw queuesError("scriptConsumes");
    });
    const metrics = openMetrics(meta, clock, log, {
      queueIds: () => queues.list().map(({ id }) => id),
      backlog: (queueId) => messages.backlog.of(queueId),
      running: (queueId) => delivery.running(queueId),
    });
    const messages = await openMessages(meta, clock, look, metrics.count);
    const delivery = createDelivery({
      queues,
      messages,
      dispatch,
      clock,
      log,
      concurrencyMax: config["queues.concurrency_max"],
      handlerMaxMs: config["workers.event_timeout_ms"],
    });
    const limits = { perSecond: config["queues.messages_per_s_max"], backlogBytes: config["queues.backlog_max_bytes"] };
    const sender = openSender(messages, limits, clock);
    const subscriptions = await openSubscriptions(meta, clock, accountId, queues, messages);
    const sweeper = startSweeper(meta, clock, log, queues, messages);
    for (const queue of queues.list()) {
      await messages.recover(queue);
      look(queue.id);
    }
    const producers: ((queueId: string) => Promise<readonly Producer[]>)[] = [];
    const producersOf = async (queueId: string): Promise<readonly Producer[]> =>
      (await Promise.all(producers.map((of) => of(queueId)))).flat();
    const queueSender: QueueSender = {
      find: (queueId) => queues.find(queueId),
      async send(queueId, source, bodies) {
        const queue = queues.find(queueId);
        if (queue === undefined) throw queuesError("queueNotFound");
        const batch = bodies.map((body) => ({ body: Buffer.from(JSON.stringify(body)), contentType: "json" as const }));
        await sender.send(queue, batch, source);
      },
      allows: (principal) => WRITE.every((group) => principal.can(group)),
      addEventSource: subscriptions.addSource,
      hears: subscriptions.hears,
      announce: subscriptions.announce,
      addProducers: (of) => void producers.push(of),
    };
    return {
      routes: [
        ...queuesRoutes({ queues, messages, sender, sweeper, metrics, dispatch, producersOf }),
        ...subscriptionRoutes(subscriptions),
      ],
      bindings: { queue: queueBinding(queues, mint) },
      internal: (claims, request, response) => serveBinding({ queues, messages, sender }, claims, request, response),
      offers: { queueSender },
      datasets: metrics.datasets,
      check: async () => ({ ok: true, detail: `${queues.list().length} queues` }),
      async stop() {
        await delivery.stop();
        await sweeper.stop();
        await metrics.stop();
      },
    };
  },
} satisfies Product;
