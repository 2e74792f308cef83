/** R2 in the REST API: paths, and the shapes of answers that pages read. */
import { type Answer, type CallOptions, onAccount } from "../../platform/rest.ts";
import { session } from "../../platform/session.ts";

export const jurisdictions = ["default", "eu", "fedramp"] as const;

export interface Bucket {
  readonly name: string;
  readonly creation_date: string;
  readonly location?: string;
  readonly jurisdiction: string;
  readonly storage_class: string;
}

export interface StoredObject {
  readonly key: string;
  readonly etag: string;
  readonly size: number;
  readonly last_modified: string;
  readonly http_metadata: Readonly<Record<string, string>>;
  readonly custom_metadata: Readonly<Record<string, string>>;
  readonly storage_class: string;
}

export interface ListInfo {
  readonly cursor?: string;
  readonly is_truncated: boolean;
  /** Prefixes that end with the delimiter. */
  readonly delimited: readonly string[];
}

export type LockCondition =
  | { readonly type: "Age"; readonly maxAgeSeconds: number }
  | { readonly type: "Date"; readonly date: string }
  | { readonly type: "Indefinite" };

export interface LockRule {
  readonly id: string;
  readonly enabled: boolean;
  readonly prefix?: string;
  readonly condition: LockCondition;
}

/** A bucket's name is its own only within its jurisdiction, so pages carry both. */
export interface BucketRef {
  readonly jurisdiction: string;
  readonly bucket: string;
}

export const bucketPath = ({ bucket }: BucketRef): string => `/r2/buckets/${encodeURIComponent(bucket)}`;
export const objectPath = (ref: BucketRef, key: string): string => `${bucketPath(ref)}/objects/${encodeURIComponent(key)}`;

export const jurisdictionHeader = (jurisdiction: string): Record<string, string> =>
  jurisdiction === "default" ? {} : { "cf-r2-jurisdiction": jurisdiction };

/** A call on the bucket, or on what lies under it ("/lock"). */
export const onBucket = <T, I = unknown>(ref: BucketRef, path: string, options: CallOptions = {}): Promise<Answer<T, I>> =>
  onAccount<T, I>(`${bucketPath(ref)}${path}`, { ...options, headers: { ...jurisdictionHeader(ref.jurisdiction), ...options.headers } });

export const LIST_PAGE = 200;

export function listObjects(
  ref: BucketRef,
  query: { prefix: string; delimiter?: string; cursor?: string | undefined; perPage?: number },
  signal?: AbortSignal,
): Promise<Answer<StoredObject[], ListInfo>> {
  const params = new URLSearchParams({ per_page: String(query.perPage ?? LIST_PAGE) });
  for (const name of ["prefix", "delimiter", "cursor"] as const) if (query[name]) params.set(name, query[name]);
  return onBucket(ref, `/objects?${params}`, signal && { signal });
}

export const deleteObject = (ref: BucketRef, key: string): Promise<unknown> =>
  onBucket(ref, `/objects/${encodeURIComponent(key)}`, { method: "DELETE" });

/** Where a browser saves the object from. Jurisdictions other than the default go by header, which a link cannot carry. */
export async function downloadUrl(ref: BucketRef, key: string): Promise<string> {
  const { accountId } = await session();
  return `/download/accounts/${accountId}${objectPath(ref, key)}${ref.jurisdiction === "default" ? "" : `?jurisdiction=${ref.jurisdiction}`}`;
}

/** The rule that keeps the object from being deleted now, if there is one. */
export function lockOf(rules: readonly LockRule[], object: { key: string; last_modified: string }, now: number): LockRule | undefined {
  const holds = (condition: LockCondition): boolean => {
    if (condition.type === "Indefinite") return true;
    if (condition.type === "Date") return now < Date.parse(condition.date);
    return now < Date.parse(object.last_modified) + condition.maxAgeSeconds * 1000;
  };
  return rules.find((rule) => rule.enabled && object.key.startsWith(rule.prefix ?? "") && holds(rule.condition));
}
