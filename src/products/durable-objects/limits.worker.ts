/**
 * Documented limits of Durable Object storage that workerd itself does not enforce: 128 keys a call; for classes with
 * key-value storage keys of 2 KiB and values of 128 KiB, for others values and rows of 2 MB and a database of 10 GB.
 * `main-module.ts` puts this module before the user's classes. It wraps methods of workerd's own storage prototypes once
 * per isolate; objects and values stay workerd's own.
 */
const BATCH_MAX = 128;
const LEGACY_KEY_MAX_BYTES = 2048;
const LEGACY_VALUE_MAX_BYTES = 131_072;

type Method = (this: object, ...args: unknown[]) => unknown;
type Storage = Record<string, Method>;

export interface Limits {
  /** Key-value storage alone. */
  readonly legacy: boolean;
  /** Bytes of the whole database, and of one value or row. */
  readonly objectMax: number;
  readonly valueMax: number;
}

interface Limited extends Limits {
  /** Bytes that the object's database has now. */
  size(): number;
}

/** By storage object, and by what hangs on one: `sql`, `kv`, transactions. */
const limitsOf = new WeakMap<object, Limited>();
const patched = new WeakSet<object>();

function checkKey({ legacy }: Limited, key: unknown): void {
  if (!legacy || typeof key !== "string") return;
  const size = bytesOf(key);
  if (size > LEGACY_KEY_MAX_BYTES)
    throw new RangeError(`Keys cannot be larger than ${LEGACY_KEY_MAX_BYTES} bytes. A key of size ${size} was provided.`);
}

function checkPair(limits: Limited, key: unknown, value: unknown): void {
  checkKey(limits, key);
  const size = estimatedBytes(value);
  const max = limits.legacy ? LEGACY_VALUE_MAX_BYTES : limits.valueMax - bytesOf(String(key));
  if (size > max) throw new RangeError(`Values cannot be larger than ${max} bytes. A value of size ${size} was provided.`);
}

/** A full database takes nothing more, but what makes it smaller. */
function checkRoom({ legacy, objectMax, size }: Limited): void {
  if (!legacy && size() >= objectMax) throw new Error("database or disk is full: SQLITE_FULL");
}

const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

/** About the size of a value's structured clone. */
export function estimatedBytes(value: unknown, seen = new Set<object>()): number {
  if (typeof value === "string") return 4 + value.length * (/[^\0-\xff]/.test(value) ? 2 : 1);
  if (typeof value !== "object" || value === null) return 9;
  if (seen.has(value)) return 5;
  seen.add(value);
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return 16 + value.byteLength;
  const parts = value instanceof Map || value instanceof Set ? [...value].flat() : Object.entries(value).flat();
  return parts.reduce((sum: number, part) => sum + estimatedBytes(part, seen), 8);
}

type Check = (limits: Limited, args: unknown[]) => void;

const checkKeys: Check = (limits, [keys]) => {
  if (Array.isArray(keys) && keys.length > BATCH_MAX) throw new RangeError(`Maximum number of keys is ${BATCH_MAX}.`);
  for (const key of Array.isArray(keys) ? keys : [keys]) checkKey(limits, key);
};

const checkPut: Check = (limits, [first, second]) => {
  checkRoom(limits);
  const entries = typeof first === "object" && first !== null ? Object.entries(first) : [[first, second]];
  if (typeof first === "object" && entries.length > BATCH_MAX) throw new RangeError(`Maximum number of pairs is ${BATCH_MAX}.`);
  for (const [key, value] of entries) checkPair(limits, key, value);
};

/** Statements that a full database still takes; a comment or WITH before another hides it, and is refused. */
const SHRINKS = /^\s*(SELECT|DELETE|DROP|PRAGMA|EXPLAIN)\b/i;

const checkStatement: Check = (limits, [sql, ...values]) => {
  const size = values.reduce((sum: number, value) => sum + estimatedBytes(value), 0);
  if (size > limits.valueMax) throw new Error("string or blob too big: SQLITE_TOOBIG");
  if (typeof sql === "string" && !SHRINKS.test(sql)) checkRoom(limits);
};

/** Puts checks before the methods of a prototype. `refuse` makes of an error what the method would have given. */
function patch(prototype: Storage, checks: Readonly<Record<string, Check>>, refuse: (error: unknown) => unknown): void {
  if (patched.has(prototype)) return;
  patched.add(prototype);
  for (const [name, check] of Object.entries(checks)) {
    const original = prototype[name] as Method;
    prototype[name] = function (this: object, ...args: unknown[]): unknown {
      const limits = limitsOf.get(this);
      try {
        if (limits !== undefined) check(limits, args);
      } catch (error) {
        return refuse(error);
      }
      return original.apply(this, args);
    };
  }
}

const prototypeOf = (value: object): Storage => Object.getPrototypeOf(value) as Storage;
const patchAsync = (prototype: Storage): void =>
  patch(prototype, { get: checkKeys, delete: checkKeys, put: checkPut }, (error) => Promise.reject(error));
const patchSync = (prototype: Storage, checks: Readonly<Record<string, Check>>): void =>
  patch(prototype, checks, (error) => {
    throw error;
  });

function limit(storage: object, options: Limits): void {
  const sql = options.legacy ? undefined : (storage as DurableObjectStorage).sql;
  const limits: Limited = { ...options, size: () => sql?.databaseSize ?? 0 };
  limitsOf.set(storage, limits);
  if (sql !== undefined) {
    const { kv } = storage as DurableObjectStorage;
    for (const part of [sql, kv]) limitsOf.set(part, limits);
    patchSync(prototypeOf(sql), { exec: checkStatement });
    patchSync(prototypeOf(kv), { put: checkPut });
  }
  const prototype = prototypeOf(storage);
  if (patched.has(prototype)) return;
  patchAsync(prototype);
  const transaction = prototype.transaction as Method;
  prototype.transaction = function (this: object, work: unknown, ...rest: unknown[]): unknown {
    const limits = limitsOf.get(this);
    const wrapped = (inner: object): unknown => {
      if (limits !== undefined) limitsOf.set(inner, limits);
      patchAsync(prototypeOf(inner));
      return (work as (inner: object) => unknown)(inner);
    };
    return transaction.call(this, wrapped, ...rest);
  };
}

type Constructor = new (ctx: { storage: object }, env: unknown) => object;

/** The user's class with the limits; same name, same prototype chain but for one link. */
export function limited(base: Constructor, limits: Limits): Constructor {
  const { [base.name]: named } = {
    [base.name]: class extends base {
      constructor(ctx: { storage: object }, env: unknown) {
        limit(ctx.storage, limits);
        super(ctx, env);
      }
    },
  };
  return named as Constructor;
}
