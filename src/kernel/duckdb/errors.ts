/**
 * DuckDB's failures by kind. DuckDB gives one text, "Binder Error: … \n\nLINE 1: …\n   ^"; the class before the colon
 * says what kind of failure it is, and the tail repeats the statement, which may be ours and not the user's.
 */

/**
 * "parser": not SQL. "binder", "catalog": names, types or arguments that do not fit. "conversion", "range", "input":
 * values that do not fit, found while running. "memory", "disk", "interrupted", "permission": the surroundings.
 */
export type DuckDbErrorKind =
  | "parser"
  | "binder"
  | "catalog"
  | "conversion"
  | "range"
  | "input"
  | "unsupported"
  | "memory"
  | "disk"
  | "interrupted"
  | "permission"
  | "closed"
  | "internal";

const kinds: Readonly<Record<string, DuckDbErrorKind>> = {
  "Parser Error": "parser",
  "Syntax Error": "parser",
  "Binder Error": "binder",
  "Catalog Error": "catalog",
  "Conversion Error": "conversion",
  "Mismatch Type Error": "conversion",
  "Out of Range Error": "range",
  "Invalid Input Error": "input",
  "Invalid type Error": "input",
  "Constraint Error": "input",
  "Not implemented Error": "unsupported",
  "Out of Memory Error": "memory",
  "IO Error": "disk",
  "INTERRUPT Error": "interrupted",
  "Permission Error": "permission",
  "Connection Error": "closed",
};

export class DuckDbError extends Error {
  readonly kind: DuckDbErrorKind;

  constructor(kind: DuckDbErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "DuckDbError";
    this.kind = kind;
  }
}

/** The kind, and the text without its class and without the statement. */
export function duckDbError(cause: unknown): DuckDbError {
  if (cause instanceof DuckDbError) return cause;
  const text = cause instanceof Error ? cause.message : String(cause);
  // `stream` and `prepare` put a phrase of the driver in front: "Failed to extract statements: Parser Error: …".
  const match = /^(?:Failed to [a-z ]+: )?([A-Z][A-Za-z ]* (?:Error|error)): ([\s\S]*)$/.exec(text);
  const body = (match?.[2] ?? text).replace(/\n\n?LINE \d+: [\s\S]*$/, "").trim();
  return new DuckDbError(kinds[match?.[1] ?? ""] ?? "internal", body, { cause });
}
