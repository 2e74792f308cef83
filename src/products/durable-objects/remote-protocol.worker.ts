/** What `remote-object.worker.ts` and `objects.worker.ts` say to each other to name an object. */

/** Which object: a stub cannot cross processes as a value, so that each call says it. */
export interface ObjectName {
  readonly id: string;
  /** The name that the id was made of, when it is known. */
  readonly name?: string | undefined;
}

/** Header of a `fetch()` to an object: an `ObjectName` as JSON, percent-encoded. */
export const OBJECT_HEADER = "x-freehold-object";
