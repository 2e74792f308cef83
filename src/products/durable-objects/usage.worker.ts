/**
 * Counts what the objects of this process use, by part of a namespace: invocations, the time they are active, rows, and
 * subrequests. Runs before the user's classes (`main-module.ts`); `usage.ts` takes the sums from time to time. It wraps
 * methods of workerd's own storage once per isolate, after they have done their work: nothing that user code gets differs.
 * https://developers.cloudflare.com/durable-objects/platform/pricing/
 */
import { estimatedBytes } from "./limits.worker.ts";
import type { InvocationSums, PartUsage, UsageSums } from "./remote-protocol.worker.ts";

type Method = (this: object, ...args: unknown[]) => unknown;
type Prototype = Record<string, Method>;

/** Cursors of one object that are looked at again, because they may still be read from. */
const CURSORS_MAX = 64;
/** A unit of key-value storage. */
const UNIT_BYTES = 4096;

interface Watched {
  readonly cursor: { readonly rowsRead: number; readonly rowsWritten: number };
  read: number;
  written: number;
}

class PartTally {
  readonly invocations = new Map<string, InvocationSums>();
  readonly sums: UsageSums = {
    activeMs: 0,
    rowsRead: 0,
    rowsWritten: 0,
    storageReadUnits: 0,
    storageWriteUnits: 0,
    storageDeletes: 0,
    subrequests: 0,
  };
}

let parts = new Map<string, PartTally>();

/** What was counted since the last call. */
export function takeUsage(): PartUsage[] {
  const taken = [...parts].map(([part, { invocations, sums }]) => ({ part, invocations: [...invocations.values()], sums }));
  parts = new Map();
  return taken;
}

/** What one live object uses. Its cursors can be asked in its own events alone. */
export class ObjectUsage {
  readonly sqlite: boolean;
  readonly #part: string;
  #cursors: Watched[] = [];
  #lookAt = CURSORS_MAX;

  constructor(part: string, sqlite: boolean) {
    this.#part = part;
    this.sqlite = sqlite;
  }

  get sums(): UsageSums {
    return this.#tally.sums;
  }

  get #tally(): PartTally {
    const known = parts.get(this.#part);
    if (known !== undefined) return known;
    const tally = new PartTally();
    parts.set(this.#part, tally);
    return tally;
  }

  invoked(type: string, status: string, wallMs: number, responseBytes: number): void {
    const { invocations } = this.#tally;
    const key = `${type} ${status}`;
    const known = invocations.get(key);
    if (known === undefined) invocations.set(key, { type, status, requests: 1, wallMs, responseBytes });
    else {
      known.requests++;
      known.wallMs += wallMs;
      known.responseBytes += responseBytes;
    }
  }

  /** A cursor's rows are known only when it has been read to its end. */
  watch(cursor: Watched["cursor"]): void {
    if (this.#cursors.push({ cursor, read: 0, written: 0 }) >= this.#lookAt) this.look();
  }

  /** Counts the rows of cursors since the last look, and forgets those that nobody reads any more. */
  look(): void {
    const { sums } = this;
    this.#cursors = this.#cursors.filter((watched) => {
      const { rowsRead, rowsWritten } = watched.cursor;
      const moved = rowsRead !== watched.read || rowsWritten !== watched.written;
      sums.rowsRead += rowsRead - watched.read;
      sums.rowsWritten += rowsWritten - watched.written;
      watched.read = rowsRead;
      watched.written = rowsWritten;
      return moved;
    });
    this.#lookAt = this.#cursors.length + CURSORS_MAX;
  }

  /** The object has nothing in hand any more. */
  rested(activeMs: number): void {
    if (this.#cursors.length > 0) this.look();
    this.#cursors = [];
    this.sums.activeMs += activeMs;
  }
}

/** By storage object, and by what hangs on one: `sql`, `kv`, transactions. */
const usageOf = new WeakMap<object, ObjectUsage>();
const patched = new WeakSet<object>();

type Count = (usage: ObjectUsage, result: unknown, args: unknown[]) => void;

function patch(prototype: Prototype, counts: Readonly<Record<string, Count>>): void {
  if (patched.has(prototype)) return;
  patched.add(prototype);
  for (const [name, count] of Object.entries(counts)) {
    const original = prototype[name] as Method;
    prototype[name] = function (this: object, ...args: unknown[]): unknown {
      const result = original.apply(this, args);
      const usage = usageOf.get(this);
      if (usage !== undefined) count(usage, result, args);
      return result;
    };
  }
}

const many = (keys: unknown): number => (Array.isArray(keys) ? keys.length : 1);
const entriesOf = ([first, second]: unknown[]): unknown[] =>
  typeof first === "object" && first !== null ? Object.values(first) : [second];
const units = (value: unknown): number => Math.max(1, Math.ceil(estimatedBytes(value) / UNIT_BYTES));
/** What fails has read nothing. */
const whenRead = (result: unknown, count: (value: unknown) => void): void => void (result as Promise<unknown>).then(count, () => undefined);

/** The asynchronous API: rows of the hidden table of a class with SQLite, units of one with key-value storage. */
const asyncCounts: Readonly<Record<string, Count>> = {
  get(usage, result, [keys]) {
    if (usage.sqlite) usage.sums.rowsRead += many(keys);
    else
      whenRead(result, (value) => {
        const values = Array.isArray(keys) ? [...(value as Map<string, unknown>).values()] : [value];
        // A key without a value is a unit.
        const missing = many(keys) - values.length;
        usage.sums.storageReadUnits += values.reduce<number>((sum, one) => sum + units(one), missing);
      });
  },
  list(usage, result) {
    whenRead(result, (value) => {
      if (usage.sqlite) usage.sums.rowsRead += (value as Map<string, unknown>).size;
      else usage.sums.storageReadUnits += units(value);
    });
  },
  put(usage, _result, args) {
    const values = entriesOf(args);
    if (usage.sqlite) usage.sums.rowsWritten += values.length;
    else for (const value of values) usage.sums.storageWriteUnits += units(value);
  },
  delete(usage, _result, [keys]) {
    if (usage.sqlite) usage.sums.rowsWritten += many(keys);
    else usage.sums.storageDeletes += many(keys);
  },
  setAlarm(usage) {
    if (usage.sqlite) usage.sums.rowsWritten++;
    else usage.sums.storageWriteUnits++;
  },
};

const syncCounts: Readonly<Record<string, Count>> = {
  get: (usage) => void usage.sums.rowsRead++,
  put: (usage) => void usage.sums.rowsWritten++,
  delete: (usage) => void usage.sums.rowsWritten++,
  list(usage, result) {
    const rows = result as Iterator<unknown>;
    const next = rows.next;
    Object.defineProperty(rows, "next", {
      value() {
        const step = next.call(rows);
        if (step.done !== true) usage.sums.rowsRead++;
        return step;
      },
    });
  },
};

const prototypeOf = (value: object): Prototype => Object.getPrototypeOf(value) as Prototype;

/** Begins to count for an object, before its constructor runs. */
export function meter(storage: DurableObjectStorage, part: string, sqlite: boolean): ObjectUsage {
  const usage = new ObjectUsage(part, sqlite);
  usageOf.set(storage, usage);
  if (sqlite) {
    for (const inner of [storage.sql, storage.kv]) usageOf.set(inner, usage);
    patch(prototypeOf(storage.sql), { exec: (own, cursor) => own.watch(cursor as Watched["cursor"]) });
    patch(prototypeOf(storage.kv), syncCounts);
  }
  const prototype = prototypeOf(storage);
  if (patched.has(prototype)) return usage;
  patch(prototype, asyncCounts);
  const transaction = prototype.transaction as Method;
  prototype.transaction = function (this: object, work: unknown, ...rest: unknown[]): unknown {
    const own = usageOf.get(this);
    const wrapped = (inner: object): unknown => {
      if (own !== undefined) usageOf.set(inner, own);
      patch(prototypeOf(inner), asyncCounts);
      return (work as (inner: object) => unknown)(inner);
    };
    return transaction.call(this, wrapped, ...rest);
  };
  return usage;
}

/** Counts `fetch()` of the global scope, and that of stubs and service bindings, for the object that calls it. */
export function countSubrequests(fetcher: object | undefined, current: () => ObjectUsage | undefined): void {
  for (const holder of [globalThis, fetcher] as (Prototype | undefined)[]) {
    if (holder === undefined || patched.has(holder)) continue;
    patched.add(holder);
    const original = holder.fetch as Method;
    holder.fetch = function (this: object, ...args: unknown[]): unknown {
      const usage = current();
      if (usage !== undefined) usage.sums.subrequests++;
      return original.apply(this, args);
    };
  }
}

/** Bytes of a response's body where that is known without reading it, as it is of all but streams; otherwise 0. */
export function bodyBytes(answer: unknown): number {
  if (!(answer instanceof Response) || answer.body === null) return 0;
  const length = lengthOf(answer.body) ?? answer.headers.get("content-length") ?? 0;
  return Number(length);
}

/** What workerd shows of a stream to `console.log`, under a symbol of its own. */
let lengthSymbol: symbol | undefined;
function lengthOf(body: ReadableStream): unknown {
  const prototype = Object.getPrototypeOf(body) as Record<symbol, unknown>;
  lengthSymbol ??= Object.getOwnPropertySymbols(prototype).find(({ description }) => description === "length");
  return lengthSymbol === undefined ? undefined : (body as unknown as Record<symbol, unknown>)[lengthSymbol];
}
