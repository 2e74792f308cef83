/** REST of messages: send, pull, acknowledge, and looking at them without taking them (docs/queues/configuration/pull-consumers). */
import { z } from "zod";
import { platformError } from "../../kernel/errors.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { queuesError } from "./errors.ts";
import {
  BATCH_MAX,
  batchDelay,
  DELAY_MAX_S,
  messageDelay,
  PULL_BATCH_DEFAULT,
  SEND_BATCH_MAX,
  SEND_BATCH_MAX_BYTES,
  VISIBILITY_MAX_MS,
} from "./limits.ts";
import type { Settlement } from "./messages.ts";
import type { NewMessage, Queue } from "./model.ts";
import { body, QUEUE, READ, WRITE } from "./rest.ts";
import type { QueuesApi } from "./routes.ts";
import { leaseId, messageRef, parseLeaseId, parseMessageRef } from "./tokens.ts";
import { messageView, metricsView } from "./views.ts";

const message = z.object({ body: z.unknown(), content_type: z.unknown().optional(), delay_seconds: z.unknown().optional() });
const batch = z.object({ messages: z.array(message), delay_seconds: z.unknown().optional() });
const pull = z.object({
  batch_size: z.number().int().min(1).max(BATCH_MAX).nullish(),
  visibility_timeout_ms: z.number().int().min(0).max(VISIBILITY_MAX_MS).nullish(),
  /** Its older name. */
  visibility_timeout: z.number().int().min(0).max(VISIBILITY_MAX_MS).nullish(),
});
const acknowledgement = z.object({
  acks: z.array(z.object({ lease_id: z.string() })).nullish(),
  retries: z.array(z.object({ lease_id: z.string(), delay_seconds: z.number().int().min(0).max(DELAY_MAX_S).nullish() })).nullish(),
});
const peek = z.object({ batch_size: z.number().int().min(1).max(BATCH_MAX).nullish() });
const refs = z.object({ refs: z.array(z.object({ ref: z.string() })) });

/** Messages that one acknowledgement may name. */
const ACK_MAX = 1000;
/** JSON may escape each byte of a message as six. */
const SEND_BODY_MAX_BYTES = SEND_BATCH_MAX_BYTES * 6 + SEND_BATCH_MAX * 200;

export function messageRoutes(api: QueuesApi): Route[] {
  const { queues, messages, sender, metrics } = api;
  const path = `${QUEUE}/messages`;
  const queueOf = ({ params }: RequestContext): Queue => queues.require(params.queue as string);
  const metadata = async (queue: Queue) => ({ metadata: { metrics: metricsView(await messages.backlog.of(queue.id)) } });
  /** Taking messages needs both rights: it reads them and changes the queue. */
  function pulled(context: RequestContext): Queue & { readonly consumer: { readonly type: "http_pull" } } {
    if (![...READ, ...WRITE].every((group) => context.principal.can(group))) throw platformError("forbidden");
    const queue = queueOf(context);
    if (queue.consumer?.type !== "http_pull") throw queuesError("noPullConsumer");
    return queue as Queue & { readonly consumer: { readonly type: "http_pull" } };
  }
  const deadLetters = async ({ consumer }: Queue): Promise<Queue | undefined> =>
    consumer?.deadLetterQueue ? queues.ensure(consumer.deadLetterQueue) : undefined;

  return [
    {
      op: "queues.messages.push",
      method: "POST",
      path,
      permission: WRITE,
      async handle(context) {
        const queue = queueOf(context);
        const one = await body(context, message, SEND_BODY_MAX_BYTES);
        await sender.send(queue, [newMessage(one)], "http");
        return metadata(queue);
      },
    },
    {
      op: "queues.messages.batch",
      method: "POST",
      path: `${path}/batch`,
      permission: WRITE,
      async handle(context) {
        const queue = queueOf(context);
        const { messages: many, delay_seconds } = await body(context, batch, SEND_BODY_MAX_BYTES);
        await sender.send(queue, many.map(newMessage), "http", batchDelay(delay_seconds));
        return metadata(queue);
      },
    },
    {
      op: "queues.messages.pull",
      method: "POST",
      path: `${path}/pull`,
      permission: WRITE,
      async handle(context) {
        const queue = pulled(context);
        const { batch_size, visibility_timeout_ms, visibility_timeout } = await body(context, pull);
        if (queue.settings.delivery_paused) throw queuesError("deliveryPaused");
        const ms = visibility_timeout_ms ?? visibility_timeout ?? queue.consumer.settings.visibility_timeout_ms;
        const leased = await messages.lease(queue, "pull", batch_size ?? PULL_BATCH_DEFAULT, ms, await deadLetters(queue));
        if (leased.length === 0) metrics.countEmptyRead(queue.id);
        const backlog = await messages.backlog.of(queue.id);
        return {
          message_backlog_count: backlog.count,
          messages: leased.map((one) => ({ ...messageView(one), lease_id: leaseId(one) })),
          metadata: { metrics: metricsView(backlog) },
        };
      },
    },
    {
      op: "queues.messages.ack",
      method: "POST",
      path: `${path}/ack`,
      permission: WRITE,
      async handle(context) {
        const queue = pulled(context);
        const given = await body(context, acknowledgement);
        const { settlement, warnings } = settlementOf(given);
        const { acked, retried } = await messages.settle(queue, settlement, await deadLetters(queue));
        return { ackCount: acked, retryCount: retried, warnings };
      },
    },
    {
      op: "queues.messages.peek",
      method: "POST",
      path: `${path}/peek`,
      permission: READ,
      async handle(context) {
        const queue = queueOf(context);
        const { batch_size } = await body(context, peek);
        const found = await messages.peek(queue, batch_size ?? PULL_BATCH_DEFAULT);
        return { messages: found.map((one) => ({ ...messageView(one), ref: messageRef(one) })) };
      },
    },
    {
      op: "queues.messages.purge",
      method: "POST",
      path: `${path}/purge`,
      permission: WRITE,
      async handle(context) {
        const queue = queueOf(context);
        const given = await body(context, refs);
        if (given.refs.length > ACK_MAX) throw queuesError("batchCount");
        const known = given.refs.map(({ ref }) => ({ ref, id: parseMessageRef(ref) }));
        await messages.settle(queue, { acks: known.flatMap(({ id }) => id ?? []), retries: [] }, undefined);
        const unknown = known.filter(({ id }) => id === undefined);
        return { errors: [], warnings: Object.fromEntries(unknown.map(({ ref }) => [ref, "The ref is not valid."])) };
      },
    },
  ];
}

function newMessage(one: z.infer<typeof message>): NewMessage {
  const contentType = one.content_type ?? "json";
  const delaySeconds = messageDelay(one.delay_seconds);
  if (contentType === "json") {
    const text = JSON.stringify(one.body);
    if (text === undefined) throw queuesError("bodyInvalid");
    return { body: Buffer.from(text), contentType, delaySeconds };
  }
  if (contentType !== "text" || typeof one.body !== "string") throw queuesError("messageMetadataInvalid");
  return { body: Buffer.from(one.body), contentType, delaySeconds };
}

/** Lease ids that are none of ours get a warning each, as the API's answer has room for. */
function settlementOf({ acks, retries }: z.infer<typeof acknowledgement>): { settlement: Settlement; warnings: Record<string, string> } {
  if ((acks?.length ?? 0) + (retries?.length ?? 0) > ACK_MAX) throw queuesError("batchCount");
  const warnings: Record<string, string> = {};
  const parsed = (text: string) => {
    const lease = parseLeaseId(text);
    if (lease === undefined) warnings[text] = "The lease id is not valid.";
    return lease === undefined ? [] : [lease];
  };
  return {
    settlement: {
      acks: (acks ?? []).flatMap(({ lease_id }) => parsed(lease_id).map(({ id }) => id)),
      retries: (retries ?? []).flatMap(({ lease_id, delay_seconds }) =>
        parsed(lease_id).map((lease) => ({ ...lease, delaySeconds: delay_seconds ?? undefined })),
      ),
    },
    warnings,
  };
}
