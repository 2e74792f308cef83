/** Durable Objects in the REST API. */
import { onAccount } from "../../platform/rest.ts";
import type { Value } from "../../platform/sql.ts";

export const NAMESPACES = "/workers/durable_objects/namespaces";

export interface Namespace {
  readonly id: string;
  readonly name: string;
  readonly script: string;
  readonly class: string;
  readonly use_sqlite: boolean;
}

export interface StoredObject {
  readonly id: string;
}

export interface Result {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Value[])[];
  readonly meta: { readonly rows_read: number; readonly rows_written: number };
}

export interface Statement {
  readonly sql: string;
  readonly params?: readonly Value[];
}

export const namespacePath = (id: string): string => `${NAMESPACES}/${id}`;

/** An object is named by its id of 64 hex digits, or by the name that the id is made of. */
const named = (object: string) => (/^[0-9a-f]{64}$/.test(object) ? { durable_object_id: object } : { durable_object_name: object });

/** Runs statements in an object, all or none. Throws `ApiFailure` with SQLite's words. */
export const query = async (namespace: string, object: string, queries: readonly Statement[], signal?: AbortSignal): Promise<Result[]> =>
  (
    await onAccount<Result[]>(`${namespacePath(namespace)}/query`, {
      method: "POST",
      body: { ...named(object), queries },
      ...(signal && { signal }),
    })
  ).result;
