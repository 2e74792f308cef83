/**
 * What objects have in hand: calls of `fetch` and of methods, alarms and WebSocket events, from their start in the object
 * to their answer. Refuses calls that are too many, with the documented errors; tells which objects are busy
 * (`reset.worker.ts`); counts invocations and active time (`usage.worker.ts`). Stands between workerd and the user's object
 * (`main-module.ts`): what waits before the object's input gate it cannot see, and what the object calls of itself does not
 * come by here. https://developers.cloudflare.com/durable-objects/observability/troubleshooting/
 */
// @ts-expect-error The types of Workers do not know Node's modules.
import { AsyncLocalStorage } from "node:async_hooks";
import { fetcherPrototype } from "./recovery.worker.ts";
import { DELETE_METHOD, type LiveObject, QUERY_METHOD, RESET_HEADER, RESET_METHOD } from "./remote-protocol.worker.ts";
import { isOwn, type OwnShare } from "./split.worker.ts";
import { bodyBytes, countSubrequests, meter, type ObjectUsage } from "./usage.worker.ts";

export interface LoadLimits {
  /** Calls in hand at a time; 0 = unlimited. */
  readonly callsMax: number;
  /** Calls that begin in ten seconds; 0 = unlimited. */
  readonly callsPerWindowMax: number;
}

/** The part of a namespace that a class's objects belong to. */
export interface Part {
  /** The name under which the process exports the class. */
  readonly name: string;
  readonly uniqueKey: string;
  readonly sqlite: boolean;
  /** Which of them are this version's, while another is deployed beside it. */
  readonly own?: OwnShare;
}

type Constructor = new (ctx: DurableObjectState, env: unknown) => object;
type Method = (...args: unknown[]) => unknown;

const WINDOW_MS = 10_000;
const NOT_HERE = "Another version of the Worker has this Durable Object: it is reached by a binding.";
/** Called by workerd itself, and not by callers: never refused. */
const EVENTS = new Set<PropertyKey>(["alarm", "webSocketMessage", "webSocketClose", "webSocketError"]);
/** Called by the platform: no work of the object. */
const UNCOUNTED = new Set<PropertyKey>([QUERY_METHOD, DELETE_METHOD, RESET_METHOD]);

/** What the object uses whose event runs. */
const running: { getStore(): ObjectUsage | undefined; run<T>(usage: ObjectUsage, work: () => T): T } = new AsyncLocalStorage();

function overloaded(why: string): Error {
  return Object.assign(new Error(`Durable Object is overloaded. ${why}`), { overloaded: true });
}

/** Objects with calls in hand, by class and id. */
const busy = new Map<string, Load>();

class Load {
  readonly object: LiveObject;
  readonly usage: ObjectUsage;
  readonly #key: string;
  #inHand = 0;
  #activeSince = 0;
  #windowStart = 0;
  #inWindow = 0;

  constructor(object: LiveObject, usage: ObjectUsage) {
    this.object = object;
    this.usage = usage;
    this.#key = `${object.part} ${object.id}`;
    // Calls of an instance that was reset never end.
    busy.delete(this.#key);
  }

  /** Throws the documented errors. */
  admit({ callsMax, callsPerWindowMax }: LoadLimits, now: number): void {
    if (callsMax > 0 && this.#inHand >= callsMax) throw overloaded("Too many requests queued.");
    if (now - this.#windowStart >= WINDOW_MS) {
      this.#windowStart = now;
      this.#inWindow = 0;
    }
    if (callsPerWindowMax > 0 && this.#inWindow >= callsPerWindowMax) {
      throw overloaded("Too many requests for the same object within a 10 second window.");
    }
    this.#inWindow++;
  }

  enter(now: number): void {
    if (this.#inHand++ > 0) return;
    this.#activeSince = now;
    busy.set(this.#key, this);
  }

  leave(now: number): void {
    if (--this.#inHand > 0) return;
    if (busy.get(this.#key) === this) busy.delete(this.#key);
    this.usage.rested(now - this.#activeSince);
  }
}

export const busyObjects = (): LiveObject[] => [...busy.values()].map(({ object }) => object);

/** A class of the older kind is asked to reset by `fetch`. */
const isReset = ([request]: unknown[]): boolean => request instanceof Request && request.headers.has(RESET_HEADER);

function counted(name: PropertyKey, method: Method, load: Load, limits: LoadLimits): Method {
  const isEvent = EVENTS.has(name);
  const type = isEvent || name === "fetch" ? String(name) : "jsrpc";
  return (...args) => {
    if (isReset(args)) return method(...args);
    const began = Date.now();
    if (!isEvent) load.admit(limits, began);
    load.enter(began);
    const end = (status: string, bytes: number): void => {
      const now = Date.now();
      load.usage.invoked(type, status, now - began, bytes);
      load.leave(now);
    };
    const failed = (): void => end("scriptThrewException", 0);
    const succeeded = (answer: unknown): void => end("success", type === "fetch" ? bodyBytes(answer) : 0);
    let answer: unknown;
    try {
      answer = running.run(load.usage, () => method(...args));
    } catch (error) {
      failed();
      throw error;
    }
    if (answer instanceof Promise) answer.then(succeeded, failed);
    else succeeded(answer);
    return answer;
  };
}

/**
 * The class whose objects are counted and refuse what is too much. What workerd gets of it stands before the object and is
 * not the object: user code finds in `this` the very functions that it declared.
 */
export function sheddable(base: Constructor, part: Part, limits: LoadLimits): Constructor {
  const { [base.name]: named } = {
    [base.name]: class extends base {
      constructor(ctx: DurableObjectState, env: unknown) {
        // Whatever way led here: an object never runs in two versions.
        if (part.own !== undefined && !isOwn(part.own, ctx.id.toString())) throw new Error(NOT_HERE);
        const usage = meter(ctx.storage, part.uniqueKey, part.sqlite);
        super(ctx, env);
        countSubrequests(fetcherPrototype, () => running.getStore());
        const load = new Load({ part: part.name, id: ctx.id.toString() }, usage);
        // biome-ignore lint/correctness/noConstructorReturn: workerd takes the door for the object.
        return door(this, (name, method) => (UNCOUNTED.has(name) ? method : counted(name, method, load, limits)));
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
