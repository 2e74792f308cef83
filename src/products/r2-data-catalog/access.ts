/**
 * Who may do what on the Iceberg door. A token needs the Data Catalog permission *and* R2 storage permission on the
 * bucket (docs, "Authenticate your Iceberg engine"); tokens for objects alone are refused.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { PermissionGroup, Principal } from "../../kernel/api/tokens.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { KernelSlice } from "../../kernel/product.ts";

export type Right = "read" | "write";

export const CATALOG_READ = "Workers R2 Data Catalog Read";
export const CATALOG_WRITE = "Workers R2 Data Catalog Write";

const SCOPES = ["com.cloudflare.api.account", "com.cloudflare.edge.r2.bucket"];

export const permissions: readonly PermissionGroup[] = [
  { id: "45db74139a62490b9b60eb7c4f34994b", name: CATALOG_READ, scopes: SCOPES },
  { id: "d229766a2f7f4d299f20eaa8c9b1fde9", name: CATALOG_WRITE, scopes: SCOPES },
];

/** Admin groups count on the account, item groups on the bucket too, as R2 itself has it. */
const STORAGE_ADMIN: Readonly<Record<Right, string>> = { read: "Workers R2 Storage Read", write: "Workers R2 Storage Write" };
const STORAGE_ITEM: Readonly<Record<Right, string>> = {
  read: "Workers R2 Storage Bucket Item Read",
  write: "Workers R2 Storage Bucket Item Write",
};

/** A refusal before anything of the catalog is looked at; its text goes out as plain text (docs, "Errors"). */
export class Refusal extends Error {
  readonly status: 401 | 403;

  constructor(status: 401 | 403) {
    super(status === 401 ? "Unauthorized" : "Forbidden");
    this.status = status;
  }
}

/** The principal behind the bearer token; throws `Refusal` 401. */
export async function authenticate(kernel: KernelSlice, headers: IncomingHttpHeaders): Promise<Principal> {
  try {
    return await kernel.auth.bearer(headers);
  } catch (error) {
    if (error instanceof PlatformError && error.spec.status < 500) throw new Refusal(401);
    throw error;
  }
}

const bucketResource = (accountId: string, bucket: string): string => `com.cloudflare.edge.r2.bucket.${accountId}_default_${bucket}`;

/** Whether the principal may use the catalog of the bucket in this way. */
export function mayUseCatalog(principal: Principal, accountId: string, bucket: string, right: Right): boolean {
  return principal.can(right === "write" ? CATALOG_WRITE : CATALOG_READ, bucketResource(accountId, bucket));
}

/** Whether the principal may read or write objects of the bucket. */
export function mayUseStorage(principal: Principal, accountId: string, bucket: string, right: Right): boolean {
  return (
    principal.can(STORAGE_ADMIN[right], `com.cloudflare.api.account.${accountId}`) ||
    principal.can(STORAGE_ITEM[right], bucketResource(accountId, bucket))
  );
}

/** Throws `Refusal` 403 unless the principal has both permissions. */
export function authorize(principal: Principal, accountId: string, bucket: string, right: Right): void {
  if (!mayUseCatalog(principal, accountId, bucket, right) || !mayUseStorage(principal, accountId, bucket, right)) throw new Refusal(403);
}

/** Whether the token is one that may rewrite tables of the bucket's catalog. */
export async function tokenMayMaintain(kernel: KernelSlice, bucket: string, token: string): Promise<boolean> {
  try {
    authorize(await authenticate(kernel, { authorization: `Bearer ${token}` }), kernel.accountId, bucket, "write");
    return true;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}
