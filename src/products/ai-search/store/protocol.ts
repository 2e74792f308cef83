/** What the main thread asks of the threads that hold instances' files (`engine.ts`, `thread.ts`). Plain data only. */
import type { FilterCondition } from "../filter.ts";

export type ItemStatus = "queued" | "running" | "completed" | "error" | "skipped" | "outdated";

/** Something of the source, as a scan finds it. */
export interface Found {
  /** Key of an object, or a URL. */
  readonly key: string;
  readonly size: number | null;
  /** Tells versions apart; null for pages, whose `modified` and `everyMs` say when they are to be looked at again. */
  readonly etag: string | null;
  /** Milliseconds since the epoch, when it is known. */
  readonly modified: number | null;
  readonly everyMs?: number;
  /** Order of work, the lowest first. */
  readonly rank: number;
  /** Why it is not to be indexed. */
  readonly refused?: { readonly status: "skipped" | "error"; readonly reason: string };
}

export interface Item {
  readonly id: string;
  readonly source: string;
  readonly key: string;
  readonly status: ItemStatus;
  readonly error: string | null;
  readonly etag: string | null;
  /** The version whose chunks are here. */
  readonly indexed: string | null;
  readonly size: number | null;
  readonly modified: number;
  readonly created: number;
  readonly seen: number;
  readonly chunks: number | null;
  /** JSON text. */
  readonly metadata: string | null;
}

export interface NewChunk {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** What an item is from now on: the chunks of its earlier version go in the same moment. */
export interface Indexed {
  readonly item: string;
  readonly etag: string | null;
  readonly size: number;
  readonly modified: number;
  readonly metadata: string | null;
  readonly chunks: readonly NewChunk[];
  /** The chunks' vectors one behind the other; null without an index of vectors. */
  readonly vectors: Float32Array | null;
  readonly dimensions: number;
  /** A page as it was fetched, to be kept. */
  readonly file?: { readonly type: string; readonly bytes: Uint8Array };
  readonly tookMs: number;
}

export interface ItemQuery {
  readonly search?: string;
  readonly key?: string;
  readonly id?: string;
  readonly source?: string;
  readonly status?: ItemStatus;
  readonly filter: readonly FilterCondition[];
  readonly byTime: boolean;
  readonly offset: number;
  readonly limit: number;
}

export interface ItemLog {
  readonly at: number;
  readonly action: string;
  readonly message: string | null;
  readonly errorType: string | null;
  readonly chunks: number | null;
  readonly tookMs: number | null;
}

export interface SearchAsk {
  readonly vector: Float32Array | null;
  /** Words to look for; null: by vector alone. */
  readonly words: string | null;
  readonly anyWord: boolean;
  readonly tokenizer: Tokenizer;
  readonly filter: readonly FilterCondition[];
  readonly limit: number;
  /** Of the vectors' scores, from 0 to 1. */
  readonly threshold: number;
  readonly fusion: "rrf" | "max";
  /** Chunks beside each that are added to its text. */
  readonly expansion: number;
}

export type Tokenizer = "porter" | "trigram";

export interface Hit {
  readonly id: string;
  readonly item: string;
  readonly key: string;
  readonly folder: string;
  readonly modified: number;
  readonly metadata: string | null;
  readonly text: string;
  readonly score: number;
  readonly vectorScore?: number;
  readonly vectorRank?: number;
  readonly wordScore?: number;
  readonly wordRank?: number;
}

export interface StoreStats {
  readonly counts: Readonly<Partial<Record<ItemStatus, number>>>;
  readonly vectors: number;
  readonly dimensions: number;
  readonly bytes: number;
  readonly files: number;
}

export interface KeptAnswer {
  readonly answer: string;
  readonly expires: number;
}

/** All are about one instance, whose file `uid` names. */
export interface Requests {
  /** Notes what a scan found; resolves with how many of it are new or changed. */
  scan: {
    ask: { uid: string; source: string; run: string; now: number; found: readonly Found[] };
    answer: { due: number; refused: number };
  };
  /** Removes items of the source that the scan did not see, some at a time; resolves with their keys. */
  sweep: { ask: { uid: string; source: string; run: string; limit: number }; answer: readonly string[] };
  /** Uploaded files that failed are to be tried again. */
  retry: { ask: { uid: string }; answer: null };
  /** Work that was under way when the platform ended is to be done again. */
  requeue: { ask: { uid: string }; answer: { waiting: number } };
  /** Items that wait, in their order; they are "running" from now on. */
  take: { ask: { uid: string; limit: number }; answer: readonly Item[] };
  index: { ask: { uid: string; now: number; indexed: Indexed }; answer: null };
  /** The version that was fetched is the one that is indexed already. */
  unchanged: { ask: { uid: string; now: number; item: string; modified: number }; answer: null };
  fail: {
    ask: { uid: string; now: number; item: string; status: "error" | "skipped" | "queued"; reason: string; etag: string | null };
    answer: null;
  };
  /** Has items indexed again: one of them, or all. */
  outdate: { ask: { uid: string; item: string | null }; answer: null };
  add: {
    ask: { uid: string; now: number; source: string; found: Found; metadata: string | null; file?: { type: string; bytes: Uint8Array } };
    answer: Item;
  };
  remove: { ask: { uid: string; item: string }; answer: { key: string } | null };
  item: { ask: { uid: string; item: string }; answer: Item | null };
  items: { ask: { uid: string; query: ItemQuery }; answer: { items: readonly Item[]; total: number } };
  file: { ask: { uid: string; item: string }; answer: { type: string; bytes: Uint8Array } | null };
  chunks: {
    ask: { uid: string; item: string; offset: number; limit: number };
    answer: { chunks: readonly (NewChunk & { id: string })[]; total: number };
  };
  logs: {
    ask: { uid: string; item: string; before: number | null; limit: number };
    answer: { logs: readonly ItemLog[]; next: number | null };
  };
  stats: { ask: { uid: string }; answer: StoreStats };
  search: { ask: { uid: string; search: SearchAsk }; answer: readonly Hit[] };
  /** An answer to a like query under the same conditions (`scope`), which is still true. */
  findAnswer: { ask: { uid: string; scope: string; shingles: readonly number[]; least: number; now: number }; answer: string | null };
  keepAnswer: {
    ask: {
      uid: string;
      scope: string;
      shingles: readonly number[];
      answer: string;
      chunks: readonly string[];
      expires: number;
      now: number;
    };
    answer: null;
  };
  drop: { ask: { uid: string }; answer: null };
}

/** Given to a thread when it starts. */
export interface ThreadData {
  readonly directory: string;
  readonly memoryBytes: number;
  readonly answersMax: number;
}
