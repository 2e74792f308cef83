/**
 * The configuration of an environment, `deployment_configs.production` and `.preview` of a project, and the bindings that it
 * means. One table tells both ways: configuration to bindings for a deployment, and bindings to configuration when a
 * configuration file is the source of truth (https://developers.cloudflare.com/pages/functions/wrangler-configuration/).
 * Values of secrets are sealed wherever they are kept; only `bindingsOf` opens them.
 */
import { z } from "zod";
import type { BindingConfig, KernelSlice } from "../../kernel/product.ts";
import { newestDate } from "../../kernel/workerd/newest-date.ts";

const PURPOSE = "pages.secret";
/** Documented size of one variable or secret. */
const VARIABLE_MAX_BYTES = 5 * 1024;

/** Members that hold bindings by name, with the binding's type and the names of its fields here and there. */
const RESOURCES = {
  kv_namespaces: { type: "kv_namespace", fields: { namespace_id: "namespace_id" } },
  d1_databases: { type: "d1", fields: { id: "id" } },
  r2_buckets: { type: "r2_bucket", fields: { name: "bucket_name", jurisdiction: "jurisdiction" } },
  durable_object_namespaces: {
    type: "durable_object_namespace",
    fields: { namespace_id: "namespace_id", class_name: "class_name", service: "script_name", environment: "environment" },
  },
  services: { type: "service", fields: { service: "service", environment: "environment", entrypoint: "entrypoint" } },
  queue_producers: { type: "queue", fields: { name: "queue_name" } },
  analytics_engine_datasets: { type: "analytics_engine", fields: { dataset: "dataset" } },
  ai_bindings: { type: "ai", fields: { project_id: "project_id" } },
  hyperdrive_bindings: { type: "hyperdrive", fields: { id: "id" } },
  vectorize_bindings: { type: "vectorize", fields: { index_name: "index_name" } },
  mtls_certificates: { type: "mtls_certificate", fields: { certificate_id: "certificate_id" } },
  browsers: { type: "browser", fields: {} },
} as const satisfies Record<string, { readonly type: string; readonly fields: Readonly<Record<string, string>> }>;

type ResourceMember = keyof typeof RESOURCES;
type Resource = Readonly<Record<string, unknown>>;
type Variable = { readonly type: "plain_text"; readonly value: string } | { readonly type: "secret_text"; readonly sealed: string };

export type DeploymentConfig = {
  readonly compatibility_date: string;
  readonly compatibility_flags: readonly string[];
  readonly always_use_latest_compatibility_date: boolean;
  readonly fail_open: boolean;
  readonly env_vars: Readonly<Record<string, Variable>>;
  readonly limits?: unknown;
  readonly placement?: unknown;
  readonly wrangler_config_hash?: string | undefined;
} & { readonly [K in ResourceMember]?: Readonly<Record<string, Resource>> };

/** A binding's name: what an object of JavaScript can have as a member, and no more than an environment's variable. */
const bindingName = z.string().regex(/^[A-Za-z_$][\w$-]{0,255}$/);
const resources = z.record(bindingName, z.record(z.string(), z.unknown()).nullable());
const members = Object.fromEntries(Object.keys(RESOURCES).map((member) => [member, resources.nullish()])) as {
  [K in ResourceMember]: z.ZodOptional<z.ZodNullable<typeof resources>>;
};

/** A change: members that are missing stay, entries that are null go. */
export const configChange = z.object({
  compatibility_date: z.string().optional(),
  compatibility_flags: z.array(z.string().max(100)).max(100).optional(),
  always_use_latest_compatibility_date: z.boolean().optional(),
  fail_open: z.boolean().optional(),
  env_vars: z
    .record(bindingName, z.object({ type: z.enum(["plain_text", "secret_text"]).default("plain_text"), value: z.string() }).nullable())
    .nullish(),
  limits: z.object({ cpu_ms: z.number().optional() }).nullish(),
  placement: z.object({ mode: z.string().optional() }).nullish(),
  wrangler_config_hash: z.string().nullish(),
  ...members,
});

export type ConfigChange = z.infer<typeof configChange>;

/** Of a new project without settings. */
export const defaultConfig = (now: number): DeploymentConfig => ({
  compatibility_date: newestDate(now),
  compatibility_flags: [],
  always_use_latest_compatibility_date: false,
  fail_open: true,
  env_vars: {},
});

/** Throws for a variable that is too large. */
export function changed(config: DeploymentConfig, change: ConfigChange, { secrets }: Pick<KernelSlice, "secrets">): DeploymentConfig {
  const { env_vars: variables, wrangler_config_hash: hash, limits, placement, ...rest } = change;
  const next: Record<string, unknown> = { ...config };
  for (const [member, value] of Object.entries(rest)) {
    if (value === undefined) continue;
    next[member] = member in RESOURCES ? merged(config[member as ResourceMember], value as Record<string, Resource | null> | null) : value;
  }
  if (limits !== undefined) next.limits = limits ?? undefined;
  if (placement !== undefined) next.placement = placement ?? undefined;
  if (hash !== undefined) next.wrangler_config_hash = hash ?? undefined;
  const sealed = Object.entries(variables ?? {}).map(([name, variable]) => [name, variable && kept(variable, secrets)] as const);
  if (variables !== undefined) next.env_vars = variables === null ? {} : merged(config.env_vars, Object.fromEntries(sealed));
  return next as DeploymentConfig;
}

function kept({ type, value }: { type: "plain_text" | "secret_text"; value: string }, secrets: KernelSlice["secrets"]): Variable {
  return type === "plain_text" ? { type, value } : { type, sealed: secrets.seal(value, PURPOSE) };
}

function merged<T>(old: Readonly<Record<string, T>> | undefined, change: Readonly<Record<string, T | null>> | null): Record<string, T> {
  if (change === null) return {};
  const entries = Object.entries({ ...old, ...change });
  return Object.fromEntries(entries.filter((entry): entry is [string, T] => entry[1] !== null));
}

/** The name of a variable that is larger than documented, if there is one. */
export const oversized = ({ env_vars }: ConfigChange): string | undefined =>
  Object.entries(env_vars ?? {}).find(([, variable]) => variable !== null && Buffer.byteLength(variable.value) > VARIABLE_MAX_BYTES)?.[0];

/** As the API shows it. */
export function configView(config: DeploymentConfig): Record<string, unknown> {
  return { ...config, env_vars: variablesView(config), usage_model: "standard", build_image_major_version: 3 };
}

export const variablesView = ({ env_vars }: DeploymentConfig): Record<string, unknown> =>
  Object.fromEntries(Object.entries(env_vars).map(([name, v]) => [name, v.type === "plain_text" ? v : { type: v.type, value: "" }]));

/** Bindings for the upload of a Worker, with the values of secrets. */
export function bindingsOf(config: DeploymentConfig, kernel: Pick<KernelSlice, "secrets">): BindingConfig[] {
  const resources = (Object.keys(RESOURCES) as ResourceMember[]).flatMap((member) => {
    const { type, fields } = RESOURCES[member];
    return Object.entries(config[member] ?? {}).map(([name, resource]) => ({ ...renamed(resource, fields), type, name }));
  });
  const plain = Object.entries(config.env_vars).flatMap(([name, v]) =>
    v.type === "plain_text" ? { type: v.type, name, text: v.value } : [],
  );
  return [...plain, ...secretsOf(config, kernel), ...resources];
}

/** Variables and secrets by name, for a build. */
export const variablesOf = (config: DeploymentConfig, kernel: Pick<KernelSlice, "secrets">): Record<string, string> =>
  Object.fromEntries(
    Object.entries(config.env_vars).map(([name, v]) => [name, v.type === "plain_text" ? v.value : kernel.secrets.open(v.sealed, PURPOSE)]),
  );

/** Those that are secrets. */
export const secretsOf = ({ env_vars }: DeploymentConfig, { secrets }: Pick<KernelSlice, "secrets">): BindingConfig[] =>
  Object.entries(env_vars).flatMap(([name, v]) =>
    v.type === "secret_text" ? { type: v.type, name, text: secrets.open(v.sealed, PURPOSE) } : [],
  );

function renamed(from: Resource, fields: Readonly<Record<string, string>>): Record<string, unknown> {
  const entries = Object.entries(fields).map(([here, there]) => [there, from[here]] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined && value !== null && value !== ""));
}

/** What a configuration file, by the metadata and bindings of a deployment, makes of the environment's configuration. Secrets stay. */
export function configured(
  config: DeploymentConfig,
  metadata: Readonly<Record<string, unknown>>,
  bindings: readonly BindingConfig[],
): DeploymentConfig {
  const secrets = Object.entries(config.env_vars).filter(([, { type }]) => type === "secret_text");
  const plain = bindings.flatMap((b) => {
    if (b.type === "json") return [[b.name, { type: "plain_text", value: JSON.stringify(b.json) }] as const];
    return b.type === "plain_text" ? [[b.name, { type: "plain_text", value: String(b.text) }] as const] : [];
  });
  const found = (Object.keys(RESOURCES) as ResourceMember[]).flatMap((member) => {
    const { type, fields } = RESOURCES[member];
    const back = Object.fromEntries(Object.entries(fields).map(([here, there]) => [there, here]));
    const entries = bindings.filter((b) => b.type === type).map((b) => [b.name, renamed(b, back)] as const);
    return entries.length === 0 ? [] : [[member, Object.fromEntries(entries)] as const];
  });
  return {
    compatibility_date: typeof metadata.compatibility_date === "string" ? metadata.compatibility_date : config.compatibility_date,
    compatibility_flags: Array.isArray(metadata.compatibility_flags) ? metadata.compatibility_flags : [],
    always_use_latest_compatibility_date: false,
    fail_open: config.fail_open,
    limits: metadata.limits,
    placement: metadata.placement,
    wrangler_config_hash: config.wrangler_config_hash,
    ...Object.fromEntries(found),
    env_vars: Object.fromEntries([...plain, ...secrets]),
  };
}
