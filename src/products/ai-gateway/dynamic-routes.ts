/**
 * Dynamic routes of gateways: named, with versions of which one is deployed. Rows in meta; what is deployed is kept in
 * memory, because requests ask for it. A version never changes; a deployment names one, an earlier one to roll back.
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore, MetaTransaction } from "../../kernel/meta/meta.ts";
import { gatewayError } from "./errors.ts";
import { checked } from "./gateways.ts";
import { type Element, parseElements } from "./route-graph.ts";

interface RouteRow {
  readonly id: string;
  readonly gateway: string;
  readonly name: string;
  readonly created_at: number;
  readonly modified_at: number;
}
interface VersionRow {
  readonly id: string;
  readonly route: string;
  readonly elements: string;
  readonly created_at: number;
}
interface DeploymentRow {
  readonly id: string;
  readonly route: string;
  readonly version: string;
  readonly created_at: number;
}

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/);
const ROUTES_MAX = 100;
const LIST_MAX = 1000;

const iso = (ms: number): string => new Date(ms).toISOString();

export type DynamicRoutes = Awaited<ReturnType<typeof openDynamicRoutes>>;

export async function openDynamicRoutes(meta: MetaStore, clock: Clock, accountId: string) {
  /** By "gateway/name". */
  const deployed = new Map<string, { readonly id: string; readonly elements: readonly Element[] }>();
  const current = `
    SELECT routes.id, routes.gateway, routes.name, versions.elements FROM ai_gateway_routes AS routes
    JOIN ai_gateway_deployments AS deployments ON deployments.number = (
      SELECT MAX(number) FROM ai_gateway_deployments AS d WHERE d.route = routes.id)
    JOIN ai_gateway_route_versions AS versions ON versions.id = deployments.version`;

  async function refresh(where = "1 = 1", ...params: string[]): Promise<void> {
    interface Current {
      id: string;
      gateway: string;
      name: string;
      elements: string;
    }
    for (const row of await meta.all<Current & Record<string, never>>(`${current} WHERE ${where}`, ...params))
      deployed.set(`${row.gateway}/${row.name}`, { id: row.id, elements: JSON.parse(row.elements) as Element[] });
  }
  await refresh();

  async function require(gateway: string, id: string): Promise<RouteRow> {
    const row = await meta.get<RouteRow & Record<string, never>>(
      "SELECT * FROM ai_gateway_routes WHERE gateway = ? AND id = ?",
      gateway,
      id,
    );
    if (row === undefined) throw gatewayError("routeNotFound");
    return row;
  }

  const versionsOf = (route: string): Promise<VersionRow[]> =>
    meta.all<VersionRow & Record<string, never>>(
      "SELECT * FROM ai_gateway_route_versions WHERE route = ? ORDER BY number DESC LIMIT ?",
      route,
      LIST_MAX,
    );
  const deploymentsOf = (route: string): Promise<DeploymentRow[]> =>
    meta.all<DeploymentRow & Record<string, never>>(
      "SELECT * FROM ai_gateway_deployments WHERE route = ? ORDER BY number DESC LIMIT ?",
      route,
      LIST_MAX,
    );

  async function requireVersion(route: string, id: string): Promise<VersionRow> {
    const row = (await versionsOf(route)).find((one) => one.id === id);
    if (row === undefined) throw gatewayError("routeNotFound", "Version not found");
    return row;
  }

  async function addVersion(tx: MetaTransaction, route: string, elements: readonly Element[]): Promise<string> {
    const id = randomUUID();
    await tx.run(
      "INSERT INTO ai_gateway_route_versions (id, route, elements, created_at) VALUES (?, ?, ?, ?)",
      ...[id, route, JSON.stringify(elements), clock.now()],
    );
    await tx.run("UPDATE ai_gateway_routes SET modified_at = ? WHERE id = ?", clock.now(), route);
    return id;
  }

  const deploy = (tx: MetaTransaction, route: string, version: string) =>
    tx.run(
      "INSERT INTO ai_gateway_deployments (id, route, version, created_at) VALUES (?, ?, ?, ?)",
      randomUUID(),
      route,
      version,
      clock.now(),
    );

  async function view(row: RouteRow, versionId?: string): Promise<Record<string, unknown>> {
    const [deployment] = await deploymentsOf(row.id);
    const shown = await requireVersion(row.id, versionId ?? (deployment?.version as string));
    return {
      id: row.id,
      account_tag: accountId,
      gateway_id: row.gateway,
      name: row.name,
      created_at: iso(row.created_at),
      modified_at: iso(row.modified_at),
      elements: JSON.parse(shown.elements),
      deployment: deployment && deploymentView(deployment),
      version: versionView(shown, deployment),
    };
  }

  return {
    /** The deployed elements of a route, for requests. Throws `aiGateway.routeUnknown`. */
    deployed(gateway: string, route: string): { id: string; elements: readonly Element[] } {
      const found = deployed.get(`${gateway}/${route}`);
      if (found === undefined) throw gatewayError("routeUnknown", `There is no dynamic route "${route.slice(0, 64)}"`);
      return found;
    },
    async list(gateway: string): Promise<Record<string, unknown>[]> {
      const rows = await meta.all<RouteRow & Record<string, never>>(
        "SELECT * FROM ai_gateway_routes WHERE gateway = ? ORDER BY created_at, id LIMIT ?",
        gateway,
        ROUTES_MAX,
      );
      return Promise.all(rows.map((row) => view(row)));
    },
    get: async (gateway: string, id: string): Promise<Record<string, unknown>> => view(await require(gateway, id)),
    async create(gateway: string, body: unknown): Promise<Record<string, unknown>> {
      const given = checked(z.object({ name, elements: z.unknown() }), body);
      const elements = parseElements(given.elements);
      const id = randomUUID();
      const now = clock.now();
      await meta.transaction(async (tx) => {
        const { n } = (await tx.get<{ n: number }>("SELECT COUNT(*) AS n FROM ai_gateway_routes WHERE gateway = ?", gateway)) as {
          n: number;
        };
        if (n >= ROUTES_MAX) throw gatewayError("tooMany", `A gateway has at most ${ROUTES_MAX} routes`);
        const taken = await tx.get("SELECT 1 FROM ai_gateway_routes WHERE gateway = ? AND name = ?", gateway, given.name);
        if (taken !== undefined) throw gatewayError("routeExists");
        await tx.run(
          "INSERT INTO ai_gateway_routes (id, gateway, name, created_at, modified_at) VALUES (?, ?, ?, ?, ?)",
          id,
          gateway,
          given.name,
          now,
          now,
        );
        await deploy(tx, id, await addVersion(tx, id, elements));
      });
      await refresh("routes.id = ?", id);
      return view(await require(gateway, id));
    },
    async rename(gateway: string, id: string, body: unknown): Promise<Record<string, unknown>> {
      const old = await require(gateway, id);
      const given = checked(z.object({ name }), body);
      await meta.transaction(async (tx) => {
        const taken = await tx.get("SELECT 1 FROM ai_gateway_routes WHERE gateway = ? AND name = ? AND id <> ?", gateway, given.name, id);
        if (taken !== undefined) throw gatewayError("routeExists");
        await tx.run("UPDATE ai_gateway_routes SET name = ?, modified_at = ? WHERE id = ?", given.name, clock.now(), id);
      });
      deployed.delete(`${gateway}/${old.name}`);
      await refresh("routes.id = ?", id);
      return view(await require(gateway, id));
    },
    async remove(gateway: string, id: string): Promise<Record<string, unknown>> {
      const row = await require(gateway, id);
      const shown = await view(row);
      await meta.transaction((tx) => removeRoutes(tx, "id = ?", id));
      deployed.delete(`${gateway}/${row.name}`);
      return shown;
    },
    async removeAll(gateway: string): Promise<void> {
      await meta.transaction((tx) => removeRoutes(tx, "gateway = ?", gateway));
      for (const key of deployed.keys()) if (key.startsWith(`${gateway}/`)) deployed.delete(key);
    },
    /** A draft: nothing changes for requests. */
    async createVersion(gateway: string, id: string, body: unknown): Promise<Record<string, unknown>> {
      const row = await require(gateway, id);
      const elements = parseElements(checked(z.object({ elements: z.unknown() }), body).elements);
      return view(row, await meta.transaction((tx) => addVersion(tx, id, elements)));
    },
    async deploy(gateway: string, id: string, body: unknown): Promise<Record<string, unknown>> {
      const row = await require(gateway, id);
      const { version_id } = checked(z.object({ version_id: z.string() }), body);
      await requireVersion(id, version_id);
      await meta.transaction((tx) => deploy(tx, id, version_id));
      await refresh("routes.id = ?", id);
      return view(row);
    },
    async versions(gateway: string, id: string): Promise<Record<string, unknown>[]> {
      await require(gateway, id);
      const [deployment] = await deploymentsOf(id);
      return (await versionsOf(id)).map((version) => versionView(version, deployment));
    },
    async version(gateway: string, id: string, versionId: string): Promise<Record<string, unknown>> {
      const row = await require(gateway, id);
      const shown = await view(row, versionId);
      return { ...shown, ...(shown.version as object) };
    },
    async deployments(gateway: string, id: string): Promise<Record<string, unknown>[]> {
      await require(gateway, id);
      return (await deploymentsOf(id)).map(deploymentView);
    },
  };
}

async function removeRoutes(tx: MetaTransaction, where: string, param: string): Promise<void> {
  const routes = `(SELECT id FROM ai_gateway_routes WHERE ${where})`;
  await tx.run(`DELETE FROM ai_gateway_deployments WHERE route IN ${routes}`, param);
  await tx.run(`DELETE FROM ai_gateway_route_versions WHERE route IN ${routes}`, param);
  await tx.run(`DELETE FROM ai_gateway_routes WHERE ${where}`, param);
}

const deploymentView = ({ id, version, created_at }: DeploymentRow): Record<string, unknown> => ({
  deployment_id: id,
  version_id: version,
  created_at: iso(created_at),
});

const versionView = ({ id, elements, created_at }: VersionRow, deployment: DeploymentRow | undefined): Record<string, unknown> => ({
  version_id: id,
  data: elements,
  active: String(deployment?.version === id),
  is_valid: true,
  created_at: iso(created_at),
});
