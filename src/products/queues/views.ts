/** Queues, consumers and messages as REST shows them: the union of what wrangler 4.164 and the SDK 7.3 read. */

import { timeOfId } from "./message-ids.ts";
import type { Backlog, Consumer, LeasedMessage, Queue } from "./model.ts";

const iso = (time: number): string => new Date(time).toISOString();

export type Producer = { readonly type: "worker"; readonly script: string } | { readonly type: "r2_bucket"; readonly bucket_name: string };

export function consumerView(queue: Queue, consumer: Consumer) {
  return {
    consumer_id: consumer.id,
    created_on: iso(consumer.createdAt),
    type: consumer.type,
    queue_name: queue.name,
    queue_id: queue.id,
    // wrangler reads `script`, the SDK `script_name`.
    ...(consumer.type === "worker" && { script: consumer.script, script_name: consumer.script }),
    ...(consumer.deadLetterQueue !== null && { dead_letter_queue: consumer.deadLetterQueue }),
    settings: consumer.settings,
  };
}

export function queueView(queue: Queue, producers: readonly Producer[]) {
  const consumers = queue.consumer === null ? [] : [consumerView(queue, queue.consumer)];
  return {
    queue_id: queue.id,
    queue_name: queue.name,
    ...(queue.jurisdiction !== null && { jurisdiction: queue.jurisdiction }),
    created_on: iso(queue.createdAt),
    modified_on: iso(queue.modifiedAt),
    settings: queue.settings,
    producers,
    producers_total_count: producers.length,
    consumers,
    consumers_total_count: consumers.length,
  };
}

export const metricsView = ({ count, bytes, oldest }: Backlog) => ({
  backlog_count: count,
  backlog_bytes: bytes,
  oldest_message_timestamp_ms: oldest,
});

/** JSON and bytes travel as base64, text as it is (docs/queues/configuration/pull-consumers, "Content types"). */
export function messageView({ id, body, contentType, source, attempts }: LeasedMessage) {
  return {
    id,
    body: Buffer.from(body).toString(contentType === "text" ? "utf8" : "base64"),
    timestamp_ms: timeOfId(id),
    attempts,
    metadata: { "CF-sourceMessageSource": source, "CF-Content-Type": contentType },
  };
}
