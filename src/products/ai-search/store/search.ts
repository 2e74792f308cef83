/**
 * Search in one instance: nearest vectors, words by BM25, or both fused. Conditions on items are met before anything is
 * ranked. Codes of the vectors are scanned in memory (`kernel/vectors`), those of an instance that is too large piece by piece
 * from its file, and of whatever may be among the nearest the stored values give the true score.
 */
import { Candidates } from "../../../kernel/vectors/candidates.ts";
import { Codes, codeBytes } from "../../../kernel/vectors/codes.ts";
import type { DotKernel } from "../../../kernel/vectors/dot-kernel.ts";
import { conditionsSql } from "./conditions.ts";
import type { Hit, SearchAsk } from "./protocol.ts";
import { chunkId, type Follower, type Store } from "./store.ts";

/** Slots of one piece of an index that is not held in memory. */
const PIECE_SLOTS = 4096;
/** Of reciprocal ranks, as the method has it. */
const RRF_K = 60;
/** Each side of a fusion gives more than is asked for, since the other side may put it first. */
const FUSION_DEPTH = 4;
const WORDS_MAX = 64;

interface Ranked {
  readonly slot: number;
  readonly score: number;
}

interface ChunkRow {
  readonly slot: number;
  readonly item: number;
  readonly number: number;
  readonly text: string;
  readonly id: string;
  readonly key: string;
  readonly folder: string;
  readonly modified: number;
  readonly metadata: string | null;
}

const floatsOf = (bytes: Uint8Array): Float32Array =>
  bytes.byteOffset % 4 === 0
    ? new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
    : new Float32Array(bytes.slice().buffer);

export class Search {
  readonly #store: Store;
  readonly #kernel: DotKernel;
  #resident: Codes | undefined;

  constructor(store: Store, kernel: DotKernel) {
    this.#store = store;
    this.#kernel = kernel;
  }

  /** What it takes to hold the vectors in memory. */
  get bytesNeeded(): number {
    return this.#store.slots * codeBytes(this.#store.dimensions);
  }

  get bytes(): number {
    return this.#resident === undefined ? 0 : this.bytesNeeded;
  }

  unload(): void {
    this.#resident = undefined;
    this.#store.follower = undefined;
  }

  load(): void {
    if (this.#resident !== undefined || this.#store.dimensions === 0) return;
    const codes = this.#read(0, this.#store.slots);
    this.#resident = codes;
    const follower: Follower = { set: (slot, values) => codes.set(slot, values), clear: (slot) => slot < codes.end && codes.clear(slot) };
    this.#store.follower = follower;
  }

  search(ask: SearchAsk): Hit[] {
    const chosen = this.#chosen(ask);
    const depth = ask.vector !== null && ask.words !== null ? ask.limit * FUSION_DEPTH : ask.limit;
    const near = ask.vector === null ? [] : this.#nearest(ask.vector, depth, chosen).filter(({ score }) => score >= ask.threshold);
    const worded = ask.words === null ? [] : this.#worded(ask, depth);
    return this.#hits(ask, near, worded);
  }

  /** Slots that the conditions leave; undefined: all. */
  #chosen({ filter, vector }: SearchAsk): ((slot: number) => boolean) | undefined {
    if (filter.length === 0 || vector === null) return undefined;
    const { text, parameters } = conditionsSql(filter);
    const bits = new Uint8Array(this.#store.slots);
    const rows = this.#store.db.prepare(`SELECT slot FROM chunks WHERE item IN (SELECT number FROM items WHERE ${text})`);
    for (const { slot } of rows.iterate(...parameters) as Iterable<{ slot: number }>) bits[slot] = 1;
    return (slot) => bits[slot] === 1;
  }

  #nearest(vector: Float32Array, count: number, chosen?: (slot: number) => boolean): Ranked[] {
    if (vector.length !== this.#store.dimensions) return [];
    const candidates = new Candidates(count);
    for (const codes of this.#pieces()) candidates.add(codes.estimate(this.#kernel, "cosine", vector, chosen));
    const scored = candidates.slots().flatMap((slot): Ranked[] => {
      const row = this.#store.get<{ embedding: Uint8Array | null }>("SELECT embedding FROM chunks WHERE slot = ?", slot);
      return row?.embedding ? [{ slot, score: cosine(vector, floatsOf(row.embedding)) }] : [];
    });
    return scored.sort((a, b) => b.score - a.score || a.slot - b.slot).slice(0, count);
  }

  *#pieces(): Generator<Codes> {
    if (this.#resident !== undefined) return yield this.#resident;
    for (let from = 0; from < this.#store.slots; from += PIECE_SLOTS) yield this.#read(from, from + PIECE_SLOTS);
  }

  #read(from: number, to: number): Codes {
    const codes = new Codes(this.#store.dimensions, from);
    const rows = this.#store.db.prepare("SELECT slot, embedding FROM chunks WHERE slot >= ? AND slot < ? AND embedding IS NOT NULL");
    for (const { slot, embedding } of rows.iterate(from, to) as Iterable<{ slot: number; embedding: Uint8Array }>)
      codes.set(slot, floatsOf(embedding));
    return codes;
  }

  #worded({ words, anyWord, tokenizer, filter }: SearchAsk, count: number): Ranked[] {
    const match = matchOf(words as string, anyWord, tokenizer);
    if (match === undefined) return [];
    const table = tokenizer === "trigram" ? "words_trigram" : "words_porter";
    const { text, parameters } = conditionsSql(filter);
    const narrowed =
      filter.length === 0 ? "" : `AND rowid IN (SELECT slot FROM chunks WHERE item IN (SELECT number FROM items WHERE ${text}))`;
    const rows = this.#store.db
      .prepare(`SELECT rowid AS slot, bm25(${table}) AS rank FROM ${table} WHERE ${table} MATCH ? ${narrowed} ORDER BY rank, rowid LIMIT ?`)
      .all(match, ...parameters, count) as { slot: number; rank: number }[];
    // BM25 has no greatest value: brought to between 0 and 1, in the same order.
    return rows.map(({ slot, rank }) => ({ slot, score: -rank / (1 - rank) }));
  }

  #hits(ask: SearchAsk, near: readonly Ranked[], worded: readonly Ranked[]): Hit[] {
    const found = new Map<number, { vector?: Ranked & { rank: number }; word?: Ranked & { rank: number } }>();
    for (const [at, one] of near.entries()) found.set(one.slot, { vector: { ...one, rank: at + 1 } });
    for (const [at, one] of worded.entries()) found.set(one.slot, { ...found.get(one.slot), word: { ...one, rank: at + 1 } });
    const both = ask.vector !== null && ask.words !== null;
    const fused = [...found].map(([slot, { vector, word }]) => {
      const score =
        both && ask.fusion === "rrf"
          ? (reciprocal(vector?.rank) + reciprocal(word?.rank)) / (2 * reciprocal(1))
          : Math.max(vector?.score ?? 0, word?.score ?? 0);
      return { slot, score, vector, word };
    });
    fused.sort((a, b) => b.score - a.score || (b.vector?.score ?? 0) - (a.vector?.score ?? 0) || a.slot - b.slot);
    return fused.slice(0, ask.limit).flatMap(({ slot, score, vector, word }): Hit[] => {
      const row = this.#store.get<ChunkRow>(
        "SELECT slot, item, chunks.number AS number, text, id, key, folder, modified, metadata FROM chunks JOIN items ON items.number = chunks.item WHERE slot = ?",
        slot,
      );
      if (row === undefined) return [];
      return [
        {
          ...{
            id: chunkId(row.id, row.number),
            item: row.id,
            key: row.key,
            folder: row.folder,
            modified: row.modified,
            metadata: row.metadata,
          },
          ...{ text: ask.expansion === 0 ? row.text : this.#expanded(row, ask.expansion), score },
          ...(vector && { vectorScore: vector.score, vectorRank: vector.rank }),
          ...(word && { wordScore: word.score, wordRank: word.rank }),
        },
      ];
    });
  }

  /** The chunk with those beside it, what they share once. */
  #expanded({ item, number }: ChunkRow, expansion: number): string {
    const rows = this.#store.all<{ text: string; start: number; end: number }>(
      'SELECT text, start, "end" FROM chunks WHERE item = ? AND number BETWEEN ? AND ? ORDER BY number',
      ...[item, number - expansion, number + expansion],
    );
    let end = rows[0]?.start ?? 0;
    let whole = "";
    for (const { text, start, end: to } of rows) {
      whole += start > end ? `\n\n${text}` : text.slice(end - start);
      end = to;
    }
    return whole;
  }
}

const reciprocal = (rank: number | undefined): number => (rank === undefined ? 0 : 1 / (RRF_K + rank));

/** The query's words in the syntax of FTS5: quoted, so that no operator of a user's gets in. */
function matchOf(words: string, any: boolean, tokenizer: SearchAsk["tokenizer"]): string | undefined {
  const found = [...new Set(words.match(/[\p{L}\p{M}\p{N}_]+/gu) ?? [])].filter((word) => tokenizer === "porter" || word.length > 2);
  return found.length === 0
    ? undefined
    : found
        .slice(0, WORDS_MAX)
        .map((word) => `"${word}"`)
        .join(any ? " OR " : " AND ");
}

function cosine(a: Float32Array, b: Float32Array): number {
  let dot = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i] as number;
    const y = b[i] as number;
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa === 0 || bb === 0 ? 0 : Number((dot / Math.sqrt(aa * bb)).toPrecision(7));
}
