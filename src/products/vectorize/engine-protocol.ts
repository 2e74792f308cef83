/** What the main thread asks of the threads that hold the indexes (`engine.ts`, `engine-thread.ts`). Plain data only. */

import type { Metric } from "../../kernel/vectors/codes.ts";
import type { Condition } from "./filter.ts";
import type { PropertyType } from "./mutation.ts";

/** An index, as far as a thread must know it. */
export interface EngineIndex {
  readonly id: string;
  readonly dimensions: number;
  readonly metric: Metric;
}

export interface IndexInfo {
  readonly vectors: number;
  /** The last mutation that took effect. */
  readonly mutation: string | null;
  /** Milliseconds since the epoch. */
  readonly processedAt: number | null;
}

export interface Property {
  readonly name: string;
  readonly type: PropertyType;
}

export interface StoredVector {
  readonly id: string;
  readonly namespace: string | null;
  readonly values: Float32Array;
  readonly metadata: string | null;
}

export interface Query {
  /** A vector, or the id of one that is stored. */
  readonly vector: Float32Array | string;
  readonly topK: number;
  readonly namespace: string | null;
  readonly filter: readonly Condition[];
  readonly returnValues: boolean;
  readonly returnMetadata: "none" | "indexed" | "all";
}

export interface Match {
  readonly id: string;
  readonly score: number;
  readonly namespace: string | null;
  readonly values?: Float32Array;
  /** JSON text. */
  readonly metadata?: string | null;
}

/** A page of a list: vectors as they were at `snapshot`, after the place `after`. */
export interface ListPage {
  readonly ids: readonly string[];
  readonly total: number;
  readonly snapshot: number;
  /** Where the next page begins; absent at the end. */
  readonly next?: number;
}

export interface Requests {
  /** Carries out mutations whose journal offsets begin at `offset`; those that the index has already are skipped. */
  apply: { ask: { offset: number; payloads: readonly Uint8Array[]; now: number; goneBefore: number }; answer: IndexInfo };
  info: { ask: Record<never, never>; answer: IndexInfo };
  properties: { ask: Record<never, never>; answer: readonly Property[] };
  /** Which of these namespaces the index does not have, and how many it has. */
  namespaces: { ask: { names: readonly string[] }; answer: { fresh: number; known: number } };
  get: { ask: { ids: readonly string[] }; answer: readonly StoredVector[] };
  query: { ask: { query: Query }; answer: readonly Match[] };
  list: { ask: { after: number; snapshot?: number; total?: number; count: number }; answer: ListPage };
  /** Closes the index's file and deletes it. */
  drop: { ask: Record<never, never>; answer: null };
}

export type Kind = keyof Requests;

/** The same with the index that each is about, as they go to the threads. */
export type IndexRequests = {
  readonly [K in Kind]: {
    readonly ask: { readonly index: EngineIndex; readonly ask: Requests[K]["ask"] };
    readonly answer: Requests[K]["answer"];
  };
};

/** Given to a thread when it starts. */
export interface ThreadData {
  readonly directory: string;
  readonly memoryBytes: number;
}
