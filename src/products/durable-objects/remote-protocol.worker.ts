/** What the platform's own Workers around Durable Objects say to each other. */

/** Which object: a stub cannot cross processes as a value, so that each call says it. */
export interface ObjectName {
  readonly id: string;
  /** The name that the id was made of, when it is known. */
  readonly name?: string | undefined;
  /** The part of the namespace that has it. */
  readonly jurisdiction?: Jurisdiction | undefined;
}

export type Jurisdiction = "eu" | "fedramp";

/** Header of a `fetch()` to an object: an `ObjectName` as JSON, percent-encoded. */
export const OBJECT_HEADER = "x-freehold-object";

/** An object of a process: the name of its class in the process, which tells the part of the namespace, and its id. */
export interface LiveObject {
  readonly part: string;
  readonly id: string;
}

/** An object as the platform's files name it: the part of a namespace, and its id. */
export interface ObjectKey {
  readonly part: string;
  readonly id: string;
}

/** Name in `env` of the way to the platform for point-in-time recovery; user code does not get to see it. */
export const RECOVERY_BINDING = "@recovery";

/** Of a process whose Worker has another version deployed beside it: prefix of the namespaces of that one's objects, and which are its own. */
export const ELSEWHERE = "elsewhere:";
export const OWN_SHARE = "@share";

/** Entrypoint of the user's Worker that lists live objects, and what resets one; no user can write them as names in a class. */
export const ALIVE_ENTRYPOINT = "@alive";
export const RESET_METHOD = "@reset";
export const QUERY_METHOD = "@query";
export const DELETE_METHOD = "@delete";
/** What an object that was deleted answers, to this call and to those that it had in hand. */
export const DELETED = "Durable Object was deleted by its owner.";
/** Names that only the platform calls: who binds another Worker's objects does not. */
export const isOwnName = (name: string): boolean => name.startsWith("@");
export const RESET_HEADER = "x-freehold-reset";

/** What the objects of one part of a namespace used. */
export interface PartUsage {
  /** The part's key: the namespace's id, and its jurisdiction if it has one. */
  readonly part: string;
  readonly invocations: readonly InvocationSums[];
  readonly sums: UsageSums;
}

export interface InvocationSums {
  /** "fetch", "jsrpc", "alarm", "webSocketMessage", "webSocketClose" or "webSocketError". */
  readonly type: string;
  /** "success" or "scriptThrewException". */
  readonly status: string;
  requests: number;
  wallMs: number;
  responseBytes: number;
}

export interface UsageSums {
  /** Time in which an object had something in hand, of all objects together. */
  activeMs: number;
  rowsRead: number;
  rowsWritten: number;
  /** Of classes with key-value storage. */
  storageReadUnits: number;
  storageWriteUnits: number;
  storageDeletes: number;
  subrequests: number;
}

/** One SQL statement for an object. Bytes are lists of numbers. */
export interface Statement {
  readonly sql: string;
  readonly params?: readonly SqlParameter[] | undefined;
}
export type SqlParameter = string | number | boolean | null | readonly number[];

export interface StatementResult {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | null | readonly number[])[])[];
  readonly meta: { readonly rows_read: number; readonly rows_written: number };
}

/** What the platform asks of one object: the first of the parts whose ids the id is one of, or the first part's object of a name. */
export interface ObjectQuery {
  readonly parts: readonly string[];
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly action: { readonly queries: readonly Statement[] } | "delete";
}
