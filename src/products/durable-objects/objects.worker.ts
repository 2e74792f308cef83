/**
 * The way into a process's Durable Objects for bindings of other Workers. Its entrypoint runs beside the user's Worker
 * that implements the class, on a socket for each namespace, whose props name the binding. Only `remote-object.worker.ts`
 * speaks to it.
 */
import { WorkerEntrypoint } from "cloudflare:workers";
import { type LiveObject, OBJECT_HEADER, type ObjectName, RESET_HEADER, RESET_METHOD } from "./remote-protocol.worker.ts";
import type { Alive } from "./reset.worker.ts";

type Stub = DurableObjectStub & Record<string, (...args: unknown[]) => unknown>;

export class Objects extends WorkerEntrypoint<Record<string, DurableObjectNamespace>, { readonly binding: string }> {
  #stub({ id, name, jurisdiction }: ObjectName): Stub {
    const { binding } = this.ctx.props;
    const namespace = this.env[jurisdiction === undefined ? binding : `${binding}-${jurisdiction}`] as DurableObjectNamespace;
    return namespace.get(name === undefined ? namespace.idFromString(id) : namespace.idFromName(name)) as Stub;
  }

  call(object: ObjectName, method: string, args: unknown[]): unknown {
    return (this.#stub(object)[method] as (...args: unknown[]) => unknown)(...args);
  }

  property(object: ObjectName, name: string): unknown {
    return this.#stub(object)[name];
  }

  override fetch(request: Request): Promise<Response> {
    const headers = new Headers(request.headers);
    const object = JSON.parse(decodeURIComponent(headers.get(OBJECT_HEADER) as string)) as ObjectName;
    headers.delete(OBJECT_HEADER);
    return this.#stub(object).fetch(new Request(request, { headers }));
  }
}

/** Resets the objects that are in memory. Asked by the platform, on a socket of its own. */
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
