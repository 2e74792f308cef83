/** With whose rights maintenance works: those of the catalog's credential, else of the token that set it up for the table. */
import type { Principal } from "../../../kernel/api/tokens.ts";
import { authorize, Refusal, tokenMayMaintain } from "../access.ts";
import type { Catalog, Warehouse } from "../model.ts";
import { openCredential } from "../warehouses.ts";

/** Work that lacks a right; the text is for the run's message. */
export class NoRights extends Error {}

/** Throws `NoRights`. Asked before a run and before each commit: a token may be revoked at any time. */
export async function authorizeJob(catalog: Catalog, warehouse: Warehouse, tokenId: string | undefined): Promise<void> {
  const { kernel } = catalog;
  const credential = await openCredential(catalog, warehouse.bucket);
  if (credential !== undefined) {
    if (!(await tokenMayMaintain(kernel, warehouse.bucket, credential)))
      throw new NoRights("The maintenance credential is no longer valid or lacks write access to the catalog or the bucket");
    return;
  }
  const principal: Principal | undefined = tokenId === undefined ? undefined : (await kernel.auth.accessKey(tokenId))?.principal;
  if (principal === undefined) throw new NoRights("The catalog has no valid maintenance credential");
  try {
    authorize(principal, kernel.accountId, warehouse.bucket, "write");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new NoRights("The token that turned maintenance on lacks write access to the catalog or the bucket", { cause: error });
  }
}
