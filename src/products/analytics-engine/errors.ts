/**
 * Errors of Workers Analytics Engine. The SQL API answers a query it does not take with 422 and a line of text, not with the
 * envelope; the texts for a column and a table that are not there are the real service's, which clients look for.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const analyticsError = defineErrors("analytics-engine", {
  binding: { status: 400, apiCode: 10021, message: "The binding does not name a dataset" },
});

/** A query that is refused: the text of the answer. */
export class QueryError extends Error {
  readonly status: number;

  constructor(message: string, status = 422) {
    super(message);
    this.name = "QueryError";
    this.status = status;
  }
}

export const unknownColumn = (name: string): QueryError => new QueryError(`unable to find type of column: ${name}`);
