/** The capability `modelGateway`: models for other products of the platform, through a gateway as any client's requests. */
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import type { ModelGateway } from "../../kernel/capabilities.ts";
import type { Door } from "./door.ts";
import { gatewayError } from "./errors.ts";
import type { Sink } from "./exchange.ts";
import { DEFAULT_GATEWAY, type Gateways } from "./gateways.ts";

interface Head {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number>>;
}

/** Takes an answer as a response of HTTP would, for a reader in this process. */
class Intake extends PassThrough implements Sink {
  headersSent = false;
  readonly head = Promise.withResolvers<Head>();

  writeHead(status: number, headers: Head["headers"]): void {
    this.headersSent = true;
    this.head.resolve({ status, headers });
  }

  flushHeaders(): void {}
}

export function modelGateway(door: Door, gateways: Gateways): ModelGateway {
  return {
    exists: (id) => gateways.find(id) !== undefined,
    async run(gateway, model, inputs, { metadata, authorization, signal }) {
      const intake = new Intake();
      // Read as it comes; a reader that stops ends the request.
      intake.on("error", (cause: unknown) => intake.head.reject(gatewayError("unreachable", undefined, { cause })));
      intake.once("close", () => intake.head.reject(gatewayError("unreachable")));
      const abort = (): void => void intake.destroy();
      signal?.addEventListener("abort", abort, { once: true });
      const options = { id: gateway ?? DEFAULT_GATEWAY, ...(metadata !== undefined && { metadata }) };
      const key = authorization === undefined ? {} : { authorization };
      void door.run({ model, inputs, options }, key, intake).catch((error: unknown) => {
        intake.head.reject(error);
        intake.destroy();
      });
      try {
        const { status, headers } = await intake.head.promise;
        const type = String(headers["content-type"] ?? "");
        if (status < 400 && !type.includes("json")) return { type, body: intake };
        const body = JSON.parse(await text(intake)) as { errors?: readonly { message?: string }[]; error?: unknown };
        if (status < 400) return { json: body };
        throw gatewayError("modelFailed", body.errors?.[0]?.message ?? (JSON.stringify(body.error ?? body) as string).slice(0, 500));
      } finally {
        signal?.removeEventListener("abort", abort);
      }
    },
  };
}
