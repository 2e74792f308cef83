/**
 * The one way in for messages: limits of message, batch, rate and backlog, then the store. The binding, REST, other
 * products and dead letters' senders all come here, so that a limit holds for each.
 */
import type { Clock } from "../../kernel/clock.ts";
import { queuesError } from "./errors.ts";
import { checkMessageSize, SEND_BATCH_MAX, SEND_BATCH_MAX_BYTES } from "./limits.ts";
import type { Messages } from "./messages.ts";
import type { MessageSource, NewMessage, Queue } from "./model.ts";

export interface SendLimits {
  /** Messages a second to one queue; 0 means no limit. */
  readonly perSecond: number;
  readonly backlogBytes: number;
}

export interface Sender {
  /** Durable when it resolves, all or none. Throws the documented limits. */
  send(queue: Queue, messages: readonly NewMessage[], source: MessageSource, delaySeconds?: number): Promise<void>;
}

const WINDOW_MS = 1000;

export function openSender(messages: Messages, limits: SendLimits, clock: Clock): Sender {
  const windows = new Map<string, { since: number; count: number }>();

  function takeRate(queueId: string, count: number): void {
    if (limits.perSecond === 0) return;
    const now = clock.now();
    let window = windows.get(queueId);
    if (window === undefined || now - window.since >= WINDOW_MS) {
      window = { since: now, count: 0 };
      windows.set(queueId, window);
    }
    if (window.count + count > limits.perSecond) throw queuesError("overloaded");
    window.count += count;
  }

  return {
    async send(queue, batch, source, delaySeconds) {
      if (batch.length === 0 || batch.length > SEND_BATCH_MAX) throw queuesError("batchCount");
      let bytes = 0;
      for (const { body } of batch) {
        checkMessageSize(body.byteLength);
        bytes += body.byteLength;
      }
      if (batch.length > 1 && bytes > SEND_BATCH_MAX_BYTES) throw queuesError("batchSize");
      if (messages.backlog.bytes(queue.id) + bytes > limits.backlogBytes) throw queuesError("storageLimit");
      takeRate(queue.id, batch.length);
      await messages.insert(queue, batch, source, delaySeconds);
    },
  };
}
