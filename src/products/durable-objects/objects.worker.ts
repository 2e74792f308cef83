/**
 * The way into a process's Durable Objects for bindings of other Workers. Its entrypoint runs beside the user's Worker
 * that implements the class, on a socket for each namespace, whose props name the binding. Only `remote-object.worker.ts`
 * speaks to it.
 */
import { WorkerEntrypoint } from "cloudflare:workers";
import {
  DELETE_METHOD,
  DELETED,
  ELSEWHERE,
  isOwnName,
  type LiveObject,
  OBJECT_HEADER,
  type ObjectName,
  type ObjectQuery,
  OWN_SHARE,
  QUERY_METHOD,
  RESET_HEADER,
  RESET_METHOD,
  type Statement,
  type StatementResult,
} from "./remote-protocol.worker.ts";
import type { Alive } from "./reset.worker.ts";
import { isOwn, type OwnShare } from "./split.worker.ts";

type Stub = DurableObjectStub & Record<string, (...args: unknown[]) => unknown>;
type Env = Readonly<Record<string, DurableObjectNamespace>> & { readonly [OWN_SHARE]?: OwnShare };

/** Whether this process has the object, and not that of another version of the Worker. */
const isHere = ({ [OWN_SHARE]: own }: Env, id: DurableObjectId): boolean => own === undefined || isOwn(own, id.toString());

export class Objects extends WorkerEntrypoint<Env, { readonly binding: string }> {
  #stub({ id, name, jurisdiction }: ObjectName): Stub {
    const { binding } = this.ctx.props;
    const part = jurisdiction === undefined ? binding : `${binding}-${jurisdiction}`;
    const idOf = (of: DurableObjectNamespace): DurableObjectId => (name === undefined ? of.idFromString(id) : of.idFromName(name));
    const here = this.env[part] as DurableObjectNamespace;
    const hereId = idOf(here);
    if (isHere(this.env, hereId)) return here.get(hereId) as Stub;
    const elsewhere = this.env[`${ELSEWHERE}${part}`] as DurableObjectNamespace;
    return elsewhere.get(idOf(elsewhere)) as Stub;
  }

  call(object: ObjectName, method: string, args: unknown[]): unknown {
    if (isOwnName(method)) throw new TypeError(`The RPC receiver does not implement the method "${method}".`);
    return (this.#stub(object)[method] as (...args: unknown[]) => unknown)(...args);
  }

  property(object: ObjectName, name: string): unknown {
    if (isOwnName(name)) throw new TypeError(`The RPC receiver does not implement the method "${name}".`);
    return this.#stub(object)[name];
  }

  override fetch(request: Request): Promise<Response> {
    const headers = new Headers(request.headers);
    const object = JSON.parse(decodeURIComponent(headers.get(OBJECT_HEADER) as string)) as ObjectName;
    headers.delete(OBJECT_HEADER);
    headers.delete(RESET_HEADER);
    return this.#stub(object).fetch(new Request(request, { headers }));
  }
}

/** Runs SQL in one object, or deletes it. Asked by the platform, on a socket of its own. */
export class Queries extends WorkerEntrypoint<Env> {
  override async fetch(request: Request): Promise<Response> {
    const query = (await request.json()) as ObjectQuery;
    try {
      const object = this.#find(query);
      if (!isHere(this.env, object.id)) return Response.json({});
      const stub = object.namespace.get(object.id) as Stub;
      if (query.action === "delete") {
        await (stub[DELETE_METHOD] as () => Promise<void>)().catch(unlessDeleted);
        return Response.json({ results: [] });
      }
      const run = stub[QUERY_METHOD] as unknown as (statements: readonly Statement[]) => Promise<StatementResult[]>;
      return Response.json({ results: await run(query.action.queries) });
    } catch (error) {
      return Response.json({ error: error instanceof Error ? error.message : String(error) }, { status: 400 });
    }
  }

  #find({ parts, id, name }: ObjectQuery): { readonly namespace: DurableObjectNamespace; readonly id: DurableObjectId } {
    const namespaces = parts.map((part) => this.env[part] as DurableObjectNamespace);
    let failure: unknown;
    for (const namespace of namespaces) {
      try {
        return { namespace, id: id === undefined ? namespace.idFromName(name as string) : namespace.idFromString(id) };
      } catch (error) {
        // An id of another jurisdiction, or of another namespace altogether: then the first part's words stand.
        failure ??= error;
      }
    }
    throw failure;
  }
}

/** A deleted object ends with its own words, as soon as nothing of it is stored any more. */
function unlessDeleted(error: unknown): void {
  if (!(error instanceof Error && error.message.includes(DELETED))) throw error;
}

/** What the process's objects used since the last request. Asked by the platform, on a socket of its own. */
export class Usage extends WorkerEntrypoint<{ readonly ALIVE: Service<Alive> }> {
  override async fetch(): Promise<Response> {
    return Response.json(await this.env.ALIVE.usage());
  }
}

/** Resets the objects that have calls in hand. Asked by the platform, on a socket of its own. */
export class Reset extends WorkerEntrypoint<{ readonly ALIVE: Service<Alive>; readonly PARTS: Readonly<Record<string, string>> }> {
  override async fetch(): Promise<Response> {
    const objects = (await this.env.ALIVE.list()) as LiveObject[];
    await Promise.all(objects.map((object) => this.#reset(object)));
    return Response.json({ reset: objects.length });
  }

  async #reset({ part, id }: LiveObject): Promise<void> {
    const binding = this.env.PARTS[part];
    const namespace = (this.env as unknown as Record<string, DurableObjectNamespace>)[binding ?? ""];
    const stub = namespace?.get(namespace.idFromString(id)) as Stub | undefined;
    try {
      await (stub?.[RESET_METHOD] as (() => Promise<void>) | undefined)?.();
    } catch {
      // What was reset answers nobody, us included; a class of the older kind is asked by `fetch`.
      await stub?.fetch("http://object/", { headers: { [RESET_HEADER]: "1" } }).catch(() => undefined);
    }
  }
}

export default {};
