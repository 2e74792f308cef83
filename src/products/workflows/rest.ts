/** What the REST routes of Workflows share: paths, permissions, bodies with the errors that clients expect. */
import { parseJson, parseWith } from "../../kernel/api/body.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { RequestContext } from "../../kernel/product.ts";
import { workflowsError } from "./errors.ts";

export const BASE = "/accounts/:account/workflows";
export const WORKFLOW = `${BASE}/:workflow`;
export const INSTANCES = `${WORKFLOW}/instances`;
export const INSTANCE = `${INSTANCES}/:instance`;
// As the API reference lists them for Workflows: they are those of Workers.
export const READ = ["Workers Scripts Read", "Workers Scripts Write", "Workers Tail Read"];
export const WRITE = ["Workers Scripts Write"];

/** A batch of a hundred payloads. */
const BODY_MAX_BYTES = 128 * 1024 * 1024;

/** The JSON body; an absent one is an empty object. Throws `workflows.invalidBody`. */
export async function body<T>(context: RequestContext, schema: { parse(value: unknown): T }): Promise<T> {
  const bytes = await context.bytes(BODY_MAX_BYTES);
  try {
    return parseWith(schema, bytes.byteLength === 0 ? {} : parseJson(Buffer.from(bytes).toString("utf8")));
  } catch (error) {
    if (!(error instanceof PlatformError && /^platform\.(badRequest|invalidJson)$/.test(error.code))) throw error;
    throw workflowsError("invalidBody", `Invalid request body: ${error.message}`, { cause: error });
  }
}
