/** What the REST routes of AI Gateway share: paths, permissions, bodies. */
import type { RequestContext } from "../../kernel/product.ts";
import { gatewayError } from "./errors.ts";

export const BASE = "/accounts/:account/ai-gateway";
export const GATEWAYS = `${BASE}/gateways`;
export const GATEWAY = `${GATEWAYS}/:gateway`;
export const READ = ["AI Gateway Read", "AI Gateway Write"];
export const WRITE = ["AI Gateway Write"];

const BODY_MAX_BYTES = 1024 * 1024;

export async function bodyOf(context: RequestContext): Promise<unknown> {
  const text = Buffer.from(await context.bytes(BODY_MAX_BYTES)).toString("utf8");
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw gatewayError("invalidConfig", "The body must be JSON", { cause });
  }
}

export const param = ({ params }: RequestContext, name: string): string => params[name] as string;
