/**
 * A Worker by one upload over REST, from the description that wrangler would take: for tests in which the deployment is
 * not the subject, since a wrangler start is more than a second of a core. Files go up as they are, each a module under
 * its own path: nothing is bundled, so npm packages, assets, routes and environments are for wrangler. A key that is not
 * translated here is an error, never left out.
 */
import { stripTypeScriptTypes } from "node:module";
import { extname } from "node:path";
import { FormData } from "undici";
import type { Envelope, TestPlatform } from "./platform.ts";
import { COMPATIBILITY_DATE, type ProjectOptions } from "./worker-project.ts";

// biome-ignore lint/suspicious/noExplicitAny: entries of wrangler's configuration, which the platform checks.
type Entry = any;

/** The lists of bindings in wrangler's configuration, and what the upload says for an entry besides its name. */
const BINDINGS: Readonly<Record<string, (entry: Entry) => { readonly type: string } & Record<string, unknown>>> = {
  ai_search: ({ instance_name }) => ({ type: "ai_search", instance_name }),
  ai_search_namespaces: ({ namespace }) => ({ type: "ai_search_namespace", namespace }),
  analytics_engine_datasets: ({ dataset }) => ({ type: "analytics_engine", dataset }),
  d1_databases: ({ database_id }) => ({ type: "d1", id: database_id }),
  hyperdrive: ({ id }) => ({ type: "hyperdrive", id }),
  kv_namespaces: ({ id }) => ({ type: "kv_namespace", namespace_id: id }),
  pipelines: ({ stream, pipeline }) => ({ type: "pipelines", stream, pipeline }),
  r2_buckets: ({ bucket_name, jurisdiction }) => ({ type: "r2_bucket", bucket_name, jurisdiction }),
  ratelimits: ({ namespace_id, simple }) => ({ type: "ratelimit", namespace_id, simple }),
  secrets_store_secrets: ({ store_id, secret_name }) => ({ type: "secrets_store_secret", store_id, secret_name }),
  send_email: ({ name: _, ...restrictions }) => ({ type: "send_email", ...restrictions }),
  services: ({ service, entrypoint, props }) => ({ type: "service", service, entrypoint, props }),
  vectorize: ({ index_name }) => ({ type: "vectorize", index_name }),
  worker_loaders: () => ({ type: "worker_loader" }),
  workflows: ({ name, class_name, script_name }) => ({ type: "workflow", workflow_name: name, class_name, script_name }),
};
/** Bindings of which a Worker has one. */
const SINGLE_BINDINGS: ReadonlySet<string> = new Set(["ai", "browser", "images", "media", "stream", "version_metadata"]);
/** Keys that the upload has under the same name and in the same form. */
const METADATA: ReadonlySet<string> = new Set([
  ..."compatibility_date compatibility_flags limits logpush observability placement tail_consumers".split(" "),
]);
const MODULE_TYPES: Readonly<Record<string, string>> = {
  ".js": "application/javascript+module",
  ".mjs": "application/javascript+module",
  ".ts": "application/javascript+module",
  ".wasm": "application/wasm",
  ".bin": "application/octet-stream",
  ".txt": "text/plain",
  ".html": "text/plain",
  ".sql": "text/plain",
};

/** Uploads the Worker and sets its triggers. Rejects with the platform's text and code when it refuses. */
export async function uploadWorker(platform: TestPlatform, { files, config }: ProjectOptions): Promise<void> {
  const { name } = config;
  const account = `/accounts/${platform.ready.account_id}`;
  const script = `${account}/workers/scripts/${name}`;
  const call = async (method: string, path: string, body?: unknown): Promise<Entry> =>
    accepted(`${method} ${path}`, (await platform.rest(method, path, body)).body);
  const { metadata, after } = translated(config);
  if (config.migrations !== undefined) {
    const { body } = await platform.rest("GET", `${account}/workers/services/${name}`);
    metadata.migrations = pendingMigrations(config.migrations as Entry[], body.result?.default_environment.script.migration_tag);
  }
  const form = new FormData();
  form.append("metadata", JSON.stringify(metadata));
  for (const [path, content] of Object.entries(files)) {
    const type = MODULE_TYPES[extname(path)];
    if (type === undefined) throw new Error(`${path} is no module: deploy ${name} with wrangler`);
    const code = path.endsWith(".ts") ? stripTypeScriptTypes(content as string) : content;
    form.append(path, new Blob([code as string], { type }), path);
  }
  const headers = { authorization: `Bearer ${platform.ready.api_token}` };
  const response = await platform.fetch(`${platform.ready.api}${script}`, { method: "PUT", headers, body: form });
  accepted(`the upload of ${name}`, (await response.json()) as Envelope);
  if (after.workersDev) await call("POST", `${script}/subdomain`, { enabled: true });
  if (after.crons !== undefined)
    await call(
      "PUT",
      `${script}/schedules`,
      after.crons.map((cron) => ({ cron })),
    );
  for (const { name: workflow, class_name, script_name = name, limits } of after.workflows)
    if (script_name === name) await call("PUT", `${account}/workflows/${workflow}`, { script_name, class_name, limits });
  for (const consumer of after.consumers) {
    const [queue] = await call("GET", `${account}/queues?name=${consumer.queue}`);
    if (queue === undefined) throw new Error(`there is no queue ${consumer.queue} for ${name} to consume`);
    await call("POST", `${account}/queues/${queue.queue_id}/consumers`, {
      type: "worker",
      script_name: name,
      dead_letter_queue: consumer.dead_letter_queue,
      settings: {
        batch_size: consumer.max_batch_size,
        max_retries: consumer.max_retries,
        max_wait_time_ms: consumer.max_batch_timeout === undefined ? undefined : consumer.max_batch_timeout * 1000,
        max_concurrency: consumer.max_concurrency,
        retry_delay: consumer.retry_delay,
      },
    });
  }
}

/** What is called once the script is there. */
interface Triggers {
  workersDev: boolean;
  crons?: readonly string[];
  workflows: readonly Entry[];
  consumers: readonly Entry[];
}

/** The upload's metadata, and what has calls of its own, of a configuration. */
function translated(config: ProjectOptions["config"]): { metadata: Record<string, unknown>; after: Triggers } {
  const bindings: object[] = [];
  const metadata: Record<string, unknown> = { main_module: "index.js", compatibility_date: COMPATIBILITY_DATE, bindings };
  const after: Triggers = { workersDev: true, workflows: [], consumers: [] };
  for (const [key, value] of Object.entries(config) as [string, Entry][]) {
    const list = BINDINGS[key];
    if (list !== undefined) for (const entry of value) bindings.push({ name: entry.binding ?? entry.name, ...list(entry) });
    if (key === "workflows") after.workflows = value;
    if (list !== undefined || key === "name" || key === "migrations") continue;
    if (SINGLE_BINDINGS.has(key)) bindings.push({ name: value.binding, type: key });
    else if (METADATA.has(key)) metadata[key] = value;
    else if (key === "main") metadata.main_module = value;
    else if (key === "workers_dev") after.workersDev = value;
    else if (key === "triggers") after.crons = value.crons;
    else if (key === "vars") {
      for (const [variable, held] of Object.entries(value))
        bindings.push({
          name: variable,
          ...(typeof held === "string" ? { type: "plain_text", text: held } : { type: "json", json: held }),
        });
    } else if (key === "durable_objects") {
      for (const entry of value.bindings) bindings.push({ type: "durable_object_namespace", ...entry });
    } else if (key === "queues") {
      for (const { binding, queue, delivery_delay } of value.producers ?? [])
        bindings.push({ name: binding, type: "queue", queue_name: queue, delivery_delay });
      after.consumers = value.consumers ?? [];
    } else {
      throw new Error(`an upload does not translate "${key}": deploy ${config.name} with wrangler`);
    }
  }
  return { metadata, after };
}

/** The steps that a Worker with this tag has not made; nothing when it has made all. */
function pendingMigrations(migrations: readonly Entry[], tag: string | undefined): object | undefined {
  const pending = migrations.slice(1 + migrations.findIndex((migration) => migration.tag === tag));
  if (pending.length === 0) return undefined;
  return { ...(tag !== undefined && { old_tag: tag }), new_tag: pending.at(-1).tag, steps: pending.map(({ tag: _, ...step }) => step) };
}

function accepted(what: string, answer: Envelope): Entry {
  if (answer.success) return answer.result;
  throw new Error(`${what} was refused: ${answer.errors.map(({ code, message }) => `${message} [code: ${code}]`).join("; ")}`);
}
