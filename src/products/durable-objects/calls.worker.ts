/**
 * The calls that objects have in hand: refuses what is too much, with the documented errors, and tells which objects are
 * busy (`reset.worker.ts`). Runs before the user's classes (`main-module.ts`) and counts calls of `fetch` and of methods
 * from their start in the object to their answer, those of the object by itself included; what waits before the object's
 * input gate it cannot see. WebSocket messages and alarms do not count.
 * https://developers.cloudflare.com/durable-objects/observability/troubleshooting/
 */
import { DurableObject } from "cloudflare:workers";
import type { LiveObject } from "./remote-protocol.worker.ts";

export interface LoadLimits {
  /** Calls in hand at a time; 0 = unlimited. */
  readonly callsMax: number;
  /** Calls that begin in ten seconds; 0 = unlimited. */
  readonly callsPerWindowMax: number;
}

type Constructor = new (ctx: DurableObjectState, env: unknown) => object;
type Method = (this: object, ...args: unknown[]) => unknown;

const WINDOW_MS = 10_000;
/** Called by workerd itself, and not by callers. */
const EVENTS = new Set(["constructor", "alarm", "webSocketMessage", "webSocketClose", "webSocketError"]);

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

const loads = new WeakMap<object, Load>();

export const busyObjects = (): LiveObject[] => [...busy.values()].map(({ object }) => object);

function counted(method: Method, limits: LoadLimits): Method {
  return function (...args) {
    const load = loads.get(this);
    // The user's constructor calls a method.
    if (load === undefined) return method.apply(this, args);
    load.enter(limits);
    let answer: unknown;
    try {
      answer = method.apply(this, args);
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

/** The user's class, whose methods refuse what is too much. `part` is the name under which the process exports it. */
export function sheddable(base: Constructor, part: string, limits: LoadLimits): Constructor {
  const { [base.name]: named } = {
    [base.name]: class extends base {
      constructor(ctx: DurableObjectState, env: unknown) {
        super(ctx, env);
        loads.set(this, new Load({ part, id: ctx.id.toString() }));
      }
    },
  };
  const own = (named as Constructor).prototype as Record<string, Method>;
  for (
    let at = base.prototype as object;
    at !== null && at !== DurableObject.prototype && at !== Object.prototype;
    at = Object.getPrototypeOf(at)
  ) {
    for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (typeof property.value !== "function" || EVENTS.has(name) || Object.hasOwn(own, name)) continue;
      Object.defineProperty(own, name, { ...property, value: counted(property.value as Method, limits) });
    }
  }
  return named as Constructor;
}
