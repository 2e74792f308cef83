/**
 * Vectors as clients send them: one JSON object a line, checked against the index and the documented limits. Uploads are
 * read line by line, as they come or as the file of a form (`multipart/form-data`), so that only vectors are kept in memory.
 */
import { vectorizeError } from "./errors.ts";
import { BATCH_MAX, ID_MAX_BYTES, METADATA_MAX_BYTES, NAMESPACE_MAX_BYTES } from "./limits.ts";
import type { Vector } from "./mutation.ts";

/** A vector of 1,536 numbers with all its metadata escaped fits several times. */
const LINE_MAX_BYTES = 1024 * 1024;

export interface UploadOptions {
  readonly dimensions: number;
  /** Of vectors in one upload. */
  readonly most?: number;
  /** Lines that are no vector are left out instead of refused. */
  readonly discardUnparsable?: boolean;
}

/** Reads an upload. Throws the errors of `parseVector`, `vectorize.tooMany`, `vectorize.emptyPayload`, `vectorize.unparsable`. */
export async function readVectors(
  chunks: AsyncIterable<Uint8Array>,
  contentType: string,
  { dimensions, most = BATCH_MAX, discardUnparsable = false }: UploadOptions,
): Promise<Vector[]> {
  const vectors: Vector[] = [];
  const boundary = /^multipart\/form-data\b.*?\bboundary="?([^";]+)"?/i.exec(contentType)?.[1];
  const lines = boundary === undefined ? linesOf(chunks) : linesOfForm(linesOf(chunks), boundary);
  for await (const line of lines) {
    if (line.trim() === "") continue;
    const value = parseLine(line);
    if (value === undefined) {
      if (discardUnparsable) continue;
      throw vectorizeError("unparsable", `failed to parse line ${vectors.length + 1} as JSON`);
    }
    vectors.push(parseVector(value, dimensions));
    if (vectors.length > most) throw vectorizeError("tooMany", `too many vectors in payload; max batch size is ${most}`);
  }
  if (vectors.length === 0) throw vectorizeError("emptyPayload");
  return vectors;
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Lines without their ends. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let begun: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let from = 0;
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, from)) {
      yield Buffer.concat([...begun, bytes.subarray(from, end)]).toString("utf8");
      begun = [];
      length = 0;
      from = end + 1;
    }
    begun.push(bytes.subarray(from));
    length += bytes.byteLength - from;
    if (length > LINE_MAX_BYTES) throw vectorizeError("unparsable", `a line is longer than ${LINE_MAX_BYTES} bytes`);
  }
  if (length > 0) yield Buffer.concat(begun).toString("utf8");
}

/** The lines inside the parts of a form: a part's head ends with an empty line, its body with the next boundary. */
async function* linesOfForm(lines: AsyncIterable<string>, boundary: string): AsyncGenerator<string> {
  let inBody = false;
  let inHead = false;
  for await (const line of lines) {
    if (line.startsWith(`--${boundary}`)) {
      if (line.startsWith(`--${boundary}--`)) return;
      inBody = false;
      inHead = true;
    } else if (inBody) yield line;
    else if (inHead && line.trim() === "") {
      inBody = true;
      inHead = false;
    }
  }
}

/** One vector. Throws `vectorize.invalidVector`, `vectorize.idTooLong`, … */
export function parseVector(value: unknown, dimensions: number): Vector {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw vectorizeError("unparsable", "a vector must be an object");
  const { id, values, namespace, metadata } = value as Record<string, unknown>;
  if (typeof id !== "string" || id === "") throw vectorizeError("unparsable", "a vector must have an id, a string that is not empty");
  checkId(id);
  if (namespace !== undefined && namespace !== null) checkNamespace(namespace);
  return {
    id,
    namespace: (namespace ?? null) as string | null,
    values: floats(values, dimensions, (got) => `invalid vector for id="${id}", ${got}`, "invalidVector"),
    metadata: metadataText(metadata, id),
  };
}

export function checkId(id: string): void {
  const bytes = Buffer.byteLength(id);
  if (bytes > ID_MAX_BYTES) throw vectorizeError("idTooLong", `id too long; max is ${ID_MAX_BYTES} bytes, got ${bytes} bytes`);
}

export function checkNamespace(namespace: unknown): asserts namespace is string {
  if (typeof namespace !== "string") throw vectorizeError("unparsable", "a namespace must be a string");
  const bytes = Buffer.byteLength(namespace);
  if (bytes > NAMESPACE_MAX_BYTES)
    throw vectorizeError("namespaceTooLong", `namespace too long; max is ${NAMESPACE_MAX_BYTES} bytes, got ${bytes} bytes`);
}

/** Numbers as 32-bit floats. `text` says which vector they belong to, around what is wrong. */
export function floats(
  values: unknown,
  dimensions: number,
  text: (what: string) => string,
  error: "invalidVector" | "queryDimensions",
): Float32Array {
  const given = Array.isArray(values) ? (values as unknown[]) : [];
  if (given.length !== dimensions)
    throw vectorizeError(error, text(`expected ${dimensions} dimensions, and got ${given.length} dimensions`));
  const result = new Float32Array(dimensions);
  for (let i = 0; i < dimensions; i++) {
    const number = given[i];
    // Numbers beyond the floats' range would become infinite.
    if (typeof number !== "number" || !Number.isFinite(Math.fround(number)))
      throw vectorizeError(error, text(`its value at position ${i} is no 32-bit number`));
    result[i] = number;
  }
  return result;
}

function metadataText(metadata: unknown, id: string): string | null {
  if (metadata === undefined || metadata === null) return null;
  if (typeof metadata !== "object" || Array.isArray(metadata))
    throw vectorizeError("unparsable", `metadata of id="${id}" must be an object`);
  checkKeys(metadata as Record<string, unknown>);
  const text = JSON.stringify(metadata);
  const bytes = Buffer.byteLength(text);
  if (bytes > METADATA_MAX_BYTES)
    throw vectorizeError("metadataTooLarge", `metadata of id="${id}" is too large; max is ${METADATA_MAX_BYTES} bytes, got ${bytes} bytes`);
  return text;
}

/** Keys at every level: nested ones are reached by filters, too. */
function checkKeys(metadata: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(metadata)) {
    if (key === "" || key.startsWith("$") || /[."]/.test(key))
      throw vectorizeError(
        "metadataKey",
        `invalid metadata key "${key.slice(0, 64)}": keys cannot be empty, contain "." or '"', or start with "$"`,
      );
    if (typeof value === "object" && value !== null && !Array.isArray(value)) checkKeys(value as Record<string, unknown>);
  }
}
