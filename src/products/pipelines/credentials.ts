/**
 * Whether the credentials in a sink give what the sink does: at its creation, and again before each roll, so that
 * revoking a token stops the writing. A sink never has more rights than its credentials.
 */
import { timingSafeEqual } from "node:crypto";
import type { Principal } from "../../kernel/api/tokens.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { Auth } from "../../kernel/product.ts";
import { pipelinesError } from "./errors.ts";
import type { SinkSecrets } from "./sink-config.ts";

/** Permission groups of R2 and its catalog, by Cloudflare's names (docs/r2/api/tokens). Any one of each row is enough. */
const STORAGE_WRITE = ["Workers R2 Storage Write", "Workers R2 Storage Bucket Item Write"];
const CATALOG_WRITE = ["Workers R2 Data Catalog Write"];

/** Throws `pipelines.invalidCredentials` with the reason. */
export async function checkCredentials(auth: Auth, accountId: string, bucket: string, secrets: SinkSecrets): Promise<void> {
  const resource = `com.cloudflare.edge.r2.bucket.${accountId}_default_${bucket}`;
  const need = (principal: Principal, groups: readonly string[], what: string): void => {
    if (!groups.some((group) => principal.can(group, resource)))
      throw pipelinesError("invalidCredentials", `The sink's credentials may not write ${what} ${bucket}`);
  };
  if (secrets.kind === "r2") {
    const key = await auth.accessKey(secrets.accessKeyId);
    if (key === undefined || !equal(key.secretAccessKey, secrets.secretAccessKey))
      throw pipelinesError("invalidCredentials", "The sink's R2 access key is unknown, revoked, or its secret is wrong");
    need(key.principal, STORAGE_WRITE, "to the bucket");
    return;
  }
  let principal: Principal;
  try {
    principal = await auth.bearer({ authorization: `Bearer ${secrets.token}` });
  } catch (cause) {
    if (!(cause instanceof PlatformError) || cause.spec.status >= 500) throw cause;
    throw pipelinesError("invalidCredentials", "The sink's catalog token is unknown or revoked", { cause });
  }
  need(principal, CATALOG_WRITE, "to the data catalog of the bucket");
  need(principal, STORAGE_WRITE, "to the bucket");
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
