/** REST routes of secrets: of the deployed version, and of the latest without deploying it, as `wrangler versions secret` does. */
import { z } from "zod";
import type { BindingConfig, RequestContext, Route } from "../../kernel/product.ts";
import { publicBinding, sealSecret } from "./bindings.ts";
import { workersError } from "./errors.ts";
import type { Version } from "./model.ts";
import { type Mount, READ, type RouteDeps, WRITE } from "./route-deps.ts";
import type { ScriptStore } from "./store.ts";

const secretText = z.object({ text: z.string(), type: z.literal("secret_text").default("secret_text") });
const secretSchema = secretText.extend({ name: z.string().min(1) });
const bulkSchema = z.object({ secrets: z.record(z.string(), secretSchema.nullable()) });
/** A merge patch: null deletes. Only secrets change in this way; everything else of a version comes with an upload. */
const latestSchema = z.strictObject({
  env: z.record(z.string().min(1), secretText.nullable()),
  annotations: z.object({ "workers/message": z.string().max(1000).optional(), "workers/tag": z.string().max(100).optional() }).default({}),
});

/** Of the account's Workers, or of the user Workers of a namespace. */
export function secretRoutes(
  { kernel, deployer }: Pick<RouteDeps, "kernel" | "deployer">,
  store: ScriptStore,
  { op, path, named }: Mount,
): Route[] {
  const latest = async (c: RequestContext): Promise<Version | undefined> => store.latestVersion((await named(c)).script.id);
  const edited = async (c: RequestContext, edit: (old: readonly BindingConfig[]) => readonly BindingConfig[]): Promise<Version> =>
    deployer.editBindings((await named(c)).script.name, edit);

  return [
    {
      op: `${op}.secrets.list`,
      method: "GET",
      path: `${path}/secrets`,
      permission: READ,
      async handle(c) {
        return ((await latest(c))?.bindings ?? []).filter((b) => b.type === "secret_text").map(publicBinding);
      },
    },
    {
      op: `${op}.secrets.put`,
      method: "PUT",
      path: `${path}/secrets`,
      permission: WRITE,
      async handle(c) {
        const { name, text } = await c.json(secretSchema);
        const sealed = sealSecret(kernel, name, text);
        await edited(c, (old) => [...withoutSecrets(old, [name]), sealed]);
        return publicBinding(sealed);
      },
    },
    {
      op: `${op}.secrets.get`,
      method: "GET",
      path: `${path}/secrets/:key`,
      permission: READ,
      async handle(c) {
        const found = (await latest(c))?.bindings.find((b) => b.type === "secret_text" && b.name === c.params.key);
        if (found === undefined) throw workersError("secretNotFound", `Binding '${c.params.key}' does not exist on this Worker.`);
        return publicBinding(found);
      },
    },
    {
      op: `${op}.secrets.delete`,
      method: "DELETE",
      path: `${path}/secrets/:key`,
      permission: WRITE,
      async handle(c) {
        const { key } = c.params;
        await edited(c, (old) => {
          if (!old.some((b) => b.type === "secret_text" && b.name === key)) {
            throw workersError("secretNotFound", `Binding '${key}' does not exist on this Worker.`);
          }
          return old.filter((b) => b.name !== key);
        });
        return null;
      },
    },
    {
      op: `${op}.secrets.bulk`,
      method: "PATCH",
      path: `${path}/secrets-bulk`,
      permission: WRITE,
      async handle(c) {
        const { secrets: change } = await c.json(bulkSchema);
        const sealed = Object.entries(change).flatMap(([name, secret]) => (secret === null ? [] : [sealSecret(kernel, name, secret.text)]));
        const version = await edited(c, (old) => [...withoutSecrets(old, Object.keys(change)), ...sealed]);
        return version.bindings.filter((b) => b.type === "secret_text").map(publicBinding);
      },
    },
  ];
}

/** Secrets of the latest version, which is not deployed with it. */
export function latestSecretsRoute({ kernel, deployer }: RouteDeps): Route[] {
  return [
    {
      op: "workers.versions.patchLatest",
      method: "PATCH",
      path: "/accounts/:account/workers/workers/:name/versions/latest",
      permission: WRITE,
      async handle(c) {
        const { env: change, annotations } = await c.json(latestSchema);
        const sealed = Object.entries(change).flatMap(([name, secret]) => (secret === null ? [] : [sealSecret(kernel, name, secret.text)]));
        const edit = (old: readonly BindingConfig[]) => [...withoutSecrets(old, Object.keys(change)), ...sealed];
        return latestView(await deployer.editLatest(c.params.name as string, edit, annotations));
      },
    },
  ];
}

/** The bindings without the secrets of these names; a binding of another type that has one of them is in the way. */
function withoutSecrets(bindings: readonly BindingConfig[], names: readonly string[]): BindingConfig[] {
  const taken = bindings.find((b) => b.type !== "secret_text" && names.includes(b.name));
  if (taken !== undefined)
    throw workersError("nameInUse", `Binding name '${taken.name}' already in use. Please use a different name and try again.`);
  return bindings.filter((b) => !names.includes(b.name));
}

const latestView = (version: Version) => ({
  id: version.id,
  number: version.number,
  created_on: new Date(version.createdOn).toISOString(),
  source: version.source,
  annotations: version.annotations,
  bindings: version.bindings.map(publicBinding),
  compatibility_date: version.compatibilityDate,
  compatibility_flags: version.compatibilityFlags,
  main_module: version.main,
  usage_model: "standard",
});
