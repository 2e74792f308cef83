/**
 * Bindings to the Durable Objects of another Worker (`script_name`): the configuration on both sides. The objects stay in
 * the one process that owns their files; who binds them gets stand-ins under the same namespace key.
 */
import { createHash } from "node:crypto";
import type { Destination, WorkerdParts, WorkerRef } from "../../kernel/product.ts";
import type { Service } from "../../kernel/workerd/config.ts";
import { workerModules } from "../../kernel/workerd/module.ts";

const COMPATIBILITY_DATE = "2026-01-01";
const OBJECTS_SERVICE = "durable-objects:objects";

const socketOf = (namespaceId: string): string => `o${createHash("sha256").update(namespaceId).digest("hex").slice(0, 12)}`;

/** For the process that has the objects: a socket for each of its namespaces. `user` is the service of the user's Worker. */
export function objectsParts(
  namespaces: readonly { readonly id: string; readonly className: string }[],
  user: string,
): Required<Pick<WorkerdParts, "services" | "sockets">> {
  const service: Service = {
    name: OBJECTS_SERVICE,
    worker: {
      modules: workerModules(import.meta.url, "./objects.worker.ts", "./remote-protocol.worker.ts"),
      compatibilityDate: COMPATIBILITY_DATE,
      bindings: namespaces.map(({ id, className }) => ({ name: id, durableObjectNamespace: { className, serviceName: user } })),
    },
  };
  return {
    services: [service],
    sockets: namespaces.map(({ id }) => ({
      name: socketOf(id),
      service: { name: OBJECTS_SERVICE, entrypoint: "Objects", props: { binding: id } },
    })),
  };
}

/** For a process that binds objects of another Worker; `owner` names that Worker at the time of a call. */
export async function remoteParts(
  bindingName: string,
  namespaceId: string,
  worker: WorkerRef,
  owner: () => Promise<string>,
): Promise<WorkerdParts> {
  const destination: Destination = { key: `durable-objects:${namespaceId}`, worker: owner, socket: socketOf(namespaceId) };
  const link = await worker.reach(`durable-objects:link:${namespaceId}`, destination);
  const service = `durable-objects:remote:${namespaceId}`;
  return {
    bindings: [{ name: bindingName, durableObjectNamespace: { className: "RemoteObject", serviceName: service } }],
    services: [
      link,
      {
        name: service,
        worker: {
          modules: workerModules(import.meta.url, "./remote-object.worker.ts", "./remote-protocol.worker.ts"),
          compatibilityDate: COMPATIBILITY_DATE,
          bindings: [{ name: "OBJECTS", service: link.name }],
          durableObjectNamespaces: [{ className: "RemoteObject", uniqueKey: namespaceId, enableSql: false }],
          durableObjectStorage: { inMemory: true },
        },
      },
    ],
  };
}
