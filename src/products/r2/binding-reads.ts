/** The binding's reads: head, get, list. */
import type { ServerResponse } from "node:http";
import type { BlobRange } from "../../kernel/blobs/blobs.ts";
import { ConditionFailed, headResponse, sendJson } from "./binding-wire.ts";
import { type Condition, type Etag, evaluate } from "./conditions.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import { LIST_MAX } from "./limits.ts";
import { listObjects } from "./list.ts";
import type { Bucket, StoredObject } from "./model.ts";
import { wholeObject } from "./objects.ts";
import { sendBody } from "./send-body.ts";
import { getThrough, headThrough } from "./sippy-read.ts";
import { ssecKey } from "./ssec.ts";

/** 64-bit numbers are decimal text on the wire. */
type Wire64 = string | number;

export interface WireCondition {
  readonly etagMatches?: readonly Etag[];
  readonly etagDoesNotMatch?: readonly Etag[];
  readonly uploadedBefore?: Wire64;
  readonly uploadedAfter?: Wire64;
  readonly secondsGranularity?: boolean;
}

export interface WireSsec {
  /** Hex. */
  readonly key: string;
}

export type ReadRequest =
  | { readonly method: "head"; readonly object?: string }
  | {
      readonly method: "get";
      readonly object?: string;
      readonly range?: { readonly offset?: Wire64; readonly length?: Wire64; readonly suffix?: Wire64 };
      readonly rangeHeader?: string;
      readonly onlyIf?: WireCondition;
      readonly ssec?: WireSsec;
    }
  | {
      readonly method: "list";
      readonly limit?: number;
      readonly prefix?: string;
      readonly cursor?: string;
      readonly delimiter?: string;
      readonly startAfter?: string;
      /** 0: HTTP metadata, 1: custom metadata. */
      readonly include?: readonly number[];
      readonly newRuntime?: boolean;
    };

export const toCondition = (wire: WireCondition | undefined): Condition | undefined =>
  wire && {
    ...(wire.etagMatches && { etagMatches: wire.etagMatches }),
    ...(wire.etagDoesNotMatch && { etagDoesNotMatch: wire.etagDoesNotMatch }),
    ...(wire.uploadedBefore !== undefined && { uploadedBefore: Number(wire.uploadedBefore) }),
    ...(wire.uploadedAfter !== undefined && { uploadedAfter: Number(wire.uploadedAfter) }),
    secondsGranularity: wire.secondsGranularity ?? false,
  };

export const toSsecKey = (wire: WireSsec | undefined) => wire && ssecKey(Buffer.from(wire.key, "hex"));

/** workerd takes answers of at most 1 MiB of metadata. */
const LIST_MAX_BYTES = 900 * 1024;

export async function readBinding(r2: R2, bucket: Bucket, request: ReadRequest, response: ServerResponse): Promise<void> {
  switch (request.method) {
    case "head": {
      const object = await headThrough(r2, bucket, request.object ?? "");
      if (object === undefined) throw r2Error("noSuchKey");
      return sendJson(response, headResponse(object, { range: wholeObject(object) }));
    }
    case "get":
      return get(r2, bucket, request, response);
    case "list":
      return list(r2, bucket, request, response);
    default:
      throw r2Error("invalidArgument", "Metadata missing or invalid");
  }
}

async function get(r2: R2, bucket: Bucket, request: ReadRequest & { method: "get" }, response: ServerResponse): Promise<void> {
  const condition = toCondition(request.onlyIf);
  const choose = (object: StoredObject): BlobRange => {
    if (condition !== undefined && evaluate(condition, object) !== "holds") throw new ConditionFailed(object);
    return bindingRange(request, object.size);
  };
  const opened = await getThrough(r2, bucket, request.object ?? "", choose, { key: toSsecKey(request.ssec) });
  if (opened?.body === undefined) throw r2Error("noSuchKey");
  const { object, body, range } = opened;
  const metadata = Buffer.from(JSON.stringify(headResponse(object, { range })));
  response.setHeader("cf-r2-metadata-size", metadata.length);
  response.setHeader("content-type", "application/octet-stream");
  response.setHeader("content-length", metadata.length + range.length);
  await sendBody(body, range.length, response, metadata);
}

/** Ranges of the binding are cut to the object; a header that is not one range means the whole. */
export function bindingRange(
  request: { range?: { offset?: Wire64; length?: Wire64; suffix?: Wire64 }; rangeHeader?: string },
  size: number,
): BlobRange {
  const number = (value: Wire64 | undefined) => (value === undefined ? undefined : Number(value));
  if (request.rangeHeader !== undefined) return headerRange(request.rangeHeader, size);
  if (request.range === undefined) return { offset: 0, length: size };
  const suffix = number(request.range.suffix);
  if (suffix !== undefined) {
    if (suffix <= 0) throw r2Error("invalidRange");
    return { offset: size - Math.min(suffix, size), length: Math.min(suffix, size) };
  }
  const offset = number(request.range.offset) ?? 0;
  const length = number(request.range.length) ?? size - offset;
  if (offset > size || length <= 0) throw r2Error("invalidRange");
  return { offset, length: Math.min(length, size - offset) };
}

function headerRange(header: string, size: number): BlobRange {
  const whole = { offset: 0, length: size };
  const match = /^ *bytes *= *(\d*) *- *(\d*) *$/i.exec(header);
  if (match === null || (match[1] === "" && match[2] === "")) return whole;
  if (match[1] === "") {
    const suffix = Math.min(Number(match[2]), size);
    return suffix === 0 ? whole : { offset: size - suffix, length: suffix };
  }
  const start = Number(match[1]);
  const end = match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  return start >= size || end < start ? whole : { offset: start, length: end - start + 1 };
}

async function list(r2: R2, bucket: Bucket, request: ReadRequest & { method: "list" }, response: ServerResponse): Promise<void> {
  // Runtimes from before `include` was honoured expect everything.
  const include = request.newRuntime ? (request.include ?? []) : [0, 1];
  const shape = { http: include.includes(0), custom: include.includes(1) };
  const wire: Record<string, unknown>[] = [];
  let bytes = 0;
  const page = await listObjects(r2, bucket, {
    prefix: request.prefix,
    delimiter: request.delimiter,
    startAfter: request.startAfter,
    cursor: request.cursor,
    limit: request.limit ?? LIST_MAX,
    full: (object) => {
      const item = headResponse(object, shape);
      bytes += Buffer.byteLength(JSON.stringify(item)) + 1;
      if (bytes > LIST_MAX_BYTES && wire.length > 0) return true;
      wire.push(item);
      return false;
    },
  });
  sendJson(response, {
    objects: wire.slice(0, page.objects.length),
    truncated: page.truncated,
    ...(page.cursor !== undefined && { cursor: page.cursor }),
    delimitedPrefixes: page.prefixes,
  });
}
