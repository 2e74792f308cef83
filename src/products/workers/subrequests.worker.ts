/**
 * Counts what one invocation calls, which open workerd does not: its subrequests, its connections, and how many invocations
 * of Workers its request has gone through. It stands between workerd and the user's module (`subrequests.ts`): each handler
 * runs in an asynchronous context of its own, and the fetch() of bindings and of the global scope is counted in it. RPC calls
 * are not.
 *
 * The depth travels in the header CF-EW-Via, whose value is the number of invocations that are left, as documented
 * (Workers, Observability, Errors and exceptions, "Loop limit").
 *
 * What the platform says of one call of a user Worker comes in headers that user code never sees: its limit of subrequests,
 * the sealed token that its fetch() bears on the way to the outbound Worker, and there the parameters for `env`.
 */

import { DurableObject, env, WorkerEntrypoint, withEnv } from "cloudflare:workers";
// @ts-expect-error The types of Workers do not know Node's modules.
import { AsyncLocalStorage } from "node:async_hooks";

interface Invocation {
  /** Invocations that the request may still go through. */
  readonly left: number;
  subrequests: number;
  readonly subrequestsMax: number;
  /** Connections that wait for an answer. */
  connections: number;
  /** Begin calls that wait for a connection, in order. */
  readonly waiting: (() => void)[];
  /** What its fetch() bears, for the platform to know the call by. */
  readonly token: string | null;
  /** What `env` has besides the bindings. */
  readonly parameters: object | undefined;
  /** Calls of methods that have a limit of their own, by its name. */
  readonly calls: Map<string, number>;
}

type Method = (this: unknown, ...args: unknown[]) => unknown;
type Class = new (...args: never[]) => object;

/** A request goes through at most 32 invocations by bindings (docs: Service bindings, Limits), and 16 by its host name. */
const INVOCATIONS_MAX = 32;
const LOOPS_MAX = 16;
/** Connections of an invocation that may wait for an answer at a time (docs: Workers, Platform, Limits). Others wait for one of them. */
const CONNECTIONS_MAX = 6;
const VIA = "cf-ew-via";
/** Headers of the platform's own: `user-workers.ts`. */
const SUBREQUESTS = "x-freehold-subrequests";
const TOKEN = "x-freehold-call";
const PARAMETERS = "x-freehold-outbound";

const current: { getStore(): Invocation | undefined; run<T>(invocation: Invocation, work: () => T): T } = new AsyncLocalStorage();
const roots: ReadonlySet<object> = new Set([WorkerEntrypoint.prototype, DurableObject.prototype, Object.prototype]);
let subrequestsMax = Number.POSITIVE_INFINITY;

/** Sets the number of subrequests of one invocation. */
export function limit(subrequests: number): void {
  subrequestsMax = subrequests;
}

/** Limits how often an invocation may call the method of a binding's objects, whichever of them; past it the call throws. */
export function limitCalls(binding: string, method: string, max: number, message: string): void {
  const value = (env as Record<string, unknown>)[binding];
  if (typeof value !== "object" || value === null) return;
  const level = Object.getPrototypeOf(value) as Record<string, Method>;
  const limited = `${level.constructor?.name}.${method}`;
  if (patchedCalls.has(limited)) return;
  patchedCalls.add(limited);
  const own = level[method] as Method;
  level[method] = function (this: unknown, ...given) {
    const calls = current.getStore()?.calls;
    const count = (calls?.get(limited) ?? 0) + 1;
    if (count > max) throw new Error(message);
    calls?.set(limited, count);
    return own.apply(this, given);
  };
}

const patchedCalls = new Set<string>();

/** Makes `caches.default` unusable, as it is for user Workers that their namespace does not trust. */
export function withoutDefaultCache(): void {
  Object.defineProperty(caches, "default", {
    get() {
      throw new Error("caches.default is disabled for Workers of a dispatch namespace. Use caches.open() instead.");
    },
  });
}

type Work<T> = (args: unknown[], invocation: Invocation | undefined) => T;

function run<T>(args: unknown[], work: Work<T>): T {
  // A method that another one of the same invocation calls.
  if (current.getStore() !== undefined) return work(args, undefined);
  const [first, ...rest] = args;
  const headers = first instanceof Request ? first.headers : undefined;
  const via = headers?.get(VIA) ?? null;
  const max = headers?.get(SUBREQUESTS) ?? null;
  const token = headers?.get(TOKEN) ?? null;
  const given = headers?.get(PARAMETERS) ?? null;
  const invocation: Invocation = {
    left: via === null ? INVOCATIONS_MAX - 1 : Number(via),
    subrequests: 0,
    connections: 0,
    waiting: [],
    subrequestsMax: Math.min(subrequestsMax, max === null ? subrequestsMax : Number(max)),
    token,
    parameters: given === null ? undefined : JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(given))),
    calls: new Map(),
  };
  const told = max !== null || token !== null || given !== null;
  const shown = told ? [without(first as Request), ...rest] : args;
  return current.run(invocation, () => work(shown, invocation));
}

/** The request without what the platform says in it. */
function without(request: Request): Request {
  const seen = new Request(request);
  for (const name of [SUBREQUESTS, TOKEN, PARAMETERS]) seen.headers.delete(name);
  return seen;
}

/** Runs a handler under an `env` that has the invocation's parameters, too. */
function withParameters<T>(bindings: unknown, parameters: object, work: (extended: unknown) => T): T {
  const extended = { ...(bindings as object), ...parameters };
  return withEnv(extended, () => work(extended)) as T;
}

/** Runs `work`, which has a connection until it answers, as soon as one is free. Without others it starts at once. */
async function connected<T>(invocation: Invocation, work: () => T): Promise<Awaited<T>> {
  if (invocation.connections < CONNECTIONS_MAX) invocation.connections++;
  else await new Promise<void>((resolve) => invocation.waiting.push(resolve));
  try {
    return await work();
  } finally {
    const next = invocation.waiting.shift();
    if (next === undefined) invocation.connections--;
    else next();
  }
}

/** The method, counted in the invocation that calls it; errors are rejections, as of every asynchronous method. */
function counted(method: Method, args: (given: unknown[], invocation: Invocation) => unknown[], connects = true): Method {
  return function (this: unknown, ...given) {
    const invocation = current.getStore();
    if (invocation === undefined) return method.apply(this, given);
    try {
      if (++invocation.subrequests > invocation.subrequestsMax) {
        throw new Error(
          "Too many subrequests by single Worker invocation. To configure this limit, refer to https://developers.cloudflare.com/workers/wrangler/configuration/#limits",
        );
      }
      const shown = args(given, invocation);
      return connects ? connected(invocation, () => method.apply(this, shown)) : method.apply(this, shown);
    } catch (error) {
      return Promise.reject(error);
    }
  };
}

/** The arguments of a fetch() with the number of invocations that are left after it. */
function via(given: unknown[], left: number): unknown[] {
  const request = new Request(...(given as [RequestInfo, RequestInit]));
  request.headers.set(VIA, String(left));
  return [request];
}

function throughBinding(given: unknown[], { left }: Invocation): unknown[] {
  if (left <= 0) {
    throw new Error(
      "Subrequest depth limit exceeded. This request recursed through Workers too many times. This can happen e.g. if you have a Worker or Durable Object that calls other Workers or objects recursively.",
    );
  }
  return via(given, left - 1);
}

function throughNetwork(given: unknown[], { left, token }: Invocation): unknown[] {
  const [request] = via(given, Math.min(left, LOOPS_MAX) - 1) as [Request];
  if (token !== null) request.headers.set(TOKEN, token);
  return [request];
}
const asGiven = (given: unknown[]): unknown[] => given;

/** Operations of bindings that are subrequests, by the names of workerd's classes. */
const operations: Readonly<Record<string, readonly string[]>> = {
  KvNamespace: ["get", "getWithMetadata", "put", "delete", "list"],
  R2Bucket: ["head", "get", "put", "delete", "list", "createMultipartUpload"],
  WorkerQueue: ["send", "sendBatch"],
  Cache: ["match", "put", "delete"],
};

const patched = new WeakSet<object>();

function patch(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  for (let level = Object.getPrototypeOf(value); level !== null && !roots.has(level); level = Object.getPrototypeOf(level)) {
    if (patched.has(level)) continue;
    patched.add(level);
    const name = level.constructor.name as string;
    if (name === "Fetcher") level.fetch = counted(level.fetch, throughBinding, false);
    for (const operation of operations[name] ?? []) level[operation] = counted(level[operation], asGiven);
  }
}

for (const binding of Object.values(env)) patch(binding);
patch(caches.default);
globalThis.fetch = counted(globalThis.fetch as Method, throughNetwork) as typeof fetch;

/** The default export: an object of handlers, or a class. */
export function handlers(main: unknown): unknown {
  if (typeof main === "function") return entrypoint(main as unknown as Class);
  if (typeof main !== "object" || main === null) return main;
  const wrapped = Object.create(main) as object;
  for (const name of methodNames(main)) {
    const handler = (main as Record<string, Method>)[name] as Method;
    Object.defineProperty(wrapped, name, {
      value: (...args: unknown[]) =>
        run(args, ([event, bindings, ...rest], invocation) => {
          const parameters = invocation?.parameters;
          if (parameters === undefined) return handler.call(main, event, bindings, ...rest);
          return withParameters(bindings, parameters, (extended) => handler.call(main, event, extended, ...rest));
        }),
      enumerable: true,
    });
  }
  return wrapped;
}

/** Names of an object's methods, its own and those of its classes. */
function methodNames(object: object): Set<string> {
  const names = new Set<string>();
  for (let level = object; level !== null && !roots.has(level); level = Object.getPrototypeOf(level))
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(level)))
      if (typeof value === "function" && name !== "constructor") names.add(name);
  return names;
}

/**
 * The class with the same name whose objects are called through a door: each call of a method from outside runs in a context
 * of its own, and user code finds in `this` the very functions that it declared.
 */
export function object(base: Class): Class {
  const { [base.name]: named } = {
    [base.name]: class extends base {
      constructor(...args: never[]) {
        super(...args);
        // biome-ignore lint/correctness/noConstructorReturn: workerd takes the door for the object.
        return new Proxy(this, {
          get: (target, name) => {
            const value: unknown = Reflect.get(target, name);
            if (typeof value !== "function" || name === "constructor") return value;
            return (...given: unknown[]) => called(target, value as Method, given);
          },
        });
      }
    },
  } as Record<string, Class>;
  return named as Class;
}

/** Calls a method of an instance in a context of its own, with the invocation's parameters in its `env`. */
function called(instance: object, method: Method, args: unknown[]): unknown {
  return run(args, (given, invocation) => {
    const parameters = invocation?.parameters;
    if (parameters === undefined) return method.apply(instance, given);
    return withParameters((instance as { env: unknown }).env, parameters, (value) => {
      Object.defineProperty(instance, "env", { value });
      return method.apply(instance, given);
    });
  });
}

/** The class with the same name, each of whose methods runs in a context of its own. */
export function entrypoint(base: Class): Class {
  const { [base.name]: named } = { [base.name]: class extends base {} } as Record<string, Class>;
  const { prototype } = named as Class;
  for (let level = base.prototype as object; !roots.has(level); level = Object.getPrototypeOf(level) as object) {
    for (const name of Object.getOwnPropertyNames(level)) {
      if (Object.hasOwn(prototype, name)) continue;
      const property = Object.getOwnPropertyDescriptor(level, name) as PropertyDescriptor;
      const method = property.value as unknown;
      if (typeof method !== "function") continue;
      Object.defineProperty(prototype, name, {
        ...property,
        value(this: object, ...args: unknown[]) {
          return called(this, method as Method, args);
        },
      });
    }
  }
  return named as Class;
}
