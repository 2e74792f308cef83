/**
 * What Node and the engine say to each other: batches of calls to one database (`calls.ts` sends, `database.worker.ts`
 * answers). A batch is lines of JSON: a head, then one line a call; the answer a head, then one line an answer, fewer when
 * not all fit. Bodies and answers travel as the JSON texts that came in and go out: nobody between parses them.
 */

/** One query as the binding and the REST API send it. */
export interface Query {
  readonly sql: string;
  /** Numbers, strings, null, booleans; a BLOB is an array of its bytes. */
  readonly params?: readonly unknown[];
}

export interface CallHead {
  /**
   * - "rows": binding, rows as arrays: an array of results, or one `{success: false, error}`.
   * - "objects": the same with rows as objects. If the body is an array (exec's lines), a failure stands at its line's place.
   * - "rest-objects" and "rest-rows": REST, where one `sql` may hold several statements.
   */
  readonly kind: "rows" | "objects" | "rest-objects" | "rest-rows";
  /** Answer with a bookmark. */
  readonly bookmarked: boolean;
  /** Refuse what writes, and undo it. */
  readonly readOnly: boolean;
  /** How often it has been sent, this time included. */
  readonly attempt: number;
  /** Bytes past which the database takes nothing more. */
  readonly sizeMax: number;
}

export interface AnswerHead {
  readonly bookmark?: string;
  readonly usage: Usage;
}

export interface Usage {
  readonly readQueries: number;
  readonly writeQueries: number;
  readonly rowsRead: number;
  readonly rowsWritten: number;
  /** Each statement that ran, without its parameters. */
  readonly statements: readonly StatementUsage[];
}

export interface StatementUsage {
  readonly sql: string;
  readonly durationMs: number;
  readonly rowsRead: number;
  readonly rowsWritten: number;
  readonly rowsReturned: number;
}

/** `meta` of a result (docs/d1/worker-api/return-object). */
export interface Meta {
  readonly served_by: string;
  readonly served_by_primary: true;
  readonly timings: { readonly sql_duration_ms: number };
  readonly duration: number;
  readonly changes: number;
  readonly last_row_id: number;
  readonly changed_db: boolean;
  readonly size_after: number;
  readonly rows_read: number;
  readonly rows_written: number;
  readonly total_attempts: number;
}
