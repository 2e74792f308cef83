/**
 * Dropped events by type and text. Texts follow from the schema (a field and what was wrong with it), so there are few of
 * them; past `TEXTS_MAX` the rest is counted by type alone, so that no input makes the tally grow.
 */
import type { RecordError } from "./record-check.ts";

export interface Dropped extends RecordError {
  readonly count: number;
}

const TEXTS_MAX = 100;

export class DropTally {
  readonly #byText = new Map<string, { -readonly [K in keyof Dropped]: Dropped[K] }>();

  add({ type, message }: RecordError, count = 1): void {
    const name = `${type} ${message}`;
    const known = this.#byText.get(name);
    if (known !== undefined) known.count += count;
    else if (this.#byText.size < TEXTS_MAX || message === OTHER) this.#byText.set(name, { type, message, count });
    else this.add({ type, message: OTHER }, count);
  }

  list(): Dropped[] {
    return [...this.#byText.values()];
  }
}

const OTHER = "more kinds of errors than are told apart";
