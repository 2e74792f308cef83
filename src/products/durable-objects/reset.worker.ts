/**
 * Resets objects whose code was updated: what still runs in them ends with the documented error, their storage stays.
 * Runs before the user's classes (`main-module.ts`) and knows which objects of this isolate are alive. Asked by
 * `objects.worker.ts` when the process must let go of its objects.
 * https://developers.cloudflare.com/durable-objects/observability/troubleshooting/
 */
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import { type LiveObject, RESET_HEADER, RESET_METHOD } from "./remote-protocol.worker.ts";

const MESSAGE = "Durable Object reset because its code was updated.";

/** Objects that were made and not collected yet, by class and id. */
const alive = new Map<string, { readonly object: LiveObject; readonly instance: WeakRef<object> }>();
const collected = new FinalizationRegistry<string>((key) => {
  if (alive.get(key)?.instance.deref() === undefined) alive.delete(key);
});

type Constructor = new (ctx: DurableObjectState, env: unknown) => object;

/** The user's class, with what lets its objects be reset. `part` is the name under which the process exports it. */
export function resettable(base: Constructor, part: string): Constructor {
  const { [base.name]: named } = {
    [base.name]: class extends base {
      readonly #ctx: DurableObjectState;

      constructor(ctx: DurableObjectState, env: unknown) {
        super(ctx, env);
        this.#ctx = ctx;
        const object: LiveObject = { part, id: ctx.id.toString() };
        const key = `${object.part} ${object.id}`;
        alive.set(key, { object, instance: new WeakRef(this) });
        collected.register(this, key);
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

/** For `objects.worker.ts` alone: which objects there are. */
export class Alive extends WorkerEntrypoint {
  list(): LiveObject[] {
    return [...alive.values()].filter(({ instance }) => instance.deref() !== undefined).map(({ object }) => object);
  }
}
