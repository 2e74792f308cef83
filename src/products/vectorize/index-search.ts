/**
 * Search in one index. Codes of the vectors (`codes.ts`) and columns of their namespaces and indexed metadata are scanned
 * in memory, and of whatever may be among the nearest the stored values give the true score. An index that is too large
 * for its memory is scanned piece by piece from its file.
 */

import { Candidates } from "../../kernel/vectors/candidates.ts";
import type { Metric } from "../../kernel/vectors/codes.ts";
import { Codes, codeBytes } from "../../kernel/vectors/codes.ts";
import type { DotKernel } from "../../kernel/vectors/dot-kernel.ts";
import type { EngineIndex, Match, Query } from "./engine-protocol.ts";
import { type Condition, type Indexed, satisfies } from "./filter.ts";
import { type Follower, floatsOf, type IndexedValues, type IndexStore, type NumberedProperty, type VectorRow } from "./index-store.ts";
import type { Vector } from "./mutation.ts";

/** Of a namespace and a slot in the columns' arrays. */
const ROW_BYTES = 16;
const PROPERTY_BYTES = 8;
/** Slots of one piece of an index that is not held in memory. */
const PIECE_SLOTS = 4096;
/** Without `returnValues` the true score is looked up for so many vectors: documented as approximate. */
const looks = (topK: number): number => Math.max(100, 8 * topK);

/** A range of slots in memory. */
class Piece implements Follower {
  readonly codes: Codes;
  readonly #first: number;
  readonly #namespaces: (string | null)[] = [];
  readonly #columns = new Map<number, Indexed[]>();

  constructor(dimensions: number, first: number) {
    this.codes = new Codes(dimensions, first);
    this.#first = first;
  }

  set(slot: number, { values, namespace }: Pick<Vector, "values" | "namespace">, indexed: IndexedValues): void {
    const at = slot - this.#first;
    this.codes.set(slot, values);
    this.#namespaces[at] = namespace;
    for (const column of this.#columns.values()) column[at] = null;
    for (const [number, value] of Object.entries(indexed)) {
      let column = this.#columns.get(Number(number));
      if (column === undefined) {
        column = [];
        this.#columns.set(Number(number), column);
      }
      column[at] = value;
    }
  }

  clear(slot: number): void {
    this.codes.clear(slot);
  }

  load(row: VectorRow): void {
    const indexed = row.indexed === null ? {} : (JSON.parse(row.indexed) as IndexedValues);
    this.set(row.slot, { values: floatsOf(row.embedding), namespace: row.namespace }, indexed);
  }

  /** Which slots the query is about; undefined for all. */
  wanted(namespace: string | null, filter: readonly Condition[], properties: readonly NumberedProperty[]) {
    const conditions = filter.map((condition) => {
      const number = properties.find(({ name }) => name === condition.property)?.number;
      return { condition, column: number === undefined ? undefined : this.#columns.get(number) };
    });
    if (namespace === null && conditions.length === 0) return undefined;
    return (slot: number): boolean => {
      const at = slot - this.#first;
      if (namespace !== null && this.#namespaces[at] !== namespace) return false;
      return conditions.every(({ condition, column }) => satisfies(condition, column?.[at] ?? null));
    };
  }
}

export class IndexSearch {
  readonly #index: EngineIndex;
  readonly #store: IndexStore;
  readonly #kernel: DotKernel;
  #resident: Piece | undefined;

  constructor(index: EngineIndex, store: IndexStore, kernel: DotKernel) {
    this.#index = index;
    this.#store = store;
    this.#kernel = kernel;
  }

  /** What it takes to hold the index in memory. */
  get bytesNeeded(): number {
    const perVector = codeBytes(this.#index.dimensions) + ROW_BYTES + PROPERTY_BYTES * this.#store.properties.length;
    return this.#store.slots * perVector;
  }

  /** What it takes now. */
  get bytes(): number {
    return this.#resident === undefined ? 0 : this.bytesNeeded;
  }

  /** Hears of changes while the index is in memory. */
  get follower(): Follower | undefined {
    return this.#resident;
  }

  unload(): void {
    this.#resident = undefined;
  }

  load(): void {
    this.#resident ??= this.#read(0, this.#store.slots);
  }

  search(query: Query): Match[] {
    const vector = typeof query.vector === "string" ? this.#store.get([query.vector])[0]?.values : query.vector;
    if (vector === undefined) return [];
    const candidates = new Candidates(query.topK);
    for (const piece of this.#pieces()) {
      const wanted = piece.wanted(query.namespace, query.filter, this.#store.properties);
      candidates.add(piece.codes.estimate(this.#kernel, this.#index.metric, vector, wanted));
    }
    const slots = candidates.slots(query.returnValues ? undefined : looks(query.topK));
    const scored = slots.flatMap((slot) => {
      const row = this.#store.row(slot);
      if (row === undefined) return [];
      const values = floatsOf(row.embedding);
      return [{ row, values, distance: distance(this.#index.metric, vector, values) }];
    });
    scored.sort((a, b) => a.distance - b.distance || (a.row.id < b.row.id ? -1 : 1));
    return scored.slice(0, query.topK).map(({ row, values, distance: far }) => ({
      id: row.id,
      score: score(this.#index.metric, far),
      namespace: row.namespace,
      ...(query.returnValues && { values }),
      ...(query.returnMetadata === "all" && { metadata: row.metadata }),
      ...(query.returnMetadata === "indexed" && { metadata: this.#indexedMetadata(row) }),
    }));
  }

  *#pieces(): Generator<Piece> {
    if (this.#resident !== undefined) return yield this.#resident;
    for (let from = 0; from < this.#store.slots; from += PIECE_SLOTS) yield this.#read(from, from + PIECE_SLOTS);
  }

  #read(from: number, to: number): Piece {
    const piece = new Piece(this.#index.dimensions, from);
    for (const row of this.#store.rows(from, to)) piece.load(row);
    return piece;
  }

  /** Indexed values in the shape that they have in the metadata. */
  #indexedMetadata({ indexed }: VectorRow): string | null {
    if (indexed === null) return null;
    const values = JSON.parse(indexed) as IndexedValues;
    const metadata: Record<string, unknown> = {};
    for (const { number, name } of this.#store.properties) {
      const value = values[number];
      if (value === undefined) continue;
      const steps = name.split(".");
      let at = metadata;
      for (const step of steps.slice(0, -1)) {
        at[step] ??= {};
        at = at[step] as Record<string, unknown>;
      }
      at[steps.at(-1) as string] = value;
    }
    return JSON.stringify(metadata);
  }
}

/** Smaller is nearer: the negative cosine, the square of the distance, the negative product. */
function distance(metric: Metric, a: Float32Array, b: Float32Array): number {
  let dot = 0;
  let aa = 0;
  let bb = 0;
  let far = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i] as number;
    const y = b[i] as number;
    dot += x * y;
    aa += x * x;
    bb += y * y;
    far += (x - y) * (x - y);
  }
  if (metric === "euclidean") return far;
  if (metric === "dot-product") return -dot;
  return aa === 0 || bb === 0 ? 0 : -dot / Math.sqrt(aa * bb);
}

/** As the real service prints scores: 32 bits wide. For dot products the documented negative product. */
function score(metric: Metric, far: number): number {
  const value = metric === "cosine" ? -far : metric === "euclidean" ? Math.sqrt(far) : far;
  // Adding zero makes the negative zero of an orthogonal vector a plain one.
  return Number(Math.fround(value).toPrecision(9)) + 0;
}
