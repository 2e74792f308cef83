/**
 * The binding type "ratelimit" and its counters (docs: Workers, Rate Limiting). A namespace is a number that the user
 * chooses; bindings of equal number share its counters, whatever their limits, also across Workers. Counters live in
 * memory, as those of the real service live in one location: a restart forgets them.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../../kernel/clock.ts";
import type { BindingCompiler, CapabilityMint, Claims } from "../../kernel/product.ts";
import { workerModule } from "../../kernel/workerd/module.ts";
import { bodyOf } from "../../kernel/workerd/request-body.ts";
import { workersError } from "./errors.ts";

const MODULE = "freehold:rate-limiter";
const PERIODS_S = [10, 60];
/** Longer keys are refused: they are identifiers, and each is kept for a period. */
const KEY_MAX_BYTES = 16 * 1024;
/** Keys counted at a time. Past it the one whose window began first is forgotten: a limit that lets too much through, not too little. */
const WINDOWS_MAX = 200_000;

export interface RateLimits {
  readonly binding: BindingCompiler;
  /** Counts one call. False: it is past the limit. */
  count(namespace: string, key: string, limit: number, periodMs: number): boolean;
  /** Serves the binding's `limit()`. */
  serve(claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void>;
}

export function rateLimits(clock: Clock, mint: CapabilityMint): RateLimits {
  /** By namespace, period and key, in the order in which the windows began. */
  const windows = new Map<string, { readonly endsAt: number; calls: number }>();

  function count(namespace: string, key: string, limit: number, periodMs: number): boolean {
    const now = clock.now();
    const name = `${namespace}/${periodMs}/${key}`;
    let window = windows.get(name);
    // A clock that was set back must not keep a window open for longer than a period.
    if (window === undefined || now >= window.endsAt || window.endsAt - now > periodMs) {
      windows.delete(name);
      window = { endsAt: now + periodMs, calls: 0 };
      windows.set(name, window);
      forgetOld(now);
    }
    window.calls++;
    return window.calls <= limit;
  }

  function forgetOld(now: number): void {
    for (const [name, { endsAt }] of windows) {
      if (endsAt > now && windows.size <= WINDOWS_MAX) return;
      windows.delete(name);
    }
  }

  return {
    count,
    binding: {
      async validate(b) {
        const { namespace_id: namespace, simple } = b as { namespace_id?: unknown; simple?: { limit?: unknown; period?: unknown } };
        if (!/^[1-9]\d{0,18}$/.test(String(namespace)))
          throw workersError("validation", `Rate limit binding "${b.name}" must have a \`namespace_id\` that is a positive integer.`);
        const { limit, period } = simple ?? {};
        if (typeof limit !== "number" || !Number.isInteger(limit) || limit < 1)
          throw workersError("validation", `Rate limit binding "${b.name}" must have a \`simple.limit\` that is a positive integer.`);
        if (!PERIODS_S.includes(period as number))
          throw workersError("validation", `Rate limit binding "${b.name}" must have a \`simple.period\` of either 10 or 60.`);
        return { type: b.type, name: b.name, namespace_id: String(namespace), simple: { limit, period } };
      },
      async compile(b) {
        const { limit, period } = b.simple as { limit: number; period: number };
        const service = `ratelimit:${b.namespace_id}:${limit}:${period}`;
        const claims = { kind: "ratelimit", namespace: b.namespace_id as string, limit, periodMs: period * 1000 };
        return {
          bindings: [{ name: b.name, wrapped: { moduleName: MODULE, innerBindings: [{ name: "counter", service }] } }],
          services: [mint.node(service, claims)],
          extensions: [{ name: MODULE, esModule: workerModule(import.meta.url, "./rate-limiter.worker.ts"), internal: true }],
        };
      },
    },
    async serve(claims, request, response) {
      const key = (await bodyOf(request, KEY_MAX_BYTES))?.toString("utf8");
      if (key === undefined) return void response.writeHead(413).end();
      const within = count(String(claims.namespace), key, Number(claims.limit), Number(claims.periodMs));
      response.writeHead(within ? 204 : 429).end();
    },
  };
}
