/** What KV's REST operations have in common: their path, permissions, namespace parameter and form of refusals. */
import { PlatformError } from "../../kernel/errors.ts";
import type { RequestContext } from "../../kernel/product.ts";
import { kvError } from "./errors.ts";

export const READ = ["Workers KV Storage Read"] as const;
export const WRITE = ["Workers KV Storage Write"] as const;
export const BASE = "/accounts/:account/storage/kv/namespaces";

/** The namespace id of the path; a UUID may be written with dashes. */
export function namespaceId({ params }: RequestContext): string {
  const given = params.namespace ?? "";
  const id = given.replaceAll("-", "").toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(id))
    throw kvError("namespaceId", `could not parse UUID from request's namespace_id: 'uuid: incorrect UUID length: ${given}'`);
  return id;
}

/** Names the operation in a refusal's text, as the real API does: "get: 'key not found'". */
export async function during<T>(operation: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PlatformError) || !error.code.startsWith("kv.") || UNNAMED.has(error.code)) throw error;
    throw new PlatformError(error.code, error.spec, `${operation}: '${error.message}'`, { cause: error });
  }
}

// Reported without the operation by clients of the real API.
const UNNAMED = new Set(["kv.titleTaken", "kv.titleMissing", "kv.namespaceId", "kv.invalidMetadata"]);
