/** What D1's REST operations have in common: path, permissions, and bodies checked with the API's own refusals. */
import type { z } from "zod";
import type { RequestContext } from "../../kernel/product.ts";
import { d1Error } from "./errors.ts";

export const READ = ["D1 Read"] as const;
export const WRITE = ["D1 Write"] as const;
export const BASE = "/accounts/:account/d1/database";

/** The JSON body; what does not fit is refused by the name of the first property that does not. */
export function bodyOf<T>(context: RequestContext, schema: z.ZodType<T>, maxBytes?: number): Promise<T> {
  const parse = (value: unknown): T => {
    const { success, data, error } = schema.safeParse(value);
    if (success) return data;
    const [issue] = error.issues;
    throw d1Error("invalidProperty", `Invalid property: ${issue?.path.join(".") || "body"} => ${issue?.message}`);
  };
  return context.json({ parse }, maxBytes);
}
