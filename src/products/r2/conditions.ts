/**
 * Conditional requests (RFC 7232) in the form that the binding sends and the S3 door builds from headers.
 * Evaluated against the object that is there at that moment: for writes inside the transaction that replaces it.
 */

export type Etag = { readonly type: "strong" | "weak"; readonly value: string } | { readonly type: "wildcard" };

export interface Condition {
  readonly etagMatches?: readonly Etag[];
  readonly etagDoesNotMatch?: readonly Etag[];
  /** Milliseconds since the epoch, as the next. */
  readonly uploadedBefore?: number;
  readonly uploadedAfter?: number;
  /** Dates came from headers, which know no milliseconds. */
  readonly secondsGranularity?: boolean;
}

/** `unmodified`: a condition of the `If-None-Match` kind did not hold; reads answer it with 304. */
export type Verdict = "holds" | "failed" | "unmodified";

export function evaluate(condition: Condition, object: { readonly etag: string; readonly uploaded: number } | undefined): Verdict {
  const { etagMatches, etagDoesNotMatch, uploadedBefore, uploadedAfter, secondsGranularity } = condition;
  if (object === undefined) return etagMatches === undefined && uploadedAfter === undefined ? "holds" : "failed";
  const seconds = (ms: number) => (secondsGranularity ? Math.floor(ms / 1000) : ms);
  const uploaded = seconds(object.uploaded);

  // Precedence of RFC 7232 section 6: a date counts only where there is no etag condition of its kind.
  if (etagMatches !== undefined) {
    if (!includes(etagMatches, object.etag, true)) return "failed";
  } else if (uploadedBefore !== undefined) {
    // A header repeats the Last-Modified that it was given, so equality holds there.
    const limit = seconds(uploadedBefore);
    if (secondsGranularity ? uploaded > limit : uploaded >= limit) return "failed";
  }
  if (etagDoesNotMatch !== undefined) {
    if (includes(etagDoesNotMatch, object.etag, false)) return "unmodified";
  } else if (uploadedAfter !== undefined && uploaded <= seconds(uploadedAfter)) {
    return "unmodified";
  }
  return "holds";
}

function includes(etags: readonly Etag[], value: string, strong: boolean): boolean {
  return etags.some((etag) => etag.type === "wildcard" || (etag.value === value && (etag.type === "strong" || !strong)));
}

/** Etags of an `If-Match` or `If-None-Match` header; quotes are optional, as S3 clients leave them out. */
export function parseEtags(header: string): Etag[] {
  return header
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => {
      if (part === "*") return { type: "wildcard" };
      const weak = part.startsWith("W/");
      return { type: weak ? "weak" : "strong", value: part.slice(weak ? 2 : 0).replace(/^"|"$/g, "") };
    });
}

/** The condition in headers with the given names, or undefined when none is there. Dates that do not parse are ignored, as RFC 7232 says. */
export function headerCondition(
  get: (name: string) => string | undefined,
  names: { match: string; noneMatch: string; modifiedSince: string; unmodifiedSince: string } = {
    match: "if-match",
    noneMatch: "if-none-match",
    modifiedSince: "if-modified-since",
    unmodifiedSince: "if-unmodified-since",
  },
): Condition | undefined {
  const [match, noneMatch] = [get(names.match), get(names.noneMatch)];
  const [after, before] = [get(names.modifiedSince), get(names.unmodifiedSince)].map((text) => {
    const time = text === undefined ? Number.NaN : Date.parse(text);
    return Number.isNaN(time) ? undefined : time;
  });
  if (match === undefined && noneMatch === undefined && after === undefined && before === undefined) return undefined;
  return {
    secondsGranularity: true,
    ...(match !== undefined && { etagMatches: parseEtags(match) }),
    ...(noneMatch !== undefined && { etagDoesNotMatch: parseEtags(noneMatch) }),
    ...(after !== undefined && { uploadedAfter: after }),
    ...(before !== undefined && { uploadedBefore: before }),
  };
}
