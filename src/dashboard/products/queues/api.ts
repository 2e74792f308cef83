/** Queues in the REST API. */
export const QUEUES = "/queues";

export interface Queue {
  readonly queue_id: string;
  readonly queue_name: string;
  readonly created_on: string;
  readonly settings: { readonly delivery_delay: number; readonly message_retention_period: number; readonly delivery_paused?: boolean };
  readonly producers: readonly { readonly type: string; readonly script?: string; readonly bucket_name?: string }[];
  readonly consumers: readonly {
    readonly type: "worker" | "http_pull";
    readonly script?: string;
    readonly dead_letter_queue?: string;
    readonly settings: { readonly batch_size?: number; readonly max_retries?: number };
  }[];
}

export interface Message {
  readonly id: string;
  /** Text as it is, everything else in base64. */
  readonly body: string;
  readonly timestamp_ms: number;
  readonly attempts: number;
  readonly ref: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface Backlog {
  readonly backlog_count: number;
  readonly backlog_bytes: number;
  /** 0 when there is none. */
  readonly oldest_message_timestamp_ms: number;
}

export const queuePath = (id: string): string => `${QUEUES}/${id}`;
export const contentType = ({ metadata }: Message): string => metadata["CF-Content-Type"] ?? "json";

/** The body for reading: text and JSON as such, bytes and structured clones by their size. */
export function shown(message: Message): string {
  const type = contentType(message);
  if (type === "text") return message.body;
  const bytes = Uint8Array.from(atob(message.body), (char) => char.charCodeAt(0));
  return type === "json" ? new TextDecoder().decode(bytes) : `${bytes.length} bytes (${type})`;
}
