/** A model run with the option `gateway`, as the class of the binding `env.AI` writes it (workerd, `cloudflare-internal:ai-api`). */
import type { IncomingMessage } from "node:http";
import { z } from "zod";
import { gatewayError } from "./errors.ts";

const callOptions = z.object({
  id: z.string().min(1),
  cacheKey: z.string().optional(),
  cacheTtl: z.number().optional(),
  skipCache: z.boolean().optional(),
  metadata: z.record(z.string(), z.unknown()).optional(),
  collectLog: z.boolean().optional(),
  eventId: z.string().optional(),
  requestTimeoutMs: z.number().min(0).optional(),
  retries: z
    .object({ maxAttempts: z.number().optional(), retryDelayMs: z.number().min(0).optional(), backoff: z.string().optional() })
    .optional(),
});
const body = z.object({ inputs: z.unknown(), options: z.looseObject({ gateway: callOptions }) });

export interface ModelRun {
  readonly model: string;
  readonly inputs: unknown;
  readonly options: z.infer<typeof callOptions>;
}

export function modelRun(request: IncomingMessage, bytes: Buffer): ModelRun {
  const id = String(request.headers["cf-consn-model-id"] ?? "");
  const parsed = body.safeParse(json(bytes));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw gatewayError("invalidRequest", `${issue?.path.join(".")}: ${issue?.message}`);
  }
  // What stands before the name is the `prefix` of the options.
  return { model: id.slice(id.search(/@|$/)) || id, inputs: parsed.data.inputs ?? null, options: parsed.data.options.gateway };
}

function json(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw gatewayError("invalidRequest", "The body must be JSON", { cause });
  }
}
