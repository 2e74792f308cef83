/**
 * Reads Avro's binary values by a schema: planning a query over a hundred thousand files decodes millions of them. A schema
 * becomes a function that reads one value and moves on. An array of pairs of an integer and something, which is how Iceberg
 * writes maps by column, is passed over and read when it is asked (`Pairs`). Bytes are views of the block; longs are numbers
 * while they are safe integers, else `bigint`. Nothing is read past the block's end, and no count makes it read more than the block could hold.
 */
import type { AvroSchema } from "./avro.ts";

/** Where in a block the next value begins. */
export class Cursor {
  readonly bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  get atEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  /** The next bytes, as a view. */
  take(length: number): Buffer {
    const start = this.at;
    if (length < 0 || start + length > this.bytes.length) throw new Error("it is cut short");
    this.at = start + length;
    return this.bytes.subarray(start, this.at);
  }

  /** Leaves bytes out. */
  pass(length: number): void {
    if (length < 0 || this.at + length > this.bytes.length) throw new Error("it is cut short");
    this.at += length;
  }

  byte(): number {
    if (this.at >= this.bytes.length) throw new Error("it is cut short");
    return this.bytes[this.at++] as number;
  }

  /** A zigzag varint of at most 64 bits. */
  long(): number | bigint {
    let low = 0;
    let factor = 1;
    // Seven groups of seven bits are 49: whole in a number.
    for (let group = 0; group < 7; group++) {
      const byte = this.byte();
      low += (byte & 0x7f) * factor;
      if (byte < 0x80) return low % 2 === 0 ? low / 2 : -(low + 1) / 2;
      factor *= 128;
    }
    let high = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.byte();
      high |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) break;
      if (shift >= 14n) throw new Error("a number is too long");
    }
    const n = (high << 49n) | BigInt(low);
    const value = BigInt.asIntN(64, (n >> 1n) ^ -(n & 1n));
    return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
  }

  /** A long that is a count or a length. */
  count(): number {
    const value = this.long();
    if (typeof value !== "number") throw new Error("a length is too large");
    return value;
  }

  text(): string {
    const length = this.count();
    const start = this.at;
    if (length < 0 || start + length > this.bytes.length) throw new Error("it is cut short");
    this.at = start + length;
    return this.bytes.toString("utf8", start, this.at);
  }

  /** Number of items of the next block of an array or a map; 0 after the last. */
  items(): number {
    let count = this.count();
    // A negative count is followed by the block's size in bytes.
    if (count < 0) {
      count = -count;
      this.count();
    }
    // An item that takes no byte would be worth nothing, and could be there a billion times.
    if (count > this.bytes.length - this.at) throw new Error("it has more items than bytes");
    return count;
  }
}

type Read = (cursor: Cursor) => unknown;
type Pass = (cursor: Cursor) => void;

/** A map as it lies in the block: most of what manifests say of columns is never asked for. */
export class Pairs<Value = unknown> implements ReadonlyMap<number, Value> {
  readonly #bytes: Buffer;
  readonly #start: number;
  readonly #end: number;
  readonly #key: Read;
  readonly #value: Read;
  readonly #pass: Pass;

  constructor(cursor: Cursor, key: Read, value: Read, pass: Pass) {
    this.#bytes = cursor.bytes;
    this.#key = key;
    this.#value = value;
    this.#pass = pass;
    this.#start = cursor.at;
    for (let count = cursor.items(); count > 0; count = cursor.items()) {
      for (let i = 0; i < count; i++) {
        key(cursor);
        pass(cursor);
      }
    }
    this.#end = cursor.at;
  }

  /** Of the map as it is written. */
  get byteLength(): number {
    return this.#end - this.#start;
  }

  get size(): number {
    let size = 0;
    for (const _ of this) size++;
    return size;
  }

  get(wanted: number): Value | undefined {
    const cursor = new Cursor(this.#bytes, this.#start);
    for (let count = cursor.items(); count > 0; count = cursor.items()) {
      for (let i = 0; i < count; i++) {
        if (this.#key(cursor) === wanted) return this.#value(cursor) as Value;
        this.#pass(cursor);
      }
    }
    return undefined;
  }

  has(wanted: number): boolean {
    for (const [key] of this) if (key === wanted) return true;
    return false;
  }

  forEach(each: (value: Value, key: number, map: ReadonlyMap<number, Value>) => void): void {
    for (const [key, value] of this) each(value, key, this);
  }

  *keys(): Generator<number, undefined> {
    for (const [key] of this) yield key;
  }

  *values(): Generator<Value, undefined> {
    for (const [, value] of this) yield value;
  }

  *entries(): Generator<[number, Value], undefined> {
    const cursor = new Cursor(this.#bytes, this.#start);
    for (let count = cursor.items(); count > 0; count = cursor.items())
      for (let i = 0; i < count; i++) yield [this.#key(cursor) as number, this.#value(cursor) as Value];
  }

  [Symbol.iterator](): Generator<[number, Value], undefined> {
    return this.entries();
  }

  /** Whether both are written alike; then they are equal. */
  isAlike(other: Pairs): boolean {
    return this.#bytes.compare(other.#bytes, other.#start, other.#end, this.#start, this.#end) === 0;
  }
}

type Named = Map<string, Read>;
interface Field {
  readonly name: string;
  readonly type: AvroSchema;
}
type Complex = Readonly<Record<string, unknown>> & { readonly type: unknown };

const primitives: Readonly<Record<string, Read>> = {
  null: () => null,
  boolean: (cursor) => cursor.byte() !== 0,
  int: (cursor) => cursor.count(),
  long: (cursor) => cursor.long(),
  float: (cursor) => cursor.take(4).readFloatLE(0),
  double: (cursor) => cursor.take(8).readDoubleLE(0),
  bytes: (cursor) => cursor.take(cursor.count()),
  string: (cursor) => cursor.text(),
};

/** The function that reads a value of the schema. Throws for a schema that is none. */
export function avroReader(schema: AvroSchema): Read {
  return readerOf(schema, new Map());
}

function readerOf(schema: unknown, named: Named): Read {
  if (typeof schema === "string") {
    const read = Object.hasOwn(primitives, schema) ? primitives[schema] : named.get(schema);
    if (read === undefined) throw new Error(`the schema has no type ${schema}`);
    return read;
  }
  if (Array.isArray(schema)) return unionReader(schema.map((branch) => readerOf(branch, named)));
  const complex = schema as Complex;
  switch (complex?.type) {
    case "record":
      return recordReader(complex, named);
    case "enum": {
      const symbols = complex.symbols as string[];
      return register(complex, named, (cursor) => symbols[cursor.count()]);
    }
    case "fixed": {
      const size = Number(complex.size);
      return register(complex, named, (cursor) => cursor.take(size));
    }
    case "array":
      return arrayReader(complex.items, named);
    case "map": {
      const value = readerOf(complex.values, named);
      return (cursor) => {
        const entries: [string, unknown][] = [];
        for (let count = cursor.items(); count > 0; count = cursor.items())
          for (let i = 0; i < count; i++) entries.push([cursor.text(), value(cursor)]);
        return Object.fromEntries(entries);
      };
    }
    default:
      // A type with attributes, or one inside another.
      return readerOf(complex?.type, named);
  }
}

function register(schema: Complex, named: Named, read: Read): Read {
  const space = typeof schema.namespace === "string" ? `${schema.namespace}.` : "";
  for (const name of [String(schema.name), space + String(schema.name)]) named.set(name, read);
  return read;
}

/** Nearly all unions are of null and one other type. */
function unionReader(branches: readonly Read[]): Read {
  return (cursor) => {
    const branch = branches[cursor.count()];
    if (branch === undefined) throw new Error("a union has no such branch");
    return branch(cursor);
  };
}

function recordReader(schema: Complex, named: Named): Read {
  const reads: Read[] = [];
  const names: string[] = [];
  const read = register(schema, named, (cursor) => {
    const record: Record<string, unknown> = {};
    for (let i = 0; i < reads.length; i++) record[names[i] as string] = (reads[i] as Read)(cursor);
    return record;
  });
  // A record may contain itself: it has its name before its members are looked at.
  for (const field of schema.fields as Field[]) {
    names.push(field.name);
    reads.push(readerOf(field.type, named));
  }
  return read;
}

function arrayReader(items: unknown, named: Named): Read {
  const pair = pairOf(items);
  if (pair !== undefined) {
    const [key, value] = pair.map((field) => readerOf(field.type, named)) as [Read, Read];
    const pass: Pass = pair[1]?.type === "bytes" ? (cursor) => cursor.pass(cursor.count()) : value;
    return (cursor) => new Pairs(cursor, key, value, pass);
  }
  const item = readerOf(items, named);
  return (cursor) => {
    const list: unknown[] = [];
    for (let count = cursor.items(); count > 0; count = cursor.items()) for (let i = 0; i < count; i++) list.push(item(cursor));
    return list;
  };
}

/** Members of a pair of an integer and something else: of Iceberg's maps by column. */
function pairOf(items: unknown): readonly Field[] | undefined {
  const { type, fields } = (items ?? {}) as { type?: unknown; fields?: readonly Field[] };
  return type === "record" && fields?.length === 2 && fields[0]?.type === "int" ? fields : undefined;
}
