/**
 * Bindings to the Durable Objects of another Worker (`script_name`): the configuration on both sides. The objects stay in
 * the one process that owns their files; who binds them gets stand-ins under the same namespace key.
 */
import { createHash } from "node:crypto";
import { Client } from "undici";
import type { Destination, WorkerdParts, WorkerRef } from "../../kernel/product.ts";
import type { Service } from "../../kernel/workerd/config.ts";
import { workerModules } from "../../kernel/workerd/module.ts";
import { durableObjectsError } from "./errors.ts";
import { namespaceBinding, namespaceParts } from "./jurisdictions.ts";
import {
  ALIVE_ENTRYPOINT,
  ELSEWHERE,
  OBJECT_HEADER,
  type ObjectQuery,
  OWN_SHARE,
  type PartUsage,
  type StatementResult,
} from "./remote-protocol.worker.ts";
import type { OwnShare } from "./split.worker.ts";

const COMPATIBILITY_DATE = "2026-01-01";
const RESET_SOCKET = "reset-objects";
const QUERIES_SOCKET = "query-objects";
const USAGE_SOCKET = "objects-usage";
const OBJECTS_SERVICE = "durable-objects:objects";

const socketOf = (namespaceId: string): string => `o${createHash("sha256").update(namespaceId).digest("hex").slice(0, 12)}`;

/** For the process that has the objects: a socket for each of its namespaces. `user` is the service of the user's Worker. */
export function objectsParts(
  namespaces: readonly { readonly id: string; readonly className: string }[],
  user: string,
  own?: OwnShare,
): Required<Pick<WorkerdParts, "services" | "sockets">> {
  const parts = namespaces.flatMap(({ id, className }) => namespaceParts(id, className, false));
  const elsewhere = namespaces.flatMap(({ id }) =>
    namespaceParts(id, STAND_IN, false).map(({ uniqueKey, className }) => ({
      name: `${ELSEWHERE}${uniqueKey}`,
      durableObjectNamespace: { className, serviceName: standInService(id) },
    })),
  );
  const service: Service = {
    name: OBJECTS_SERVICE,
    worker: {
      modules: workerModules(import.meta.url, "./objects.worker.ts", "./remote-protocol.worker.ts", "./split.worker.ts"),
      compatibilityDate: COMPATIBILITY_DATE,
      bindings: [
        { name: "ALIVE", service: { name: user, entrypoint: ALIVE_ENTRYPOINT } },
        { name: "PARTS", json: JSON.stringify(Object.fromEntries(parts.map((part) => [part.className, part.uniqueKey]))) },
        ...parts.map(({ className, uniqueKey }) => ({ name: uniqueKey, durableObjectNamespace: { className, serviceName: user } })),
        ...(own === undefined ? [] : [...elsewhere, { name: OWN_SHARE, json: JSON.stringify(own) }]),
      ],
    },
  };
  return {
    services: [service],
    sockets: [
      { name: RESET_SOCKET, service: { name: OBJECTS_SERVICE, entrypoint: "Reset" } },
      { name: QUERIES_SOCKET, service: { name: OBJECTS_SERVICE, entrypoint: "Queries" } },
      { name: USAGE_SOCKET, service: { name: OBJECTS_SERVICE, entrypoint: "Usage" } },
      ...namespaces.map(({ id }) => ({
        name: socketOf(id),
        service: { name: OBJECTS_SERVICE, entrypoint: "Objects", props: { binding: id } },
      })),
    ],
  };
}

/** Asks a process to reset its objects. `socket` gives the path of its sockets. Rejects when it does not answer in time. */
export async function resetObjects(socket: (name: string) => string, timeoutMs: number): Promise<void> {
  await ask(socket(RESET_SOCKET), timeoutMs);
}

/** Takes what the objects of a process used since it was last asked. Rejects when it does not answer in time. */
export const takeUsage = async (socket: (name: string) => string, timeoutMs: number): Promise<PartUsage[]> =>
  (await ask(socket(USAGE_SOCKET), timeoutMs)) as PartUsage[];

/**
 * Runs SQL in an object of the process; undefined when another version has it. Rejects with `durableObjects.queryFailed`
 * and SQLite's words.
 */
export async function queryObject(
  socket: (name: string) => string,
  query: ObjectQuery,
  timeoutMs: number,
): Promise<readonly StatementResult[] | undefined> {
  const body = (await ask(socket(QUERIES_SOCKET), timeoutMs, query)) as { error?: string; results?: readonly StatementResult[] };
  if (body.error !== undefined) throw durableObjectsError("queryFailed", body.error);
  return body.results;
}

/** The JSON that `objects.worker.ts` answers. */
async function ask(socketPath: string, timeoutMs: number, question?: unknown): Promise<unknown> {
  const client = new Client("http://objects", { socketPath, bodyTimeout: timeoutMs, headersTimeout: timeoutMs });
  try {
    const body = question === undefined ? {} : { body: JSON.stringify(question) };
    const answer = await client.request({ method: "POST", path: "/", ...body });
    return await answer.body.json();
  } finally {
    await client.destroy();
  }
}

/** The class of stand-ins for objects that another process has, and the service that has it. */
export const STAND_IN = "RemoteObject";
export const standInService = (namespaceId: string): string => `durable-objects:remote:${namespaceId}`;

/** The services of stand-ins. `owner` names the Worker that has the objects at the time of a call; `version`: of its versions. */
export async function standIns(
  namespaceId: string,
  worker: WorkerRef,
  owner: () => Promise<string>,
  version?: string,
): Promise<readonly Service[]> {
  const key = `durable-objects:${namespaceId}${version === undefined ? "" : `:${version}`}`;
  const destination: Destination = {
    key,
    worker: owner,
    socket: socketOf(namespaceId),
    headers: [OBJECT_HEADER],
    ...(version !== undefined && { version }),
  };
  const link = await worker.reach(`durable-objects:link:${namespaceId}`, destination);
  return [
    link,
    {
      name: standInService(namespaceId),
      worker: {
        modules: workerModules(import.meta.url, "./remote-object.worker.ts", "./remote-protocol.worker.ts"),
        compatibilityDate: COMPATIBILITY_DATE,
        bindings: [{ name: "OBJECTS", service: link.name }],
        durableObjectNamespaces: namespaceParts(namespaceId, STAND_IN, false),
        durableObjectStorage: { inMemory: true },
      },
    },
  ];
}

/** For a process that binds objects of another Worker. */
export async function remoteParts(
  bindingName: string,
  namespaceId: string,
  worker: WorkerRef,
  owner: () => Promise<string>,
): Promise<WorkerdParts> {
  return {
    ...namespaceBinding(bindingName, { className: STAND_IN, serviceName: standInService(namespaceId) }),
    services: await standIns(namespaceId, worker, owner),
  };
}
