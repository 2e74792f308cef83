/**
 * The way into a process's Durable Objects for bindings of other Workers. Its entrypoint runs beside the user's Worker
 * that implements the class, on a socket for each namespace, whose props name the binding. Only `remote-object.worker.ts`
 * speaks to it.
 */
import { WorkerEntrypoint } from "cloudflare:workers";
import { OBJECT_HEADER, type ObjectName } from "./remote-protocol.worker.ts";

type Stub = DurableObjectStub & Record<string, (...args: unknown[]) => unknown>;

export class Objects extends WorkerEntrypoint<Record<string, DurableObjectNamespace>, { readonly binding: string }> {
  #stub({ id, name }: ObjectName): Stub {
    const namespace = this.env[this.ctx.props.binding] as DurableObjectNamespace;
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

export default {};
