/** What Queues keeps, as values. Times are milliseconds since the epoch unless the name says seconds. */

export const contentTypes = ["text", "bytes", "json", "v8"] as const;
export type ContentType = (typeof contentTypes)[number];

/** Who wrote a message: `CF-sourceMessageSource` of pulled messages. */
export type MessageSource = "worker" | "http" | "r2" | "dlq" | "event";

export interface QueueSettings {
  /** Seconds. */
  readonly delivery_delay: number;
  /** Seconds. */
  readonly message_retention_period: number;
  readonly delivery_paused: boolean;
}

export interface WorkerSettings {
  readonly batch_size: number;
  readonly max_retries: number;
  readonly max_wait_time_ms: number;
  /** Null: as many as the platform allows. */
  readonly max_concurrency: number | null;
  /** Seconds. */
  readonly retry_delay: number;
}

export interface PullSettings {
  readonly batch_size: number;
  readonly max_retries: number;
  readonly visibility_timeout_ms: number;
  /** Seconds. */
  readonly retry_delay: number;
}

interface ConsumerBase {
  /** 32 hex digits. */
  readonly id: string;
  readonly createdAt: number;
  /** Name of a queue. */
  readonly deadLetterQueue: string | null;
}

export type Consumer =
  | (ConsumerBase & { readonly type: "worker"; readonly script: string; readonly settings: WorkerSettings })
  | (ConsumerBase & { readonly type: "http_pull"; readonly settings: PullSettings });

export interface Queue {
  /** 32 hex digits, never used twice. */
  readonly id: string;
  readonly name: string;
  readonly jurisdiction: string | null;
  readonly settings: QueueSettings;
  readonly createdAt: number;
  readonly modifiedAt: number;
  /** Messages with this id or a lower one were purged; empty when nothing ever was. */
  readonly purgedTo: string;
  readonly purgedAt: number | null;
  /** A queue has one consumer at most. */
  readonly consumer: Consumer | null;
}

/** A message on its way in. */
export interface NewMessage {
  readonly body: Uint8Array;
  readonly contentType: ContentType;
  /** Seconds; absent: the queue's default. */
  readonly delaySeconds?: number | undefined;
}

/** A message that was handed out. */
export interface LeasedMessage {
  /** 32 hex digits that begin with the time at which it was sent. */
  readonly id: string;
  readonly body: Uint8Array;
  readonly contentType: ContentType;
  readonly source: MessageSource;
  /** Of deliveries, this one included. */
  readonly attempts: number;
  /** Names this delivery. */
  readonly lease: string;
}

export interface Backlog {
  readonly count: number;
  readonly bytes: number;
  /** When the oldest message was sent; 0 when there is none. */
  readonly oldest: number;
}
