/**
 * Resets objects whose code was updated: what still runs in them ends with the documented error, their storage stays.
 * Runs before the user's classes (`main-module.ts`). Asked by `objects.worker.ts` when the process must let go of its objects.
 * https://developers.cloudflare.com/durable-objects/observability/troubleshooting/
 */
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import { busyObjects } from "./calls.worker.ts";
import { type LiveObject, type PartUsage, RESET_HEADER, RESET_METHOD } from "./remote-protocol.worker.ts";
import { takeUsage } from "./usage.worker.ts";

const MESSAGE = "Durable Object reset because its code was updated.";

type Constructor = new (ctx: DurableObjectState, env: unknown) => object;

/** The user's class, with what lets its objects be reset. */
export function resettable(base: Constructor): Constructor {
  const { [base.name]: named } = {
    [base.name]: class extends base {
      readonly #ctx: DurableObjectState;

      constructor(ctx: DurableObjectState, env: unknown) {
        super(ctx, env);
        this.#ctx = ctx;
      }

      [RESET_METHOD](): void {
        this.#ctx.abort(MESSAGE);
      }
    },
  };
  const prototype = (named as Constructor).prototype as { fetch?: (request: Request) => unknown } & Record<string, () => void>;
  // A class of the older kind has no methods that can be called from outside but `fetch`.
  if (!(prototype instanceof DurableObject)) {
    const original = prototype.fetch;
    prototype.fetch = function (this: Record<string, () => void>, request: Request): unknown {
      if (request.headers.has(RESET_HEADER)) return (this[RESET_METHOD] as () => void)();
      return original?.call(this, request);
    };
  }
  return named as Constructor;
}

/** For `objects.worker.ts` alone. */
export class Alive extends WorkerEntrypoint {
  /** Objects that have calls in hand. The others need no reset: nobody would hear of it. */
  list(): LiveObject[] {
    return busyObjects();
  }

  /** What the objects used since the last call. */
  usage(): PartUsage[] {
    return takeUsage();
  }
}
