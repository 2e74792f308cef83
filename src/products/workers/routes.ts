/** REST routes of scripts: upload, versions, deployments, settings, secrets, schedules, tails, assets. */
import { z } from "zod";
import { parseJson, parseWith } from "../../kernel/api/body.ts";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { manifestSchema } from "./assets.ts";
import { scriptContent, withChangedSettings, withConfigurationOf } from "./content.ts";
import { checkName } from "./deploy.ts";
import { workersError } from "./errors.ts";
import type { Version } from "./model.ts";
import { observabilitySchema } from "./observability-settings.ts";
import { callersOf, type Mount, READ, type RouteDeps, removeScript, sourceOf, TAIL, uploadOf, WRITE } from "./route-deps.ts";
import { latestSecretsRoute, secretRoutes } from "./secret-routes.ts";
import { serviceRoutes } from "./service-routes.ts";
import type { LiveScript } from "./store.ts";
import { filtersSchema } from "./tails.ts";
import { tailConsumers } from "./upload.ts";
import { deploymentView, scriptSettingsView, scriptView, settingsView, versionView } from "./views.ts";

const SCRIPT = "/accounts/:account/workers/scripts/:name";
const deploymentSchema = z.object({
  strategy: z.literal("percentage").default("percentage"),
  versions: z.array(z.object({ version_id: z.string(), percentage: z.number() })),
  annotations: z.object({ "workers/message": z.string().optional() }).loose().optional(),
});

const settingsSchema = z.object({
  logpush: z.boolean().nullish(),
  observability: observabilitySchema.nullish(),
  tail_consumers: tailConsumers.nullish(),
  streaming_tail_consumers: tailConsumers.nullish(),
  tags: z.array(z.string()).nullish(),
});

export function workerRoutes(deps: RouteDeps): Route[] {
  const { kernel, store, deployer, assets, cron, tails, durableObjects } = deps;
  const named = (c: RequestContext): LiveScript => store.require(c.params.name as string);
  const tagOf = (live: LiveScript): Promise<string | undefined> => durableObjects.migrationTag(live.script);

  async function requireVersion(live: LiveScript, id: string): Promise<Version> {
    const version = await store.version(live.script.id, id);
    if (version === undefined) throw workersError("versionNotFound");
    return version;
  }

  const scripts: Route[] = [
    {
      op: "workers.scripts.list",
      method: "GET",
      path: "/accounts/:account/workers/scripts",
      permission: READ,
      handle: async () => Promise.all(store.all().map(async (live) => scriptView(live, await tagOf(live)))),
    },
    {
      op: "workers.scripts.put",
      method: "PUT",
      path: SCRIPT,
      permission: WRITE,
      async handle(c) {
        checkName(c.params.name as string);
        const upload = await uploadOf(kernel, c);
        const { live, version, reconciliation } = await deployer.upload(c.params.name as string, upload, {
          deploy: true,
          source: sourceOf(c),
        });
        const view = scriptView(live as LiveScript, await tagOf(live as LiveScript));
        return {
          ...view,
          startup_time_ms: version.startupTimeMs,
          ...(reconciliation !== undefined && { exports_reconciliation: reconciliation }),
        };
      },
    },
    { op: "workers.scripts.get", method: "GET", path: SCRIPT, permission: READ, handle: async (c) => scriptContent(kernel, named(c)) },
    {
      op: "workers.scripts.delete",
      method: "DELETE",
      path: SCRIPT,
      permission: WRITE,
      async handle(c) {
        await removeScript(deps, c);
        return null;
      },
    },
    {
      op: "workers.scripts.content",
      method: "GET",
      path: `${SCRIPT}/content/v2`,
      permission: READ,
      handle: async (c) => scriptContent(kernel, named(c)),
    },
    {
      op: "workers.scripts.content.put",
      method: "PUT",
      path: `${SCRIPT}/content`,
      permission: WRITE,
      async handle(c) {
        const before = named(c);
        const latest = await store.latestVersion(before.script.id);
        if (latest === undefined) throw workersError("noVersions");
        const upload = withConfigurationOf(before, latest, await uploadOf(kernel, c));
        const { live } = await deployer.upload(before.script.name, upload, { deploy: true, source: sourceOf(c) });
        return scriptView(live as LiveScript, await tagOf(live as LiveScript));
      },
    },
    {
      op: "workers.scripts.settings.get",
      method: "GET",
      path: `${SCRIPT}/settings`,
      permission: READ,
      handle: async (c) => settingsView(named(c)),
    },
    {
      op: "workers.scripts.settings.patch",
      method: "PATCH",
      path: `${SCRIPT}/settings`,
      permission: WRITE,
      async handle(c) {
        const before = named(c);
        const latest = await store.latestVersion(before.script.id);
        if (latest === undefined) throw workersError("noVersions");
        const change = await uploadOf(kernel, c, "optional", "settings");
        const upload = await withChangedSettings(kernel, before, latest, change);
        const { live } = await deployer.upload(before.script.name, upload, { deploy: true, source: sourceOf(c) });
        return settingsView(live as LiveScript);
      },
    },
    {
      op: "workers.scripts.scriptSettings.get",
      method: "GET",
      path: `${SCRIPT}/script-settings`,
      permission: READ,
      handle: async (c) => scriptSettingsView(named(c).script),
    },
    {
      op: "workers.scripts.scriptSettings.patch",
      method: "PATCH",
      path: `${SCRIPT}/script-settings`,
      permission: WRITE,
      async handle(c) {
        const change = await c.json(settingsSchema);
        const live = await deployer.patchSettings(c.params.name as string, {
          ...(change.logpush != null && { logpush: change.logpush }),
          ...(change.observability !== undefined && { observability: change.observability }),
          ...(change.tail_consumers != null && { tail_consumers: change.tail_consumers }),
          ...(change.streaming_tail_consumers != null && { streaming_tail_consumers: change.streaming_tail_consumers }),
          ...(change.tags != null && { tags: change.tags }),
        });
        return scriptSettingsView(live.script);
      },
    },
    {
      op: "workers.scripts.references",
      method: "GET",
      path: `${SCRIPT}/references`,
      permission: READ,
      async handle(c) {
        const { script } = named(c);
        const incoming = callersOf(store, script.name).map((name) => ({ name, service: name, environment: "production", script: name }));
        return { services: { incoming, outgoing: [], pages_function: false }, durable_objects: [], dispatch_outbounds: [] };
      },
    },
    {
      op: "workers.tails.byConsumer",
      method: "GET",
      path: "/accounts/:account/workers/tails/by-consumer/:name",
      permission: READ,
      async handle(c) {
        const producers = store.all().filter(({ script }) => script.settings.tail_consumers.some((t) => t.service === c.params.name));
        return producers.map(({ script }) => ({
          producer: { script: script.name, service: script.name, environment: "production" },
          environment: "production",
        }));
      },
    },
  ];

  const versions: Route[] = [
    {
      op: "workers.versions.list",
      method: "GET",
      path: `${SCRIPT}/versions`,
      permission: READ,
      async handle(c) {
        const { script } = named(c);
        const all = await store.versions(script.id, 1000);
        const { result, resultInfo } = numberedPage(all, c.query, 1000, 10);
        return { page: true, result: { items: result.map((version) => versionView(version)) }, resultInfo };
      },
    },
    {
      op: "workers.versions.create",
      method: "POST",
      path: `${SCRIPT}/versions`,
      permission: WRITE,
      async handle(c) {
        named(c);
        const { version } = await deployer.upload(c.params.name as string, await uploadOf(kernel, c), {
          deploy: false,
          source: sourceOf(c),
        });
        return versionView(version);
      },
    },
    {
      op: "workers.versions.get",
      method: "GET",
      path: `${SCRIPT}/versions/:version`,
      permission: READ,
      async handle(c) {
        const live = named(c);
        const version = await requireVersion(live, c.params.version as string);
        const classes = await durableObjects.classes(live.script);
        return versionView(version, new Map(classes.map(({ className, id }) => [className, id])));
      },
    },
    {
      op: "workers.deployments.list",
      method: "GET",
      path: `${SCRIPT}/deployments`,
      permission: READ,
      handle: async (c) => ({ deployments: (await store.deployments(named(c).script.id, 100)).map(deploymentView) }),
    },
    {
      op: "workers.deployments.get",
      method: "GET",
      path: `${SCRIPT}/deployments/:deployment`,
      permission: READ,
      async handle(c) {
        const found = (await store.deployments(named(c).script.id, 1000)).find((d) => d.id === c.params.deployment);
        if (found === undefined) throw workersError("deploymentNotFound");
        return deploymentView(found);
      },
    },
    {
      op: "workers.deployments.create",
      method: "POST",
      path: `${SCRIPT}/deployments`,
      permission: WRITE,
      async handle(c) {
        const { versions: wanted, annotations } = await c.json(deploymentSchema);
        const live = await deployer.deploy(c.params.name as string, {
          versions: wanted,
          annotations: annotations ?? {},
          source: sourceOf(c),
        });
        return live.deployment && deploymentView(live.deployment);
      },
    },
  ];

  const mount: Mount = { op: "workers", path: SCRIPT, named: async (c) => named(c) };
  const secrets = [...secretRoutes(deps, store, mount), ...latestSecretsRoute(deps)];

  const triggers: Route[] = [
    {
      op: "workers.schedules.list",
      method: "GET",
      path: `${SCRIPT}/schedules`,
      permission: READ,
      handle: async (c) => ({ schedules: (await cron.list(named(c).script.id)).map(scheduleView) }),
    },
    {
      op: "workers.schedules.put",
      method: "PUT",
      path: `${SCRIPT}/schedules`,
      permission: WRITE,
      async handle(c) {
        const { script } = named(c);
        const wanted = await c.json(z.array(z.object({ cron: z.string() })));
        const schedules = await cron.replace(
          script.id,
          wanted.map((s) => s.cron),
        );
        return { schedules: schedules.map(scheduleView) };
      },
    },
    {
      op: "workers.schedules.runs",
      method: "GET",
      path: `${SCRIPT}/schedules/runs`,
      permission: READ,
      async handle(c) {
        const runs = await cron.runs(named(c).script.id);
        const iso = (ms: number): string => new Date(ms).toISOString();
        return runs.map((run) => ({ ...run, scheduled_time: iso(run.scheduled_time), started_on: iso(run.started_on) }));
      },
    },
    {
      op: "workers.tails.list",
      method: "GET",
      path: `${SCRIPT}/tails`,
      permission: TAIL,
      handle: async (c) => tails.list(named(c).script),
    },
    {
      op: "workers.tails.create",
      method: "POST",
      path: `${SCRIPT}/tails`,
      permission: TAIL,
      async handle(c) {
        const { filters } = parseWith(filtersSchema, parseOptional(await c.bytes(1024 * 1024)));
        return tails.create(named(c).script, filters, "127.0.0.1");
      },
    },
    {
      op: "workers.tails.delete",
      method: "DELETE",
      path: `${SCRIPT}/tails/:tail`,
      permission: TAIL,
      async handle(c) {
        await tails.remove(named(c).script, c.params.tail as string);
        return null;
      },
    },
  ];

  const assetRoutes: Route[] = [
    {
      op: "workers.assets.session",
      method: "POST",
      path: `${SCRIPT}/assets-upload-session`,
      permission: WRITE,
      async handle(c) {
        checkName(c.params.name as string);
        const { manifest } = await c.json(manifestSchema, 64 * 1024 * 1024);
        return assets.open(c.params.name as string, manifest);
      },
    },
    // The session's token stands for the API token here, as documented.
    {
      op: "workers.assets.upload",
      method: "POST",
      path: "/accounts/:account/workers/assets/upload",
      permission: "public",
      handle: uploadAssets,
    },
    {
      op: "workers.assets.uploadOne",
      method: "POST",
      path: "/accounts/:account/workers/assets/upload/:hash",
      permission: "public",
      async handle(c) {
        assets.authorize(bearer(c));
        const bytes = await c.bytes(26 * 1024 * 1024);
        const { jwt, complete } = await assets.upload(bearer(c), [[c.params.hash as string, bytes]]);
        return uploaded(jwt, complete);
      },
    },
  ];

  async function uploadAssets(c: RequestContext): Promise<Response> {
    assets.authorize(bearer(c));
    const body = await c.bytes(128 * 1024 * 1024);
    const type = c.headers.get("content-type") ?? "";
    let form: FormData;
    try {
      form = await new Response(body as Uint8Array<ArrayBuffer>, { headers: { "content-type": type } }).formData();
    } catch (cause) {
      throw workersError("parse", undefined, { cause });
    }
    const base64 = c.query.get("base64") === "true";
    const files: [string, Uint8Array][] = [];
    for (const [hash, value] of form) {
      const raw = typeof value === "string" ? Buffer.from(value) : Buffer.from(await value.arrayBuffer());
      files.push([hash, base64 ? Buffer.from(raw.toString("latin1"), "base64") : raw]);
    }
    const { jwt, complete } = await assets.upload(bearer(c), files);
    return uploaded(jwt, complete);
  }

  return [...scripts, ...versions, ...secrets, ...triggers, ...assetRoutes, ...serviceRoutes(deps)];
}

const scheduleView = (s: { cron: string; created_on: number; modified_on: number }) => ({
  cron: s.cron,
  created_on: new Date(s.created_on).toISOString(),
  modified_on: new Date(s.modified_on).toISOString(),
});

function bearer(c: RequestContext): string {
  const match = /^Bearer (.+)$/i.exec(c.headers.get("authorization") ?? "");
  if (match === null) throw workersError("assetsUnauthorized");
  return match[1] as string;
}

/** 201 with the completion token when nothing is missing any more, 202 before. */
const uploaded = (jwt: string, complete: boolean): Response =>
  Response.json({ result: complete ? { jwt } : { jwt: null }, success: true, errors: [], messages: [] }, { status: complete ? 201 : 202 });

/** A JSON body that may be missing. */
function parseOptional(bytes: Uint8Array): unknown {
  if (bytes.byteLength === 0) return {};
  return parseJson(Buffer.from(bytes).toString("utf8"));
}
