/**
 * Point-in-time recovery, which workerd's storage does not implement: the three methods of `ctx.storage`, and the restore
 * itself before an object's constructor. Runs before the user's classes (`main-module.ts`); the copies are the platform's
 * (`recovery.ts`). https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/
 */
import * as runtime from "cloudflare:workers";
import type { ObjectKey } from "./remote-protocol.worker.ts";
import { RECOVERY_BINDING } from "./remote-protocol.worker.ts";

type Constructor = new (ctx: DurableObjectState, env: unknown) => object;
type Env = Record<string, unknown>;
interface Self {
  readonly key: ObjectKey;
  /** Undefined for key-value storage, which has no history. */
  readonly channel: Fetcher["fetch"] | undefined;
  readonly ctx: DurableObjectState;
}

/** workerd's own words. */
const NOT_IMPLEMENTED = "This Durable Object's storage back-end does not implement point-in-time recovery.";

let channel: Fetcher["fetch"] | undefined;
/** What stubs and service bindings have their `fetch()` from. */
export let fetcherPrototype: object | undefined;

/** Takes the way to the platform out of `env`, before user code sees it. */
function takeChannel(env: Env): void {
  const fetcher = env[RECOVERY_BINDING] as Fetcher | undefined;
  if (fetcher === undefined) return;
  channel = fetcher.fetch.bind(fetcher);
  fetcherPrototype = Object.getPrototypeOf(fetcher) as object;
  delete env[RECOVERY_BINDING];
}
takeChannel((runtime as unknown as { env?: Env }).env ?? {});

/** Objects that are to be restored when they start next. */
const pending = new Set<string>();
export const setPending = (keys: readonly ObjectKey[]): void => {
  for (const { part, id } of keys) pending.add(`${part} ${id}`);
};

async function ask({ channel, key }: Self, question: object): Promise<string> {
  if (channel === undefined) throw new Error(NOT_IMPLEMENTED);
  const answer = await channel("http://platform/", { method: "POST", body: JSON.stringify({ ...key, ...question }) });
  const { error, bookmark } = (await answer.json()) as { error?: string; bookmark?: string };
  if (error !== undefined) throw new Error(error);
  return bookmark ?? "";
}

/** Lets nothing else into the object meanwhile. A failure is the caller's, and does not reset the object. */
async function undisturbed<T>(ctx: DurableObjectState, work: () => Promise<T>): Promise<T> {
  const outcome = await ctx.blockConcurrencyWhile(async () => {
    try {
      return { value: await work() };
    } catch (error) {
      return { error };
    }
  });
  if ("error" in outcome) throw outcome.error;
  return outcome.value as T;
}

const selves = new WeakMap<object, Self>();
const methods: Readonly<Record<string, (self: Self, argument: unknown) => Promise<string>>> = {
  getCurrentBookmark: (self) =>
    undisturbed(self.ctx, async () => {
      await self.ctx.storage.sync();
      return ask(self, { ask: "current" });
    }),
  getBookmarkForTime: async (self, time) => ask(self, { ask: "at", time: new Date(time as number | Date).getTime() }),
  async onNextSessionRestoreBookmark(self, bookmark) {
    const undo = await ask(self, { ask: "next", bookmark: String(bookmark) });
    pending.add(`${self.key.part} ${self.key.id}`);
    return undo;
  },
};

const patched = new WeakSet<object>();
function patch(prototype: Record<string, (this: object, argument: unknown) => unknown>): void {
  if (patched.has(prototype)) return;
  patched.add(prototype);
  for (const [name, method] of Object.entries(methods)) {
    prototype[name] = async function (argument) {
      const self = selves.get(this);
      if (self === undefined) throw new Error(NOT_IMPLEMENTED);
      return method(self, argument);
    };
  }
}

/** Stands for an object that is constructed when `before` has ended; no event comes earlier. */
function later(ctx: DurableObjectState, prototype: object, before: () => Promise<unknown>, construct: () => object): object {
  let object: Record<PropertyKey, unknown> | undefined;
  ctx.blockConcurrencyWhile(async () => {
    await before();
    object = construct() as Record<PropertyKey, unknown>;
  });
  return new Proxy(Object.create(prototype) as object, {
    get(target, name) {
      const value: unknown = Reflect.get(object ?? target, name);
      if (typeof value !== "function" || name === "constructor") return value;
      return (...args: unknown[]): unknown => Reflect.apply(Reflect.get(object as object, name) as () => unknown, object, args);
    },
  });
}

/** The user's class, whose objects can go back to bookmarks. `part` is the part of the namespace in the platform's files. */
export function recoverable(base: Constructor, part: string, sqlite: boolean): Constructor {
  const { [base.name]: named } = {
    [base.name]: class extends base {
      // biome-ignore lint/correctness/noUnreachableSuper: an object that is to be restored is constructed when it has been.
      constructor(ctx: DurableObjectState, env: Env) {
        takeChannel(env);
        const key: ObjectKey = { part, id: ctx.id.toString() };
        const self: Self = { key, channel: sqlite ? channel : undefined, ctx };
        selves.set(ctx.storage, self);
        patch(Object.getPrototypeOf(ctx.storage));
        const name = `${key.part} ${key.id}`;
        if (pending.has(name)) {
          const restore = async (): Promise<void> => {
            await ask(self, { ask: "restore" });
            pending.delete(name);
          };
          const { prototype } = new.target;
          // biome-ignore lint/correctness/noConstructorReturn: the object itself comes after the restore, which takes a while.
          return later(ctx, prototype, restore, () => Reflect.construct(base, [ctx, env], new.target));
        }
        super(ctx, env);
      }
    } as unknown as Constructor,
  };
  return named as Constructor;
}
