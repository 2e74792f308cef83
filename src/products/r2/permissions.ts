/** Permission groups of R2 with Cloudflare's ids (docs/r2/api/tokens). */
import type { PermissionGroup } from "../../kernel/api/tokens.ts";

export const groups = {
  storageWrite: "Workers R2 Storage Write",
  storageRead: "Workers R2 Storage Read",
  itemWrite: "Workers R2 Storage Bucket Item Write",
  itemRead: "Workers R2 Storage Bucket Item Read",
} as const;

export const permissions: readonly PermissionGroup[] = [
  { id: "bf7481a1826f439697cb59a20b22293e", name: groups.storageWrite, scopes: ["com.cloudflare.api.account"] },
  { id: "b4992e1108244f5d8bfbd5744320c2e1", name: groups.storageRead, scopes: ["com.cloudflare.api.account"] },
  { id: "2efd5506f9c8494dacb1fa10a3e7d5b6", name: groups.itemWrite, scopes: ["com.cloudflare.edge.r2.bucket"] },
  { id: "6a018a9f2fc74eb6b293b0c548f38b39", name: groups.itemRead, scopes: ["com.cloudflare.edge.r2.bucket"] },
];

/** What REST operations need: any of these. Reading is in writing. */
export const READ: readonly string[] = [groups.storageRead];
export const WRITE: readonly string[] = [groups.storageWrite];
