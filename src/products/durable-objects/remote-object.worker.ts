/**
 * Stands for objects that another process has. It runs in the process of the Worker that binds them, under the same
 * namespace key, so that the binding is workerd's own class and gives the same ids; every call goes on, in order, to
 * `objects.worker.ts` beside the real object. It stores nothing.
 */
import { DurableObject } from "cloudflare:workers";
import type { Objects } from "./objects.worker.ts";
import { type Jurisdiction, OBJECT_HEADER, type ObjectName } from "./remote-protocol.worker.ts";

interface Env {
  readonly OBJECTS: Service<Objects>;
}

/** Names that workerd calls itself, and refuses as remote methods. */
const HANDLERS = new Set(["alarm", "connect", "webSocketMessage", "webSocketClose", "webSocketError"]);

export class RemoteObject extends DurableObject<Env> {
  static readonly jurisdiction: Jurisdiction | undefined = undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const object: ObjectName = { id: ctx.id.toString(), name: ctx.id.name, jurisdiction: new.target.jurisdiction };
    const remote = env.OBJECTS as unknown as {
      call(object: ObjectName, method: string, args: unknown[]): Promise<unknown>;
      property(object: ObjectName, name: string): Promise<unknown>;
      fetch(request: Request): Promise<Response>;
    };
    const members = new Map<PropertyKey, unknown>([
      ["constructor", RemoteObject],
      [
        "fetch",
        (input: Request): Promise<Response> => {
          const request = new Request(input);
          request.headers.set(OBJECT_HEADER, encodeURIComponent(JSON.stringify(object)));
          return remote.fetch(request);
        },
      ],
    ]);
    // biome-ignore lint/correctness/noConstructorReturn: what callers reach must be the remote object's members and none of ours, above all not `env`.
    return new Proxy(this, {
      get(_self, name) {
        if (typeof name !== "string" || members.has(name) || HANDLERS.has(name)) return members.get(name);
        const call = (...args: unknown[]): Promise<unknown> => remote.call(object, name, args);
        // A property is a promise, a method a function: which of the two it is only the remote object knows.
        return Object.assign(call, {
          // biome-ignore lint/suspicious/noThenProperty: awaiting it reads the property.
          then: (resolve: (value: unknown) => unknown, reject: (error: unknown) => unknown) =>
            remote.property(object, name).then(resolve, reject),
        });
      },
    });
  }
}

class OfEu extends RemoteObject {
  static override readonly jurisdiction = "eu";
}
class OfFedramp extends RemoteObject {
  static override readonly jurisdiction = "fedramp";
}

export { OfEu as "RemoteObject@eu", OfFedramp as "RemoteObject@fedramp" };

export default {};
