/**
 * From a request's body to a journal payload, in the fewest passes: the engine's own JSON parser says whether the body is
 * JSON and gives the events for the schema check; one scan over the bytes finds where each event begins and ends,
 * so that its text is kept as it was sent (numbers beyond 2^53 included). Measured on 1 KB events: parser 570 MB/s,
 * scan 1,000 MB/s, check 5,000 MB/s on one core.
 */
import { isUtf8 } from "node:buffer";
import { DropTally } from "./drop-tally.ts";
import { ingestError } from "./errors.ts";
import { beginPayload, finishPayload } from "./payload.ts";
import { isObject, parseExact, type RecordCheck, type RecordError } from "./record-check.ts";

/** A body that was checked and encoded. Plain data: it may come from another thread. */
export interface Batch {
  readonly payload: Uint8Array;
  /** Events in the request, dropped ones included. */
  readonly count: number;
  /** As it was sent. */
  readonly body: Uint8Array;
  /** Start and end of each event in the body: bounds[2i] and bounds[2i + 1]. */
  readonly bounds: Uint32Array;
  /** What makes events unfit, by their index; undefined when all fit. */
  readonly errors: ReadonlyMap<number, RecordError> | undefined;
}

/** How an event becomes a line: as streams keep it (`payload.ts`), or as it is. */
export type LineForm = "timed" | "plain";

/** Levels of nesting that an event may have: DuckDB's readers recurse. */
const DEPTH_MAX = 100;

/**
 * Checks and encodes a body. `check` is undefined for an unstructured stream, whose events may be any JSON value.
 * Undefined for an empty array. Throws `pipelines.ingest.malformed`, `.notArray`, `.notObject`, `.tooDeep`.
 */
export function encodeBatch(body: Buffer, check: RecordCheck | undefined, now: number, form: LineForm = "timed"): Batch | undefined {
  // The parser would see U+FFFD in the place of bytes that are not UTF-8; the sink reads the bytes.
  if (!isUtf8(body)) throw ingestError("malformed");
  let events: unknown;
  try {
    events = JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw ingestError("malformed", undefined, { cause });
  }
  if (!Array.isArray(events)) throw ingestError("notArray");
  const count = events.length;
  if (count === 0) return undefined;

  const { bounds, newlines, surrogates } = scan(body, count);
  if (surrogates && !isWellFormed(events)) throw ingestError("malformed", "The body has an unpaired surrogate");
  let dropped: DropTally | undefined;
  let errors: Map<number, RecordError> | undefined;
  if (check !== undefined) {
    for (let i = 0; i < count; i++) {
      const event: unknown = events[i];
      if (!isObject(event)) throw ingestError("notObject");
      let error = check(event);
      if (error === "exact") error = exactly(check, body, bounds, i);
      if (error === undefined) continue;
      dropped ??= new DropTally();
      dropped.add(error);
      errors ??= new Map();
      errors.set(i, error);
    }
  }

  const [prefix, suffix] = form === "timed" ? [linePrefix(now), TIMED_END] : [PLAIN_START, PLAIN_END];
  let sent = 0;
  for (let i = 0; i < bounds.length; i += 2) sent += (bounds[i + 1] as number) - (bounds[i] as number);
  const writer = beginPayload(
    { time: now, bytes: sent, dropped: dropped?.list() ?? [] },
    body.length + count * (prefix.length + suffix.length),
  );
  const { bytes } = writer;
  for (let i = 0; i < count; i++) {
    if (errors?.has(i)) continue;
    const start = bounds[2 * i] as number;
    const end = bounds[2 * i + 1] as number;
    writer.at += prefix.copy(bytes, writer.at);
    const from = writer.at;
    writer.at += body.copy(bytes, from, start, end);
    if (newlines) spaceOut(bytes, from, writer.at);
    writer.at += suffix.copy(bytes, writer.at);
  }
  return {
    payload: finishPayload(writer),
    count,
    body,
    bounds,
    errors,
  };
}

/** Calls `see` for each event in order, with its text as it was sent and what makes it unfit, if anything. */
export function visitEvents(
  { body, bounds, count, errors }: Batch,
  see: (text: () => string, error: RecordError | undefined) => void,
): void {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  for (let i = 0; i < count; i++) see(() => text.toString("utf8", bounds[2 * i], bounds[2 * i + 1]), errors?.get(i));
}

function exactly(check: RecordCheck, body: Buffer, bounds: Uint32Array, i: number): RecordError | undefined {
  const event = parseExact(body.toString("utf8", bounds[2 * i], bounds[2 * i + 1]));
  const error = check(event as Record<string, unknown>);
  return error === "exact" ? undefined : error;
}

const TIMED_END = Buffer.from("}\n");
const PLAIN_START = Buffer.alloc(0);
const PLAIN_END = Buffer.from("\n");

let prefixTime = Number.NaN;
let prefixBytes: Buffer = Buffer.alloc(0);
/** `{"t":…,"v":`, kept for the requests of one millisecond. */
function linePrefix(now: number): Buffer {
  if (now !== prefixTime) {
    prefixTime = now;
    prefixBytes = Buffer.from(`{"t":${now},"v":`);
  }
  return prefixBytes;
}

/** Newlines outside strings are white space to JSON, but the end of a line to the reader. */
function spaceOut(bytes: Buffer, from: number, to: number): void {
  for (let i = from; i < to; i++) if (bytes[i] === 0x0a || bytes[i] === 0x0d) bytes[i] = 0x20;
}

interface Scan {
  readonly bounds: Uint32Array;
  /** There are line breaks between tokens. */
  readonly newlines: boolean;
  /** There are escapes of surrogates, paired or not. */
  readonly surrogates: boolean;
}

const OTHER = 0;
const QUOTE = 1;
const OPEN = 2;
const CLOSE = 3;
const COMMA = 4;
const BREAK = 5;
const classes = new Uint8Array(256);
classes[0x22] = QUOTE;
classes[0x5b] = classes[0x7b] = OPEN;
classes[0x5d] = classes[0x7d] = CLOSE;
classes[0x2c] = COMMA;
classes[0x0a] = classes[0x0d] = BREAK;

/** Bounds of the elements of a JSON array that is known to be valid and to have `count` elements. */
function scan(body: Buffer, count: number): Scan {
  const bounds = new Uint32Array(2 * count);
  const length = body.length;
  let [depth, element, start] = [0, 0, 0];
  let [newlines, surrogates] = [false, false];
  const endElement = (end: number): void => {
    while ((body[start] as number) <= 0x20) start++;
    let last = end;
    while ((body[last - 1] as number) <= 0x20) last--;
    bounds[2 * element] = start;
    bounds[2 * element + 1] = last;
    element++;
    start = end + 1;
  };
  for (let i = 0; i < length; i++) {
    switch (classes[body[i] as number]) {
      case OTHER:
        break;
      case QUOTE:
        for (i++; ; i++) {
          const byte = body[i];
          if (byte === 0x22) break;
          if (byte === 0x5c) {
            i++;
            // \uD8.. to \uDF..
            if (body[i] === 0x75 && ((body[i + 1] as number) | 0x20) === 0x64 && (body[i + 2] as number) >= 0x38) surrogates = true;
          }
        }
        break;
      case OPEN:
        if (depth++ === 0) start = i + 1;
        else if (depth > DEPTH_MAX + 1) throw ingestError("tooDeep");
        break;
      case CLOSE:
        if (--depth === 0) endElement(i);
        break;
      case COMMA:
        if (depth === 1) endElement(i);
        break;
      case BREAK:
        newlines = true;
        break;
    }
  }
  if (element !== count) throw new Error(`scan of a body found ${element} of ${count} events`);
  return { bounds, newlines, surrogates };
}

/** No string in the value has half a surrogate pair: such text has no UTF-8 form. The value's depth is bounded by the scan. */
function isWellFormed(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (Array.isArray(value)) return value.every(isWellFormed);
  if (isObject(value)) return Object.entries(value).every(([key, member]) => key.isWellFormed() && isWellFormed(member));
  return true;
}
