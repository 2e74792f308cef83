/**
 * The stored unit: one log line, one invocation or one span, as the query API shows it, together with what it is found by.
 * Fields of the log itself are named by their path alone, those that the platform adds by `$metadata.` and `$workers.`.
 */
import { createHash } from "node:crypto";

export interface TelemetryEvent {
  readonly dataset: "cloudflare-workers" | "otel";
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  readonly source: string | Readonly<Record<string, unknown>>;
  readonly $workers?: Readonly<Record<string, unknown>>;
  readonly $metadata: Metadata;
}

export interface Metadata {
  readonly id: string;
  readonly service: string;
  readonly requestId: string;
  readonly traceId?: string;
  readonly [key: string]: unknown;
}

/** A row as it lies in the journal, in memory and in Parquet. */
export interface Row {
  /** Begins with the time: the order of ids is the order of events. */
  readonly id: string;
  readonly ts: number;
  /** How many events this one stands for. */
  readonly si: number;
  readonly dataset: string;
  readonly request: string;
  readonly trace: string | null;
  /** Fields by type. */
  readonly s: Readonly<Record<string, string>>;
  readonly n: Readonly<Record<string, number>>;
  readonly b: Readonly<Record<string, boolean>>;
  /** The event as JSON. */
  readonly event: string;
}

const FIELDS_MAX = 400;
const DEPTH_MAX = 12;

let sequence = 0;

/** Unique in this run of the platform and, by its random end, beyond. */
export function newEventId(timestamp: number): string {
  sequence = (sequence + 1) % 2 ** 31;
  const random = Math.floor(Math.random() * 36 ** 5);
  return `${timestamp.toString(36).padStart(9, "0")}${sequence.toString(36).padStart(6, "0")}${random.toString(36).padStart(5, "0")}`.toUpperCase();
}

/** `hidden` fields can be asked for, but are not part of the event. */
export function rowOf(event: TelemetryEvent, sampleInterval: number, hidden: Readonly<Record<string, number>> = {}): Row {
  const fields: { s: Record<string, string>; n: Record<string, number>; b: Record<string, boolean>; left: number } = {
    s: {},
    n: { ...hidden },
    b: {},
    left: FIELDS_MAX,
  };
  // What the platform says comes first: a log of many fields must not push it out.
  flatten(event.$metadata, "$metadata.", 0, fields);
  if (event.$workers !== undefined) flatten(event.$workers, "$workers.", 0, fields);
  if (typeof event.source === "string") fields.s.message = event.source;
  else flatten(event.source, "", 0, fields);
  const { id, requestId, traceId } = event.$metadata;
  return {
    id,
    ts: event.timestamp,
    si: sampleInterval,
    dataset: event.dataset,
    request: requestId,
    trace: traceId ?? null,
    s: fields.s,
    n: fields.n,
    b: fields.b,
    event: JSON.stringify(event),
  };
}

interface Fields {
  readonly s: Record<string, string>;
  readonly n: Record<string, number>;
  readonly b: Record<string, boolean>;
  left: number;
}

function flatten(value: object, prefix: string, depth: number, fields: Fields): void {
  for (const [name, member] of Object.entries(value)) {
    if (fields.left <= 0) return;
    const key = prefix + name;
    if (key === "__proto__" || member === null || member === undefined) continue;
    if (typeof member === "object" && !Array.isArray(member) && depth < DEPTH_MAX) {
      flatten(member as object, `${key}.`, depth + 1, fields);
      continue;
    }
    fields.left--;
    if (typeof member === "number" && Number.isFinite(member)) fields.n[key] = member;
    else if (typeof member === "boolean") fields.b[key] = member;
    else fields.s[key] = typeof member === "string" ? member : JSON.stringify(member);
  }
}

const TEMPLATE_MAX = 512;

/** The message with what differs from one to the next replaced: equal templates are one pattern. */
export const templateOf = (message: string): string =>
  message
    .slice(0, TEMPLATE_MAX)
    .replace(/\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b/gi, "<UUID>")
    .replace(/\b(?=[0-9a-f]*\d)[0-9a-f]{16,}\b/gi, "<HEX>")
    .replace(/\d+(?:\.\d+)?/g, "<NUM>");

export const fingerprintOf = (service: string, template: string): string =>
  createHash("sha256").update(`${service}\n${template}`).digest("hex").slice(0, 32);
