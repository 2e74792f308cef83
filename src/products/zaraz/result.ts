/** What an event leaves to do for the visitor's browser (docs: HTTP Events API, "Process API responses"). */
export interface EventResult {
  /** Arguments of `fetch()`. */
  readonly fetch: (readonly [string, Readonly<Record<string, unknown>>])[];
  /** JavaScript. */
  readonly execute: string[];
  /** By tool. */
  readonly return: Record<string, unknown>;
  /** Lines as in `Set-Cookie`. */
  readonly cookies: string[];
}

export const emptyResult = (): EventResult => ({ fetch: [], execute: [], return: {}, cookies: [] });
