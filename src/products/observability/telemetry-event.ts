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

/** An event and what it is found by. Its parts are JSON already: a log line costs no more than it must. */
export interface Row {
  /** Begins with the time: the order of ids is the order of events. */
  readonly id: string;
  readonly ts: number;
  /** How many events this one stands for. */
  readonly si: number;
  readonly dataset: string;
  readonly request: string;
  readonly trace: string | null;
  /** Members s, n and b: fields by type, each name once in its type. */
  readonly fields: string;
  readonly event: string;
}

/** The row as JSON, as it lies in the journal and goes into a table. */
export const textOf = ({ id, ts, si, dataset, request, trace, fields, event }: Row): string =>
  `{"id":"${id}","ts":${ts},"si":${si},"dataset":"${dataset}","request":${JSON.stringify(request)},"trace":${JSON.stringify(trace)},${fields},"event":${event}}`;

/** What the events of one invocation have in common, made once. */
export interface Shared {
  /** Members of `$metadata` that all have. */
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly metadataText: string;
  readonly fields: FieldTexts;
}

/** `$workers` with its fields; those of all events have another one than that of the invocation itself. */
export interface WorkersPart {
  readonly text: string;
  readonly fields: FieldTexts;
}

/** Members of a JSON object without its braces, by type. */
interface FieldTexts {
  s: string;
  n: string;
  b: string;
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

export const sharedOf = (metadata: Readonly<Record<string, unknown>>): Shared => ({
  metadata,
  metadataText: inner(JSON.stringify(metadata)),
  fields: fieldTexts(metadata, "$metadata."),
});

export const workersPart = (workers: Readonly<Record<string, unknown>>): WorkersPart => ({
  text: JSON.stringify(workers),
  fields: fieldTexts(workers, "$workers."),
});

/** The same as part of a larger whole: `more` are the fields, by their prefix, that it has besides. */
export function moreWorkers(
  { fields }: WorkersPart,
  whole: Readonly<Record<string, unknown>>,
  more: Readonly<Record<string, object>>,
): WorkersPart {
  const all = { ...fields };
  for (const [prefix, value] of Object.entries(more)) {
    const added = fieldTexts(value, prefix);
    all.s = joined(all.s, added.s);
    all.n = joined(all.n, added.n);
    all.b = joined(all.b, added.b);
  }
  return { text: JSON.stringify(whole), fields: all };
}

export interface EventParts {
  readonly dataset: TelemetryEvent["dataset"];
  readonly timestamp: number;
  readonly source: Readonly<Record<string, unknown>>;
  readonly workers?: WorkersPart;
  /** Members of `$metadata` that no other event has. */
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly sampleInterval: number;
  /** Fields that can be asked for, but are no part of the event. */
  readonly hidden?: Readonly<Record<string, number>>;
}

export function rowOf(shared: Shared, { dataset, timestamp, source, workers, metadata, sampleInterval, hidden }: EventParts): Row {
  const id = newEventId(timestamp);
  const own: Fields = { s: {}, n: { ...hidden }, b: {}, left: FIELDS_MAX };
  // What the platform says comes first: a log of many fields must not push it out.
  flatten({ id, ...metadata }, "$metadata.", own);
  flatten(source, "", own);
  const all = (type: keyof FieldTexts): string =>
    joined(joined(shared.fields[type], workers?.fields[type] ?? ""), inner(JSON.stringify(own[type])));
  const members = joined(joined(`"id":"${id}"`, shared.metadataText), inner(JSON.stringify(metadata)));
  return {
    id,
    ts: timestamp,
    si: sampleInterval,
    dataset,
    request: String(shared.metadata.requestId),
    trace: (shared.metadata.traceId as string | undefined) ?? null,
    fields: `"s":{${all("s")}},"n":{${all("n")}},"b":{${all("b")}}`,
    event: `{"dataset":"${dataset}","timestamp":${timestamp},"source":${JSON.stringify(source)}${workers === undefined ? "" : `,"$workers":${workers.text}`},"$metadata":{${members}}}`,
  };
}

const inner = (object: string): string => object.slice(1, -1);

const joined = (a: string, b: string): string => (a === "" ? b : b === "" ? a : `${a},${b}`);

/** Fields of what the platform itself says: no two have one name. */
function fieldTexts(value: object, prefix: string): FieldTexts {
  const texts = { s: "", n: "", b: "" };
  eachField(value, prefix, 0, (key, field) => {
    const type = typeof field === "string" ? "s" : typeof field === "number" ? "n" : "b";
    texts[type] = joined(texts[type], `${quoted(key)}:${type === "s" ? JSON.stringify(field) : field}`);
    return true;
  });
  return texts;
}

/** The platform's names are always the same ones. */
const names = new Map<string, string>();
const NAMES_MAX = 2_000;
function quoted(name: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  const text = JSON.stringify(name);
  if (names.size < NAMES_MAX) names.set(name, text);
  return text;
}

/** Names that only the platform gives. */
const isReserved = (name: string): boolean => name.charCodeAt(0) === 36 && /^\$(?:metadata|workers)(?:\.|$)/.test(name);

interface Fields {
  readonly s: Record<string, string>;
  readonly n: Record<string, number>;
  readonly b: Record<string, boolean>;
  left: number;
}

/** Adds the fields of a value; a later one takes the place of another of its name and type. */
function flatten(value: object, prefix: string, fields: Fields): void {
  eachField(value, prefix, 0, (key, field) => {
    if (fields.left <= 0) return false;
    if (key === "__proto__" || (prefix === "" && isReserved(key))) return true;
    fields.left--;
    if (typeof field === "number") fields.n[key] = field;
    else if (typeof field === "boolean") fields.b[key] = field;
    else fields.s[key] = field;
    return true;
  });
}

/** Each member by its path, until `see` says that it has seen enough; lists as their JSON. */
function eachField(value: object, prefix: string, depth: number, see: (key: string, field: string | number | boolean) => boolean): boolean {
  for (const name in value) {
    const member = (value as Record<string, unknown>)[name];
    if (member === null || member === undefined) continue;
    const key = prefix + name;
    let more: boolean;
    if (typeof member === "string" || typeof member === "boolean" || (typeof member === "number" && Number.isFinite(member)))
      more = see(key, member);
    else if (typeof member === "object" && !Array.isArray(member) && depth < DEPTH_MAX) more = eachField(member, `${key}.`, depth + 1, see);
    else more = see(key, JSON.stringify(member));
    if (!more) return false;
  }
  return true;
}

const TEMPLATE_MAX = 512;

/** The message with what differs from one to the next replaced: equal templates are one pattern. */
export const templateOf = (message: string): string =>
  message
    .slice(0, TEMPLATE_MAX)
    .replace(/\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b/gi, "<UUID>")
    .replace(/\b(?=[0-9a-f]*\d)[0-9a-f]{16,}\b/gi, "<HEX>")
    .replace(/\d+(?:\.\d+)?/g, "<NUM>");

/** Of a line's service and template; most lines have one of few. */
export function fingerprintOf(service: string, template: string): string {
  const key = `${service}\n${template}`;
  const known = fingerprints.get(key);
  if (known !== undefined) return known;
  const fingerprint = createHash("sha256").update(key).digest("hex").slice(0, 32);
  if (fingerprints.size >= FINGERPRINTS_MAX) fingerprints.clear();
  fingerprints.set(key, fingerprint);
  return fingerprint;
}
const fingerprints = new Map<string, string>();
const FINGERPRINTS_MAX = 2_000;
