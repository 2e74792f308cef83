/** What the REST routes of R2 share: the bucket of a request, rights on the account, names of values. */

import { platformError } from "../../kernel/errors.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { requireBucket } from "./buckets.ts";
import type { R2 } from "./context.ts";
import { principalGrant, type Right } from "./credentials.ts";
import { r2Error } from "./errors.ts";
import { type Bucket, type Jurisdiction, jurisdictions, type StorageClass, storageClasses } from "./model.ts";
import { READ, WRITE } from "./permissions.ts";

export const BASE = "/accounts/:account/r2/buckets";

/** A route on the account's R2: `right` decides which permission groups it takes. */
export function route(
  r2: R2,
  op: string,
  method: Route["method"],
  path: string,
  right: Right,
  handle: (context: RequestContext) => Promise<unknown>,
): Route {
  return {
    op,
    method,
    path,
    permission: right === "write" ? WRITE : READ,
    async handle(context) {
      // The kernel has checked for the group somewhere; these operations need it on the account.
      if (!principalGrant(context.principal, r2.accountId).account(right)) throw platformError("forbidden");
      return handle(context);
    },
  };
}

/** Throws `r2.invalidArgument` for a jurisdiction that there is not. */
export function jurisdictionOf(context: RequestContext): Jurisdiction {
  const name = context.headers.get("cf-r2-jurisdiction") ?? "default";
  const known = jurisdictions.find((one) => one === name);
  if (known === undefined) throw r2Error("invalidArgument", `Jurisdiction "${name}" is not one of ${jurisdictions.join(", ")}.`);
  return known;
}

/** The bucket in the path. Throws `r2.noSuchBucket`. */
export const bucketOf = (r2: R2, context: RequestContext): Promise<Bucket> =>
  requireBucket(r2, context.params.bucket ?? "", jurisdictionOf(context));

/**
 * The bucket in the path, for a write that may harm what another product keeps in it. Clients ask first with the header
 * `cf-r2-data-catalog-check` (wrangler, unless `--force`). Throws `r2.noSuchBucket`, `r2.dataCatalogEnabled`.
 */
export async function writableBucketOf(r2: R2, context: RequestContext): Promise<Bucket> {
  const bucket = await bucketOf(r2, context);
  const asks = context.headers.get("cf-r2-data-catalog-check") === "true" && bucket.jurisdiction === "default";
  if (asks) for (const managed of r2.guards) if (await managed(bucket.name)) throw r2Error("dataCatalogEnabled");
  return bucket;
}

/** Throws `r2.invalidStorageClass`. */
export function storageClassOf(name: string | null | undefined): StorageClass | undefined {
  if (name === null || name === undefined) return undefined;
  const known = storageClasses.find((one) => one === name);
  if (known === undefined) throw r2Error("invalidStorageClass");
  return known;
}

/** A bucket as REST shows it. */
export const bucketView = (bucket: Bucket) => ({
  name: bucket.name,
  creation_date: new Date(bucket.created).toISOString(),
  ...(bucket.location !== null && { location: bucket.location }),
  jurisdiction: bucket.jurisdiction,
  storage_class: bucket.storageClass,
});

/** A page size from the query. Throws `r2.invalidMaxKeys`. */
export function perPage(context: RequestContext, fallback: number, max: number): number {
  const text = context.query.get("per_page");
  if (text === null) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > max) throw r2Error("invalidMaxKeys", `per_page must be between 1 and ${max}.`);
  return value;
}
