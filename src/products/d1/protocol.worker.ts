/** What the parts of the D1 engine say to each other inside the system workerd. Types only. */

/** One query as the binding and the REST API send it. */
export interface Query {
  readonly sql: string;
  /** Numbers, strings, null, booleans; a BLOB is an array of its bytes. */
  readonly params?: readonly unknown[];
}

/**
 * One request to a database: queries that run in order, all or none. Travels as the JSON text that came in, and its
 * answer as the JSON text that goes out, so that each is parsed and printed once.
 */
export interface Call {
  /**
   * - "rows": binding, rows as arrays: an array of results, or one `{success: false, error}`.
   * - "objects": the same with rows as objects. If the body is an array (exec's lines), a failure stands at its line's place.
   * - "rest-objects" and "rest-rows": REST, where one `sql` may hold several statements.
   */
  readonly kind: "rows" | "objects" | "rest-objects" | "rest-rows";
  readonly body: string;
  /** Answer with a bookmark. */
  readonly bookmarked: boolean;
  /** Refuse what writes, and undo it. */
  readonly readOnly: boolean;
}

export interface Answer {
  readonly text: string;
  readonly bookmark?: string;
  readonly usage: Usage;
}

export interface Usage {
  readonly readQueries: number;
  readonly writeQueries: number;
  readonly rowsRead: number;
  readonly rowsWritten: number;
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
