/** REST of Containers, as `wrangler deploy` and `wrangler containers` call it. The public documents do not describe it. */
import { z } from "zod";
import { page } from "../../kernel/api/envelope.ts";
import type { DurableObjects } from "../../kernel/capabilities.ts";
import type { KernelSlice, RequestContext, Route } from "../../kernel/product.ts";
import { type Application, type Applications, applicationChangeSchema, newApplicationSchema } from "./applications.ts";
import type { Credentials } from "./credentials.ts";
import type { Engine } from "./engine.ts";
import { containersError } from "./errors.ts";
import { LARGEST } from "./instance-types.ts";
import type { Instances } from "./instances.ts";
import type { References } from "./references.ts";
import type { Rollouts } from "./rollouts.ts";
import { applicationView, dashApplicationView, durableObjectView, instanceView } from "./views.ts";

export const ROOT = "/accounts/:account/containers";
const APPLICATION = `${ROOT}/applications/:id`;
export const READ = ["Workers Containers Read", "Workers Containers Write", "Workers Scripts Read", "Workers Scripts Write"] as const;
export const WRITE = ["Workers Containers Write", "Workers Scripts Write"] as const;

/** Totals of an account, as documented. */
const TOTALS = { total_vcpu: 1500, total_memory_mib: 6 * 1024 * 1024, total_disk_mb: 30_000_000 };
const CREDENTIAL_MINUTES_MAX = 7 * 24 * 60;
const PER_PAGE = 25;
const PER_PAGE_MAX = 1000;

const credentialsSchema = z.looseObject({
  permissions: z.array(z.enum(["pull", "push"])).min(1),
  expiration_minutes: z.number().int().min(1).max(CREDENTIAL_MINUTES_MAX),
});

export interface RouteDeps {
  readonly kernel: KernelSlice;
  readonly engine: Engine;
  readonly applications: Applications;
  readonly instances: Instances;
  readonly references: References;
  readonly credentials: Credentials;
  readonly rollouts: Rollouts;
  readonly durableObjects: Pick<DurableObjects, "namespace">;
  /** Names by which clients may call the registry. */
  readonly registryNames: () => readonly string[];
}

export function containerRoutes(deps: RouteDeps): Route[] {
  const { kernel, applications, instances, references, credentials, rollouts } = deps;
  const id = (c: RequestContext): string => c.params.id as string;
  const view = (applicationId: string) =>
    applicationView(applications.get(applicationId), kernel.accountId, instances.live(applicationId), rollouts.active(applicationId));

  /** Without an engine a deploy would succeed and nothing ever run. */
  async function requireEngine(): Promise<void> {
    const found = await deps.engine.version();
    if ("version" in found) return;
    const path = kernel.config["containers.docker_socket"];
    const advice =
      "Install Docker (on Debian: apt-get install docker.io) and start it, or name its socket in the setting containers.docker_socket.";
    throw containersError("noEngine", `The platform finds no container engine at ${path} (${found.missing}). ${advice}`);
  }

  return [
    {
      op: "containers.me",
      method: "GET",
      path: `${ROOT}/me`,
      permission: READ,
      async handle() {
        await requireEngine();
        const { vcpu, memoryMib, diskMb } = LARGEST;
        return {
          external_account_id: kernel.accountId,
          legacy_identity: "",
          capabilities: [],
          locations: [{ location: "loc01", name: "This installation", region: "REGN" }],
          limits: {
            account_id: kernel.accountId,
            vcpu_per_deployment: vcpu,
            memory_mib_per_deployment: memoryMib,
            memory_per_deployment: `${memoryMib}MiB`,
            disk_mb_per_deployment: diskMb,
            disk_per_deployment: `${diskMb}MB`,
            ...TOTALS,
            network_modes: ["public"],
          },
          defaults: { vcpus: 1 / 16, memory_mib: 256, disk_mb: 2000 },
        };
      },
    },
    {
      op: "containers.applications.list",
      method: "GET",
      path: `${ROOT}/applications`,
      permission: READ,
      async handle(c) {
        const name = c.query.get("name");
        const image = c.query.get("image");
        return applications
          .list()
          .filter((one) => (name === null || one.name === name) && (image === null || one.configuration.image === image))
          .map((one) => view(one.id));
      },
    },
    {
      op: "containers.applications.create",
      method: "POST",
      path: `${ROOT}/applications`,
      permission: WRITE,
      async handle(c) {
        const given = await c.json(newApplicationSchema);
        await requireEngine();
        if ((await deps.durableObjects.namespace(given.durable_objects.namespace_id)) === undefined)
          throw containersError("invalid", "There is no namespace of Durable Objects with this id");
        await references.check(given.configuration.image);
        const application = await applications.create(given);
        audit(c, "create", "CreateContainerApplication", application);
        return view(application.id);
      },
    },
    { op: "containers.applications.get", method: "GET", path: APPLICATION, permission: READ, handle: async (c) => view(id(c)) },
    {
      op: "containers.applications.update",
      method: "PATCH",
      path: APPLICATION,
      permission: WRITE,
      async handle(c) {
        const change = await c.json(applicationChangeSchema);
        const before = applications.get(id(c));
        if (change.configuration !== undefined) await references.check(change.configuration.image);
        const after = await applications.change(id(c), change);
        if (after.version !== before.version) rollouts.before(before);
        audit(c, "update", "UpdateContainerApplication", after);
        return view(id(c));
      },
    },
    {
      op: "containers.applications.delete",
      method: "DELETE",
      path: APPLICATION,
      permission: WRITE,
      async handle(c) {
        const application = applications.get(id(c));
        const left = instances.live(application.id);
        // The row first: no object starts another one meanwhile.
        await applications.remove(id(c));
        audit(c, "delete", "DeleteContainerApplication", application);
        await Promise.all(left.map((instance) => instances.destroy(instance)));
        return {};
      },
    },
    {
      op: "containers.dash.applications.list",
      method: "GET",
      path: `${ROOT}/dash/applications`,
      permission: READ,
      handle: async (c) =>
        tokenPage(
          applications.list(),
          ({ id }) => id,
          (one) => dashApplicationView(one, instances.live(one.id)),
          c.query,
        ),
    },
    {
      op: "containers.dash.instances.list",
      method: "GET",
      path: `${ROOT}/dash/applications/:id/instances`,
      permission: READ,
      async handle(c) {
        const live = [...instances.live(applications.get(id(c)).id)].sort((a, b) => a.startedAt - b.startedAt || (a.id < b.id ? -1 : 1));
        const { result, resultInfo } = tokenPage(
          live,
          (one) => one.id,
          (one) => one,
          c.query,
        );
        return { page: true, result: { instances: result.map(instanceView), durable_objects: result.map(durableObjectView) }, resultInfo };
      },
    },
    {
      op: "containers.registries.list",
      method: "GET",
      path: `${ROOT}/registries`,
      permission: READ,
      handle: async () => deps.registryNames().map((domain) => ({ domain })),
    },
    {
      op: "containers.registries.credentials",
      method: "POST",
      path: `${ROOT}/registries/:domain/credentials`,
      permission: WRITE,
      async handle(c) {
        const domain = c.params.domain as string;
        const { permissions, expiration_minutes: minutes } = await c.json(credentialsSchema);
        if (!deps.registryNames().includes(domain)) throw containersError("registryNotFound");
        return { account_id: kernel.accountId, registry_host: domain, ...credentials.issue(permissions, minutes) };
      },
    },
  ];
}

const audit = (c: RequestContext, type: "create" | "update" | "delete", info: string, { id, name }: Application): void =>
  c.audit({ type, info, resource: { type: "container_application", id }, newValue: { name } });

/** A page that begins after the item which the token names. */
function tokenPage<T, V>(items: readonly T[], key: (item: T) => string, view: (item: T) => V, query: URLSearchParams) {
  const given = Number(query.get("per_page") ?? PER_PAGE);
  const perPage = Number.isInteger(given) && given > 0 ? Math.min(given, PER_PAGE_MAX) : PER_PAGE;
  const token = query.get("page_token");
  const start = token === null ? 0 : items.findIndex((item) => key(item) === token) + 1;
  const shown = items.slice(start, start + perPage);
  const last = shown.at(-1);
  const next = last !== undefined && start + perPage < items.length ? key(last) : undefined;
  return page(shown.map(view), {
    per_page: perPage,
    count: shown.length,
    total_count: items.length,
    ...(token && { page_token: token }),
    ...(next && { next_page_token: next }),
  });
}
