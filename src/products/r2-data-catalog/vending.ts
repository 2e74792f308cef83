/**
 * Credentials for engines: short-lived S3 keys for the catalog's bucket, with the storage rights of the token that asks
 * and never more. They are given with every loaded table, asked for or not (docs, "Storage credentials").
 */
import type { Principal } from "../../kernel/api/tokens.ts";
import { mayUseStorage } from "./access.ts";
import type { Catalog, Warehouse } from "./model.ts";

export interface StorageAccess {
  readonly config: Readonly<Record<string, string>>;
  readonly "storage-credentials": readonly { readonly prefix: string; readonly config: Readonly<Record<string, string>> }[];
}

export async function storageAccess(catalog: Catalog, warehouse: Warehouse, principal: Principal): Promise<StorageAccess> {
  const { kernel, objects } = catalog;
  const rights = mayUseStorage(principal, kernel.accountId, warehouse.bucket, "write") ? "write" : "read";
  // The whole bucket, as the token's own rights: files that were added to a table may lie outside its location.
  const keys = await objects.vend(principal, warehouse.bucket, rights, { ttlSeconds: kernel.config["r2_data_catalog.credential_ttl_s"] });
  const config = {
    "s3.access-key-id": keys.accessKeyId,
    "s3.secret-access-key": keys.secretAccessKey,
    ...(keys.sessionToken !== undefined && { "s3.session-token": keys.sessionToken }),
    "s3.session-token-expires-at-ms": String(keys.expiresAt),
    "s3.endpoint": kernel.urls.gateway(),
    "s3.path-style-access": "true",
    "s3.region": "auto",
    "client.region": "auto",
    "s3.remote-signing-enabled": "false",
  };
  return { config, "storage-credentials": [{ prefix: `s3://${warehouse.bucket}/`, config }] };
}
