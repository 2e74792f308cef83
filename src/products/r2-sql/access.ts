/**
 * Who may query a bucket: a token with R2 SQL, R2 Data Catalog and R2 storage permissions on it (docs/r2-sql/query-data,
 * "Authentication").
 */
import type { IncomingHttpHeaders } from "node:http";
import type { PermissionGroup, Principal } from "../../kernel/api/tokens.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { Auth } from "../../kernel/product.ts";
import { r2SqlError } from "./errors.ts";

const SQL_READ = "Workers R2 SQL Read";

export const permissions: readonly PermissionGroup[] = [
  { id: "f45430d92e2b4a6cb9f94f2594c141b8", name: SQL_READ, scopes: ["com.cloudflare.api.account", "com.cloudflare.edge.r2.bucket"] },
];

/** One of each line is needed; writing includes reading. */
const NEEDED: readonly (readonly string[])[] = [
  [SQL_READ],
  ["Workers R2 Data Catalog Read"],
  ["Workers R2 Storage Read", "Workers R2 Storage Bucket Item Read"],
];

/** The principal behind the request's token. Throws `r2-sql.unauthenticated` (401) or `r2-sql.invalidToken` (403). */
export async function authenticate(auth: Auth, headers: IncomingHttpHeaders): Promise<Principal> {
  try {
    return await auth.bearer(headers);
  } catch (cause) {
    if (!(cause instanceof PlatformError)) throw cause;
    throw r2SqlError(cause.code === "platform.invalidToken" ? "invalidToken" : "unauthenticated", undefined, { cause });
  }
}

/** Throws `r2-sql.forbidden` (403), also for buckets that do not exist: who may not read learns nothing. */
export function authorize(principal: Principal, accountId: string, bucket: string): void {
  const resource = `com.cloudflare.edge.r2.bucket.${accountId}_default_${bucket}`;
  if (!NEEDED.every((groups) => groups.some((group) => principal.can(group, resource)))) throw r2SqlError("forbidden");
}
