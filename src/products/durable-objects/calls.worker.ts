/**
 * The calls that objects have in hand: refuses what is too much, with the documented errors, and tells which objects are
 * busy (`reset.worker.ts`). Stands between workerd and the user's object (`main-module.ts`) and counts calls of `fetch` and
 * of methods from their start in the object to their answer; what waits before the object's input gate it cannot see, and
 * what the object calls of itself does not come by here. WebSocket messages and alarms do not count.
 * https://developers.cloudflare.com/durable-objects/observability/troubleshooting/
 */
import { type LiveObject, QUERY_METHOD, RESET_HEADER, RESET_METHOD } from "./remote-protocol.worker.ts";

export interface LoadLimits {
  /** Calls in hand at a time; 0 = unlimited. */
  readonly callsMax: number;
  /** Calls that begin in ten seconds; 0 = unlimited. */
  readonly callsPerWindowMax: number;
}

type Constructor = new (ctx: DurableObjectState, env: unknown) => object;
type Method = (...args: unknown[]) => unknown;

const WINDOW_MS = 10_000;
/** Called by workerd itself or by the platform, and not by callers. */
const UNCOUNTED = new Set<PropertyKey>(["alarm", "webSocketMessage", "webSocketClose", "webSocketError", QUERY_METHOD, RESET_METHOD]);

function overloaded(why: string): Error {
  return Object.assign(new Error(`Durable Object is overloaded. ${why}`), { overloaded: true });
}

/** Objects with calls in hand, by class and id. */
const busy = new Map<string, Load>();

class Load {
  readonly object: LiveObject;
  readonly #key: string;
  #inHand = 0;
  #windowStart = 0;
  #inWindow = 0;

  constructor(object: LiveObject) {
    this.object = object;
    this.#key = `${object.part} ${object.id}`;
    // Calls of an instance that was reset never end.
    busy.delete(this.#key);
  }

  enter({ callsMax, callsPerWindowMax }: LoadLimits): void {
    if (callsMax > 0 && this.#inHand >= callsMax) throw overloaded("Too many requests queued.");
    const now = Date.now();
    if (now - this.#windowStart >= WINDOW_MS) {
      this.#windowStart = now;
      this.#inWindow = 0;
    }
    if (callsPerWindowMax > 0 && this.#inWindow >= callsPerWindowMax) {
      throw overloaded("Too many requests for the same object within a 10 second window.");
    }
    this.#inWindow++;
    if (this.#inHand++ === 0) busy.set(this.#key, this);
  }

  leave(): void {
    if (--this.#inHand === 0 && busy.get(this.#key) === this) busy.delete(this.#key);
  }
}

export const busyObjects = (): LiveObject[] => [...busy.values()].map(({ object }) => object);

/** A class of the older kind is asked to reset by `fetch`. */
const isReset = ([request]: unknown[]): boolean => request instanceof Request && request.headers.has(RESET_HEADER);

function counted(method: Method, load: Load, limits: LoadLimits): Method {
  return (...args) => {
    if (isReset(args)) return method(...args);
    load.enter(limits);
    let answer: unknown;
    try {
      answer = method(...args);
    } catch (error) {
      load.leave();
      throw error;
    }
    if (answer instanceof Promise) {
      const leave = (): void => load.leave();
      answer.then(leave, leave);
    } else {
      load.leave();
    }
    return answer;
  };
}

/**
 * The class whose objects refuse what is too much. `part` is the name under which the process exports it. What workerd gets
 * of it stands before the object and is not the object: user code finds in `this` the very functions that it declared.
 */
export function sheddable(base: Constructor, part: string, limits: LoadLimits): Constructor {
  const { [base.name]: named } = {
    [base.name]: class extends base {
      constructor(ctx: DurableObjectState, env: unknown) {
        super(ctx, env);
        const load = new Load({ part, id: ctx.id.toString() });
        // biome-ignore lint/correctness/noConstructorReturn: workerd takes the door for the object.
        return door(this, (name, method) => (UNCOUNTED.has(name) ? method : counted(method, load, limits)));
      }
    },
  };
  return named as Constructor;
}

/** Stands for an object whose methods are called through `way`. */
function door(object: object, way: (name: PropertyKey, method: Method) => Method): object {
  return new Proxy(object, {
    get(_target, name) {
      const value: unknown = Reflect.get(object, name);
      if (typeof value !== "function" || name === "constructor") return value;
      return way(name, (...args) => Reflect.apply(value, object, args));
    },
  });
}
