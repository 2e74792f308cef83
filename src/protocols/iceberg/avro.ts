/**
 * Avro object container files, as Iceberg's manifests use them: header with metadata, blocks, a codec. Records are
 * written by `avsc` and read by `avro-reader.ts`; the framing is ours because the header must carry the schema *with* its
 * field ids and further keys.
 * Longs are numbers while they are safe integers and `bigint` beyond (snapshot ids).
 */
import { createHash } from "node:crypto";
import { deflateRawSync, inflateRawSync, zstdDecompressSync } from "node:zlib";
import avsc from "avsc";
import { avroReader, Cursor } from "./avro-reader.ts";
import { corrupt } from "./errors.ts";
import { snappyDecompress } from "./snappy.ts";

/** An Avro schema as JSON, with Iceberg's extra attributes (`field-id`, …). */
export type AvroSchema = string | readonly AvroSchema[] | { readonly type: unknown; readonly [attribute: string]: unknown };

const MAGIC = Buffer.from("Obj\u0001", "latin1");
const SYNC_BYTES = 16;
/** Uncompressed bytes of one block that we write. */
const BLOCK_BYTES = 64 * 1024;
/** Largest block that we read, uncompressed: a bound against hostile files. */
const BLOCK_MAX_BYTES = 256 * 1024 * 1024;

// --- longs -------------------------------------------------------------------------------------------------

type Long = number | bigint;

/** Zigzag varint of any 64-bit integer. */
function encodeLong(value: Long): Buffer {
  let n = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n));
  const bytes: number[] = [];
  while (n > 0x7fn) {
    bytes.push(Number(n & 0x7fn) | 0x80);
    n >>= 7n;
  }
  bytes.push(Number(n));
  return Buffer.from(bytes);
}

const longType = avsc.types.LongType.__with(
  {
    fromBuffer: (bytes: Buffer) => new Cursor(bytes).long(),
    toBuffer: encodeLong,
    isValid: (value: unknown) => typeof value === "bigint" || Number.isSafeInteger(value),
    fromJSON: (value: Long) => value,
    toJSON: (value: Long) => value,
    compare: (a: Long, b: Long) => (a < b ? -1 : a > b ? 1 : 0),
  },
  true,
);

/** The coder of a schema. Attributes that Avro does not know are ignored, logical types are left as their bare types. */
function coder(schema: AvroSchema): avsc.Type {
  const options: Parameters<typeof avsc.Type.forSchema>[1] = {
    wrapUnions: "never",
    omitRecordMethods: true,
    typeHook: (s: unknown) =>
      s === "long" || (typeof s === "object" && s !== null && "type" in s && s.type === "long") ? longType : undefined,
  };
  return avsc.Type.forSchema(schema as avsc.Schema, options);
}

// --- reading -----------------------------------------------------------------------------------------------

export interface AvroFile<Records = readonly Record<string, unknown>[]> {
  readonly schema: AvroSchema;
  /** All keys of the header but Avro's own. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly records: Records;
}

/** Changes a schema before records are decoded with it, for example to name record members by field id. The layout must stay the same. */
type Rename = (schema: AvroSchema) => AvroSchema;

/** Reads a whole container file. Throws `corrupt`. */
export function readAvroFile(bytes: Uint8Array, rename?: Rename): AvroFile {
  const file = openAvroFile(bytes, rename);
  return { ...file, records: [...file.records] };
}

/** Reads the header; records are decoded, once, as they are taken. That throws `corrupt` too. */
export function openAvroFile(bytes: Uint8Array, rename: Rename = (schema) => schema): AvroFile<Generator<Record<string, unknown>>> {
  return readable(() => {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (!buffer.subarray(0, 4).equals(MAGIC)) throw new Error("it does not begin with Avro's magic bytes");
    const cursor = new Cursor(buffer);
    cursor.take(MAGIC.length);
    const header = headerMap(cursor);
    const sync = cursor.take(SYNC_BYTES);
    const codec = header.get("avro.codec")?.toString("utf8") ?? "null";
    const schemaText = header.get("avro.schema");
    if (schemaText === undefined) throw new Error("the header has no schema");
    const schema = JSON.parse(schemaText.toString("utf8")) as AvroSchema;
    const metadata = new Map([...header].filter(([key]) => !key.startsWith("avro.")).map(([key, value]) => [key, value.toString("utf8")]));
    return { schema, metadata, records: readRecords(cursor, avroReader(rename(schema)), codec, sync) };
  });
}

function* readRecords(
  cursor: Cursor,
  read: ReturnType<typeof avroReader>,
  codec: string,
  sync: Buffer,
): Generator<Record<string, unknown>> {
  while (!cursor.atEnd) {
    const { count, block } = readable(() => {
      const count = cursor.count();
      const bytes = decompress(codec, cursor.take(cursor.count()));
      // A record that takes no byte could be there a billion times.
      if (count < 0 || count > bytes.length) throw new Error("a block has more records than bytes");
      const block = new Cursor(bytes);
      if (!cursor.take(SYNC_BYTES).equals(sync)) throw new Error("a sync marker is wrong");
      return { count, block };
    });
    for (let i = 0; i < count; i++) yield readable(() => read(block)) as Record<string, unknown>;
  }
}

function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw corrupt(`Cannot read Avro file: ${(cause as Error).message}`, { cause });
  }
}

function decompress(codec: string, data: Buffer): Buffer {
  const options = { maxOutputLength: BLOCK_MAX_BYTES };
  switch (codec) {
    case "null":
      return data;
    case "deflate":
      return inflateRawSync(data, options);
    case "zstandard":
      return zstdDecompressSync(data, options);
    case "snappy":
      // Avro's snappy blocks end with a CRC-32 of the uncompressed bytes.
      return snappyDecompress(data.subarray(0, -4), BLOCK_MAX_BYTES);
    default:
      throw new Error(`codec ${codec} is not supported`);
  }
}

/** The header's keys and values. */
function headerMap(cursor: Cursor): Map<string, Buffer> {
  const map = new Map<string, Buffer>();
  for (let count = cursor.items(); count > 0; count = cursor.items())
    for (let i = 0; i < count; i++) map.set(cursor.text(), cursor.take(cursor.count()));
  return map;
}

// --- writing -----------------------------------------------------------------------------------------------

/** A container file with deflate blocks. Equal input gives equal bytes. */
export function writeAvroFile(schema: AvroSchema, metadata: Readonly<Record<string, string>>, records: readonly object[]): Buffer {
  const schemaText = JSON.stringify(schema);
  const type = coder(schema);
  const header = { ...metadata, "avro.schema": schemaText, "avro.codec": "deflate" };
  const entries = Object.entries(header);
  // The marker only has to be unlikely inside the data; derived, so that files are reproducible.
  const sync = createHash("sha256").update(JSON.stringify(entries)).digest().subarray(0, SYNC_BYTES);
  const parts: Buffer[] = [MAGIC, encodeLong(entries.length)];
  for (const [key, value] of entries) parts.push(...lengthPrefixed(key), ...lengthPrefixed(value));
  parts.push(encodeLong(0), sync);
  let block: Buffer[] = [];
  let blockBytes = 0;
  const flush = (): void => {
    if (block.length === 0) return;
    const data = deflateRawSync(Buffer.concat(block));
    parts.push(encodeLong(block.length), encodeLong(data.length), data, sync);
    block = [];
    blockBytes = 0;
  };
  for (const record of records) {
    const bytes = type.toBuffer(record);
    block.push(bytes);
    blockBytes += bytes.length;
    if (blockBytes >= BLOCK_BYTES) flush();
  }
  flush();
  return Buffer.concat(parts);
}

function lengthPrefixed(text: string): [Buffer, Buffer] {
  const bytes = Buffer.from(text, "utf8");
  return [encodeLong(bytes.length), bytes];
}
