/** Reads what the binding says of a call (`binding.worker.ts`), and hands the call to the Workers product. */
import type { IncomingMessage } from "node:http";
import { z } from "zod";
import type { UserCall } from "../../kernel/capabilities.ts";
import type { Claims } from "../../kernel/product.ts";

const CALL = "x-freehold-dispatch";

const callSchema = z.object({
  worker: z.string(),
  limits: z.object({ cpuMs: z.number().optional(), subRequests: z.number().optional() }),
  parameters: z.record(z.string(), z.unknown()),
});

/** The call that a request of a dispatch Worker is; the namespace and the outbound Worker are the binding's own. */
export function callOf(claims: Claims, request: IncomingMessage): UserCall {
  const text = Buffer.from(String(request.headers[CALL]), "base64").toString("utf8");
  const { worker, limits, parameters } = callSchema.parse(JSON.parse(text));
  const { namespace, outbound } = claims;
  return {
    namespace: String(namespace),
    worker,
    limits,
    outbound: typeof outbound === "string" ? { worker: outbound, parameters } : undefined,
  };
}
