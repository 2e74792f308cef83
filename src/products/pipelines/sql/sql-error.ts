/** A mistake in a pipeline's SQL. The text is what the user reads after "SQL validation failed: ". */
export class SqlError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SqlError";
  }
}
