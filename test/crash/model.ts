/**
 * What the platform must hold, kept by the test beside it. A write that was acknowledged must be there; one that was sent
 * and not acknowledged may be there or not, but whole. Nothing else may be there.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";

/** The content of a value as the model remembers it. */
export const digestOf = (bytes: Uint8Array): string => `${bytes.byteLength}:${createHash("sha256").update(bytes).digest("hex")}`;

/** A store of values by key. Each key has one writer at a time, which leaves a key alone after a write that failed. */
export class Registers {
  readonly name: string;
  #possible = new Map<string, Set<string | null>>();
  acknowledged = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** Called before the write is sent. Null: the key is deleted. */
  sent(key: string, value: string | null): void {
    const possible = this.#possible.get(key);
    if (possible === undefined) this.#possible.set(key, new Set([null, value]));
    else possible.add(value);
  }

  acknowledge(key: string, value: string | null): void {
    this.#possible.set(key, new Set([value]));
    this.acknowledged++;
  }

  keys(): string[] {
    return [...this.#possible.keys()];
  }

  /** Compares, and from now on expects what was found: a write that was lost must not come back. */
  check(key: string, found: string | null): void {
    const possible = this.#possible.get(key);
    assert.ok(possible?.has(found), `${this.name}: ${key} holds ${found}; possible are ${[...(possible ?? [])].join(", ")}`);
    this.#possible.set(key, new Set([found]));
  }

  /** No name that was never written, and every name that must have a value. */
  checkNames(names: readonly string[]): void {
    assert.equal(new Set(names).size, names.length, `${this.name}: a name is listed twice`);
    for (const name of names) {
      const possible = this.#possible.get(name);
      assert.ok(possible !== undefined, `${this.name}: ${name} is listed, but was never written`);
      assert.ok(
        [...possible].some((value) => value !== null),
        `${this.name}: ${name} is listed, but was deleted`,
      );
    }
    const listed = new Set(names);
    for (const [key, possible] of this.#possible) {
      if (!possible.has(null)) assert.ok(listed.has(key), `${this.name}: ${key} is not listed`);
    }
  }
}

/** A Durable Object that numbers operations. */
export class Numbers {
  readonly name: string;
  #sent = new Set<string>();
  #acknowledged = new Map<string, number>();
  #given = new Map<number, string>();

  constructor(name: string) {
    this.name = name;
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  sent(id: string): void {
    this.#sent.add(id);
  }

  acknowledge(id: string, n: number): void {
    assert.equal(this.#given.get(n), undefined, `${this.name}: ${id} was given ${n}, which was given before`);
    this.#given.set(n, id);
    this.#acknowledged.set(id, n);
  }

  check(found: readonly { readonly id: string; readonly n: number }[]): void {
    const numbers = new Map(found.map(({ id, n }) => [id, n]));
    for (const [id, n] of this.#acknowledged) assert.equal(numbers.get(id), n, `${this.name}: the number of ${id}, which was acknowledged`);
    for (const [i, { id, n }] of found.entries()) {
      assert.ok(this.#sent.has(id), `${this.name}: ${id} was never sent`);
      assert.equal(n, i + 1, `${this.name}: numbers have holes`);
    }
  }
}

/** Messages with numbers for ids: each that was acknowledged to its sender comes, once or more often. */
export class Deliveries {
  #nextId = 0;
  #waiting = new Set<number>();
  #seen = new Set<number>();
  #acknowledged = 0;

  get acknowledged(): number {
    return this.#acknowledged;
  }

  take(count: number): number[] {
    return Array.from({ length: count }, () => this.#nextId++);
  }

  acknowledge(ids: readonly number[]): void {
    for (const id of ids) this.#waiting.add(id);
    this.#acknowledged += ids.length;
  }

  /** A message that came; it may come again, and before its sender has heard of it. */
  delivered(id: number): void {
    assert.ok(Number.isInteger(id) && id >= 0 && id < this.#nextId, `message ${id} was never sent`);
    this.#seen.add(id);
  }

  /** Acknowledged to their senders, and not delivered yet. */
  missing(): number[] {
    for (const id of this.#waiting) if (this.#seen.has(id)) this.#waiting.delete(id);
    return [...this.#waiting];
  }
}

/** Events with numbers for ids, on their way into a table that must hold each once. */
export class Events {
  #nextId = 0;
  #acknowledged = new Set<number>();

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  /** Ids below this were given out. */
  get end(): number {
    return this.#nextId;
  }

  take(count: number): number[] {
    return Array.from({ length: count }, () => this.#nextId++);
  }

  acknowledge(ids: readonly number[]): void {
    for (const id of ids) this.#acknowledged.add(id);
  }

  /** `found`: the ids of all rows. */
  check(found: readonly number[]): void {
    const ids = new Set(found);
    const repeated = found.length - ids.size;
    const missing = [...this.#acknowledged].filter((id) => !ids.has(id));
    const unknown = [...ids].filter((id) => id < 0 || id >= this.#nextId);
    assert.deepEqual(
      { repeated, missing: missing.slice(0, 20), missingCount: missing.length, unknown },
      { repeated: 0, missing: [], missingCount: 0, unknown: [] },
      "the table holds each acknowledged event once",
    );
  }
}
