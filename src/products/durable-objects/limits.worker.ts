/**
 * Documented limits of Durable Object storage that workerd itself does not enforce: 128 keys a call; for classes with
 * key-value storage keys of 2 KiB and values of 128 KiB. `main-module.ts` puts this module before the user's classes. It
 * wraps methods of workerd's own storage prototypes once per isolate; objects and values stay workerd's own.
 */
const BATCH_MAX = 128;
const LEGACY_KEY_MAX_BYTES = 2048;
const LEGACY_VALUE_MAX_BYTES = 131_072;

type Method = (this: object, ...args: unknown[]) => unknown;
type Storage = Record<string, Method>;

/** Storage objects of classes with key-value storage; their limits are narrower. */
const legacy = new WeakSet<object>();
const patched = new WeakSet<object>();

function checkKey(self: object, key: unknown): void {
  if (!legacy.has(self) || typeof key !== "string") return;
  const size = new TextEncoder().encode(key).length;
  if (size > LEGACY_KEY_MAX_BYTES)
    throw new RangeError(`Keys cannot be larger than ${LEGACY_KEY_MAX_BYTES} bytes. A key of size ${size} was provided.`);
}

function checkValue(self: object, value: unknown): void {
  if (!legacy.has(self)) return;
  const size = estimate(value, new Set());
  if (size > LEGACY_VALUE_MAX_BYTES) {
    throw new RangeError(`Values cannot be larger than ${LEGACY_VALUE_MAX_BYTES} bytes. A value of size ${size} was provided.`);
  }
}

/** About the size of a value's structured clone. */
function estimate(value: unknown, seen: Set<object>): number {
  if (typeof value === "string") return 4 + value.length * (/[^\0-\xff]/.test(value) ? 2 : 1);
  if (typeof value !== "object" || value === null) return 9;
  if (seen.has(value)) return 5;
  seen.add(value);
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return 16 + value.byteLength;
  const parts = value instanceof Map || value instanceof Set ? [...value].flat() : Object.entries(value).flat();
  return parts.reduce((sum: number, part) => sum + estimate(part, seen), 8);
}

const checks: Record<string, (self: object, args: unknown[]) => void> = {
  get(self, [keys]) {
    if (Array.isArray(keys) && keys.length > BATCH_MAX) throw new RangeError(`Maximum number of keys is ${BATCH_MAX}.`);
    for (const key of Array.isArray(keys) ? keys : [keys]) checkKey(self, key);
  },
  delete(self, args) {
    (checks.get as (self: object, args: unknown[]) => void)(self, args);
  },
  put(self, [first, second]) {
    if (typeof first !== "object" || first === null) {
      checkKey(self, first);
      checkValue(self, second);
      return;
    }
    const entries = Object.entries(first);
    if (entries.length > BATCH_MAX) throw new RangeError(`Maximum number of pairs is ${BATCH_MAX}.`);
    for (const [key, value] of entries) {
      checkKey(self, key);
      checkValue(self, value);
    }
  },
};

function patch(prototype: Storage): void {
  if (patched.has(prototype)) return;
  patched.add(prototype);
  for (const [name, check] of Object.entries(checks)) {
    const original = prototype[name] as Method;
    prototype[name] = function (this: object, ...args: unknown[]): unknown {
      try {
        check(this, args);
      } catch (error) {
        // These methods are asynchronous: their errors are rejections.
        return Promise.reject(error);
      }
      return original.apply(this, args);
    };
  }
}

function limit(storage: object, isLegacy: boolean): void {
  if (isLegacy) legacy.add(storage);
  const prototype = Object.getPrototypeOf(storage) as Storage;
  if (patched.has(prototype)) return;
  patch(prototype);
  const transaction = prototype.transaction as Method;
  prototype.transaction = function (this: object, work: unknown, ...rest: unknown[]): unknown {
    const wrapped = (inner: object): unknown => {
      if (legacy.has(this)) legacy.add(inner);
      patch(Object.getPrototypeOf(inner) as Storage);
      return (work as (inner: object) => unknown)(inner);
    };
    return transaction.call(this, wrapped, ...rest);
  };
}

type Constructor = new (ctx: { storage: object }, env: unknown) => object;

/** The user's class with the limits; same name, same prototype chain but for one link. */
export function limited(base: Constructor, isLegacy: boolean): Constructor {
  const { [base.name]: named } = {
    [base.name]: class extends base {
      constructor(ctx: { storage: object }, env: unknown) {
        limit(ctx.storage, isLegacy);
        super(ctx, env);
      }
    },
  };
  return named as Constructor;
}
