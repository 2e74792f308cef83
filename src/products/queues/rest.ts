/** What the REST routes of Queues share: paths, permissions, and bodies with the errors that Queues documents for them. */
import { parseJson, parseWith } from "../../kernel/api/body.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { RequestContext } from "../../kernel/product.ts";
import { queuesError } from "./errors.ts";

export const BASE = "/accounts/:account/queues";
export const QUEUE = `${BASE}/:queue`;
export const READ = ["Queues Read"];
export const WRITE = ["Queues Write"];

const BODY_MAX_BYTES = 1024 * 1024;

/** The JSON body; an absent one is an empty object. Throws `queues.bodyMalformed`, `queues.bodyInvalid`. */
export async function body<T>(context: RequestContext, schema: { parse(value: unknown): T }, maxBytes = BODY_MAX_BYTES): Promise<T> {
  const bytes = await context.bytes(maxBytes);
  try {
    return parseWith(schema, bytes.byteLength === 0 ? {} : parseJson(Buffer.from(bytes).toString("utf8")));
  } catch (error) {
    if (error instanceof PlatformError && error.code === "platform.invalidJson") {
      throw queuesError("bodyMalformed", undefined, { cause: error });
    }
    if (!(error instanceof PlatformError && error.code === "platform.badRequest")) throw error;
    throw queuesError("bodyInvalid", `Request JSON body does not match expected schema (${error.message})`, { cause: error });
  }
}
