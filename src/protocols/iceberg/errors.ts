/**
 * Failures of the Iceberg format code. No HTTP here: a catalog maps `kind` to its own status and body, a reader
 * wraps the text. Messages follow the reference implementation where clients show them.
 */

/**
 * - `invalid`: the input breaks the specification (400).
 * - `argument`: the same where the reference implementation's clients check for an IllegalArgumentException (400).
 * - `conflict`: a commit requirement does not hold (409 CommitFailedException; a client may retry on fresh metadata).
 * - `unsupported`: valid by the specification, not supported here (501).
 * - `corrupt`: a stored file is not what its format says.
 */
export type IcebergErrorKind = "invalid" | "argument" | "conflict" | "unsupported" | "corrupt";

export class IcebergError extends Error {
  readonly kind: IcebergErrorKind;

  constructor(kind: IcebergErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "IcebergError";
    this.kind = kind;
  }
}

export const invalid = (message: string, options?: ErrorOptions): IcebergError => new IcebergError("invalid", message, options);
export const corrupt = (message: string, options?: ErrorOptions): IcebergError => new IcebergError("corrupt", message, options);
export const conflict = (message: string, options?: ErrorOptions): IcebergError => new IcebergError("conflict", message, options);
