/** Events that Workers handle besides requests: mail, and messages of queues. Interfaces only. */
import type { Principal } from "../api/tokens.ts";
import type { MetaTransaction } from "../meta/meta.ts";
import type { EventSource } from "./workers.ts";

/** A message with its envelope, as it reached one address. */
export interface IncomingEmail {
  readonly from: string;
  readonly to: string;
  readonly raw: Uint8Array;
}

/** A message that a handler hands over: in bytes, or in the builder's form with its attachments in base64. */
export type EmailReply = { readonly from: string; readonly to: string; readonly raw: Uint8Array } | { readonly builder: unknown };

/** What a handler can do with its message. A rejection's message is what the Worker sees thrown. */
export interface EmailActions {
  forward(recipient: string, headers: readonly (readonly [string, string])[]): Promise<{ readonly messageId: string }>;
  reply(reply: EmailReply): Promise<{ readonly messageId: string }>;
}

export interface EmailResult {
  /** "ok", "exception", "exceededCpu", …, and "noHandler" for a Worker without `email()`. */
  readonly outcome: string;
  /** Reason of `setReject`. */
  readonly rejectReason?: string;
}

export interface QueueBatch {
  readonly queue: string;
  readonly messages: readonly QueueBatchMessage[];
  readonly metrics: { readonly backlogCount: number; readonly backlogBytes: number; readonly oldestMessageTimestamp: number };
}

export interface QueueBatchMessage {
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  /** Of deliveries, this one included. */
  readonly attempts: number;
  readonly contentType: "text" | "bytes" | "json" | "v8";
  readonly body: Uint8Array;
}

/** What a handler did with its batch, as workerd reports it. */
export interface QueueBatchResult {
  /** "ok", "exception", … */
  readonly outcome: string;
  readonly ackAll: boolean;
  readonly retryBatch: { readonly retry: boolean; readonly delaySeconds?: number };
  readonly explicitAcks: readonly string[];
  readonly retryMessages: readonly { readonly msgId: string; readonly delaySeconds?: number }[];
}

/** Queues for other products: events of their own as messages. */
export interface QueueSender {
  /** The queue, or undefined; memory only. */
  find(queueId: string): { readonly id: string; readonly name: string } | undefined;
  /**
   * Sends JSON messages, at most 100 and 256 KB. Durable when it resolves, all or none. Rejects with `queues.queueNotFound`
   * and with the documented limits, of which those with status 429 pass by themselves.
   */
  send(queueId: string, source: "r2" | "event", bodies: readonly unknown[]): Promise<void>;
  /** Says which events of a source the product announces: "r2" and "bucket.created". Others cannot be subscribed to. */
  addEventSource(type: string, events: readonly string[]): void;
  /** Whether a queue is subscribed to the event; memory only. */
  hears(source: EventSource, event: string): boolean;
  /**
   * Tells subscribed queues of an event. Their messages are part of the transaction of the change; the function that it
   * resolves with is to be called after the commit.
   */
  announce(tx: MetaTransaction, source: EventSource, event: string, payload: unknown): Promise<() => void>;
  /** Whether the principal may write to queues: whoever sets up events for one must. */
  allows(principal: Principal): boolean;
  /** Registers who asks for the producers of a queue: a product names those of its resources that write to it. */
  addProducers(producersOf: (queueId: string) => Promise<readonly { readonly type: "r2_bucket"; readonly bucket_name: string }[]>): void;
}
