/** D1 in the REST API. */
import { onAccount } from "../../platform/rest.ts";
import type { Value } from "../../platform/sql.ts";

export const DATABASES = "/d1/database";

export interface Database {
  readonly uuid: string;
  readonly name: string;
  readonly created_at: string;
  readonly file_size?: number;
  readonly num_tables?: number;
}

export interface Result {
  readonly results: { readonly columns: readonly string[]; readonly rows: readonly (readonly Value[])[] };
  readonly meta: { readonly duration: number; readonly rows_read: number; readonly rows_written: number; readonly changes: number };
}

export const databasePath = (uuid: string): string => `${DATABASES}/${uuid}`;

/** One result for each statement. Throws `ApiFailure` with SQLite's words. */
export const query = async (uuid: string, sql: string, params: readonly string[] = [], signal?: AbortSignal): Promise<Result[]> =>
  (await onAccount<Result[]>(`${databasePath(uuid)}/raw`, { method: "POST", body: { sql, params }, ...(signal && { signal }) })).result;
