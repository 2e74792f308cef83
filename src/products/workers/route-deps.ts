/** What the REST routes of Workers share: their parts, the permissions they ask for, and the deletion of a Worker. */
import type { DurableObjects } from "../../kernel/capabilities.ts";
import type { BindingConfig, KernelSlice, RequestContext } from "../../kernel/product.ts";
import type { Assets } from "./assets.ts";
import type { CronScheduler } from "./cron.ts";
import type { Deployer } from "./deploy.ts";
import { workersError } from "./errors.ts";
import type { Version } from "./model.ts";
import type { LiveScript, ScriptStore } from "./store.ts";
import type { Tails } from "./tails.ts";
import { type ConfigurationPart, readUpload, type Upload } from "./upload.ts";

export interface RouteDeps {
  readonly kernel: KernelSlice;
  readonly store: ScriptStore;
  readonly deployer: Deployer;
  readonly assets: Assets;
  readonly cron: CronScheduler;
  readonly tails: Tails;
  readonly durableObjects: DurableObjects;
  readonly subdomain: { get(): string; set(value: string): Promise<void> };
  /** Each throws when the Worker of that name must not be deleted. */
  readonly removalChecks: readonly ((script: string) => void)[];
}

/** Where operations of a Worker are, and which Worker a request means. */
export interface Mount {
  /** Begins the operations' names. */
  readonly op: string;
  /** With the Worker's name at its end. */
  readonly path: string;
  /** Throws the documented error. */
  named(context: RequestContext): Promise<LiveScript>;
}

export const READ = ["Workers Scripts Read", "Workers Scripts Write"] as const;
export const WRITE = ["Workers Scripts Write"] as const;
export const TAIL = ["Workers Tail Read", ...READ] as const;
/** Bytes of the form around the code: boundaries, names, metadata. */
const FORM_OVERHEAD_BYTES = 16 * 1024 * 1024;

/** Who uploads: "wrangler", "dash", "api". */
export function sourceOf({ headers }: RequestContext): string {
  if (headers.has("x-freehold-dashboard")) return "dash";
  return /wrangler/i.test(headers.get("user-agent") ?? "") ? "wrangler" : "api";
}

/** The upload that a request carries; where the code may be missing, it then has no modules. */
export async function uploadOf(
  kernel: KernelSlice,
  c: RequestContext,
  code: "required" | "optional" = "required",
  part: ConfigurationPart = "metadata",
): Promise<Upload> {
  const limit = kernel.config["workers.script_max_bytes"] + FORM_OVERHEAD_BYTES;
  const body = await c.bytes(limit).catch((error: unknown) => {
    if ((error as { code?: string }).code === "platform.bodyTooLarge") throw workersError("tooLarge");
    throw error;
  });
  const upload = await readUpload(c.headers.get("content-type") ?? "", body, code, part);
  for (const binding of upload.bindings) if (binding.type !== "inherit") mayBind(kernel, c, binding);
  return upload;
}

/** What the upload takes over from the version before it was allowed then. */
function mayBind(kernel: KernelSlice, { principal }: RequestContext, { type, name }: BindingConfig): void {
  const { permission } = kernel.bindings.get(type);
  if (permission === undefined || permission.some((group) => principal.can(group))) return;
  throw workersError("mayNotBind", `The token may not create the ${type} binding "${name}": it needs the permission ${permission[0]}.`);
}

/** Workers whose current versions bind the given one. */
export function callersOf(store: ScriptStore, target: string): string[] {
  const binds = (version: Version): boolean => version.bindings.some((b) => b.type === "service" && b.service === target);
  return store.everyone().flatMap(({ script, versions }) => (script.name !== target && versions.some(binds) ? [script.name] : []));
}

/** Deletes a Worker; one that others bind only with `force=true`, and never one that other products still send events to. */
export async function removeScript({ store, deployer, removalChecks }: RouteDeps, c: RequestContext): Promise<void> {
  const { script } = store.require(c.params.name as string);
  for (const check of removalChecks) check(script.name);
  if (c.query.get("force") !== "true" && callersOf(store, script.name).length > 0) throw workersError("referenced");
  await deployer.remove(script.name);
}
