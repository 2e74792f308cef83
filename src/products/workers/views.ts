/** Scripts, versions and deployments as the REST API shows them; times are ISO strings there. */
import { publicBinding } from "./bindings.ts";
import type { Deployment, Script, Version } from "./model.ts";
import { plainName } from "./owner.ts";
import type { LiveScript } from "./store.ts";

const iso = (ms: number): string => new Date(ms).toISOString();
const AUTHOR = { author_id: "00000000000000000000000000000000", author_email: "admin@freehold.localhost" };

const namedHandlers = (version: Version) =>
  version.exports.filter((e) => e.name !== "default").map(({ name, handlers, type }) => ({ name, handlers, type }));

/** A script in lists and as the answer of an upload. */
export function scriptView({ script, versions }: LiveScript, migrationTag: string | undefined): Record<string, unknown> {
  const version = versions[0];
  return {
    id: plainName(script.name),
    tag: script.id,
    tags: script.settings.tags,
    etag: version?.etag ?? "",
    handlers: version?.handlers ?? [],
    ...(version && { named_handlers: namedHandlers(version) }),
    created_on: iso(script.createdOn),
    modified_on: iso(script.modifiedOn),
    compatibility_date: version?.compatibilityDate,
    compatibility_flags: version?.compatibilityFlags ?? [],
    usage_model: "standard",
    last_deployed_from: script.lastDeployedFrom,
    deployment_id: version?.id.replaceAll("-", ""),
    migration_tag: migrationTag ?? "",
    has_assets: version?.assets !== undefined,
    has_modules: version?.syntax === "modules" || version?.syntax === "python",
    logpush: script.settings.logpush,
    observability: script.settings.observability,
    tail_consumers: script.settings.tail_consumers,
    streaming_tail_consumers: script.settings.streaming_tail_consumers,
    placement: version?.placement ?? {},
    placement_mode: (version?.placement as { mode?: string } | undefined)?.mode,
    ...(version?.limits !== undefined && { limits: version.limits }),
    routes: null,
  };
}

/** A user Worker by itself. */
export function userWorkerView(live: LiveScript, namespace: string, migrationTag: string | undefined): Record<string, unknown> {
  const { script } = live;
  return {
    created_on: iso(script.createdOn),
    modified_on: iso(script.modifiedOn),
    dispatch_namespace: namespace,
    script: scriptView(live, migrationTag),
  };
}

/** `GET /workers/services/:name`. */
export function serviceView(live: LiveScript, migrationTag: string | undefined): Record<string, unknown> {
  const { script } = live;
  const environment = {
    environment: "production",
    created_on: iso(script.createdOn),
    modified_on: iso(script.modifiedOn),
    script: scriptView(live, migrationTag),
  };
  return {
    id: script.name,
    created_on: environment.created_on,
    modified_on: environment.modified_on,
    usage_model: "standard",
    default_environment: environment,
    environments: [environment],
  };
}

/** A Worker that implements Durable Objects has no preview URLs: two versions would share the objects. */
export const hasPreview = (version: Version): boolean => !version.exports.some((e) => e.type === "durable-object");

/** A version in lists. */
export function versionSummary(version: Version): Record<string, unknown> {
  return {
    id: version.id,
    number: version.number,
    metadata: {
      created_on: iso(version.createdOn),
      modified_on: iso(version.createdOn),
      source: version.source,
      ...AUTHOR,
      // Both spellings are read: by wrangler and by the SDKs.
      hasPreview: hasPreview(version),
      has_preview: hasPreview(version),
    },
    annotations: version.annotations,
  };
}

/** `namespaces`: ids of the namespaces of its own classes of Durable Objects, by class, where they are known. */
export function versionView(version: Version, namespaces: ReadonlyMap<string, string> = new Map()): Record<string, unknown> {
  const named = (binding: Record<string, unknown>): Record<string, unknown> => {
    const id =
      binding.type === "durable_object_namespace" && binding.script_name === undefined && namespaces.get(String(binding.class_name));
    return id ? { namespace_id: id, ...binding } : binding;
  };
  return {
    ...versionSummary(version),
    startup_time_ms: version.startupTimeMs,
    resources: {
      script: {
        etag: version.etag,
        handlers: version.handlers,
        named_handlers: namedHandlers(version),
        last_deployed_from: version.source,
      },
      script_runtime: {
        compatibility_date: version.compatibilityDate,
        compatibility_flags: version.compatibilityFlags,
        usage_model: "standard",
        ...(version.containers && { containers: version.containers.map((name) => ({ class_name: name })) }),
        ...(version.limits !== undefined && { limits: version.limits }),
      },
      bindings: version.bindings.map((binding) => named(publicBinding(binding))),
      ...(version.assets && { assets: { config: version.assets.config } }),
    },
  };
}

export function deploymentView(deployment: Deployment): Record<string, unknown> {
  return {
    id: deployment.id,
    source: deployment.source,
    strategy: "percentage",
    ...AUTHOR,
    created_on: iso(deployment.createdOn),
    annotations: deployment.annotations,
    versions: deployment.versions,
  };
}

/** `GET /scripts/:name/settings`: what of a version can be changed without new code. */
export function settingsView(live: LiveScript): Record<string, unknown> {
  const { script, versions } = live;
  const version = versions[0];
  return {
    ...scriptSettingsView(script),
    bindings: version?.bindings.map(publicBinding) ?? [],
    compatibility_date: version?.compatibilityDate,
    compatibility_flags: version?.compatibilityFlags ?? [],
    usage_model: "standard",
    placement: version?.placement ?? {},
    ...(version?.limits !== undefined && { limits: version.limits }),
  };
}

export const scriptSettingsView = ({ settings }: Script): Record<string, unknown> => ({
  logpush: settings.logpush,
  observability: settings.observability,
  tail_consumers: settings.tail_consumers,
  streaming_tail_consumers: settings.streaming_tail_consumers,
  tags: settings.tags,
});
