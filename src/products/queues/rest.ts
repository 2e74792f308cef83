/** What the REST routes of Queues share: paths, permissions, and bodies with the errors that Queues documents for them. */
import { PlatformError } from "../../kernel/errors.ts";
import type { RequestContext } from "../../kernel/product.ts";
import { queuesError } from "./errors.ts";

export const BASE = "/accounts/:account/queues";
export const QUEUE = `${BASE}/:queue`;
export const READ = ["Queues Read"];
export const WRITE = ["Queues Write"];

/** The JSON body; an absent one is an empty object. Throws `queues.bodyMalformed`, `queues.bodyInvalid`. */
export async function body<T>(context: RequestContext, schema: { parse(value: unknown): T }, maxBytes?: number): Promise<T> {
  try {
    if (context.request.body === null) return schema.parse({});
    return await context.json(schema, maxBytes);
  } catch (error) {
    if (error instanceof PlatformError && error.code === "platform.invalidJson") {
      throw queuesError("bodyMalformed", undefined, { cause: error });
    }
    const invalid = (error instanceof PlatformError && error.code === "platform.badRequest") || (error as Error).name === "ZodError";
    if (!invalid) throw error;
    throw queuesError("bodyInvalid", `Request JSON body does not match expected schema (${(error as Error).message})`, { cause: error });
  }
}
