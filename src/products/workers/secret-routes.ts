/** REST routes of secrets: of the deployed version, and of the latest without deploying it, as `wrangler versions secret` does. */
import { z } from "zod";
import type { BindingConfig, RequestContext, Route } from "../../kernel/product.ts";
import { publicBinding, sealSecret } from "./bindings.ts";
import { workersError } from "./errors.ts";
import type { Version } from "./model.ts";
import { READ, type RouteDeps, WRITE } from "./route-deps.ts";
import type { LiveScript } from "./store.ts";

const SCRIPT = "/accounts/:account/workers/scripts/:name";

const secretText = z.object({ text: z.string(), type: z.literal("secret_text").default("secret_text") });
const secretSchema = secretText.extend({ name: z.string().min(1) });
const bulkSchema = z.object({ secrets: z.record(z.string(), secretSchema.nullable()) });
/** A merge patch: null deletes. Only secrets change in this way; everything else of a version comes with an upload. */
const latestSchema = z.strictObject({
  env: z.record(z.string().min(1), secretText.nullable()),
  annotations: z.object({ "workers/message": z.string().max(1000).optional(), "workers/tag": z.string().max(100).optional() }).default({}),
});

export function secretRoutes({ kernel, store, deployer }: RouteDeps): Route[] {
  const named = (c: RequestContext): LiveScript => store.require(c.params.name as string);

  return [
    {
      op: "workers.secrets.list",
      method: "GET",
      path: `${SCRIPT}/secrets`,
      permission: READ,
      async handle(c) {
        const latest = await store.latestVersion(named(c).script.id);
        return (latest?.bindings ?? []).filter((b) => b.type === "secret_text").map(publicBinding);
      },
    },
    {
      op: "workers.secrets.put",
      method: "PUT",
      path: `${SCRIPT}/secrets`,
      permission: WRITE,
      async handle(c) {
        const { name, text } = await c.json(secretSchema);
        const sealed = sealSecret(kernel, name, text);
        await deployer.editBindings(c.params.name as string, (old) => [...withoutSecrets(old, [name]), sealed]);
        return publicBinding(sealed);
      },
    },
    {
      op: "workers.secrets.get",
      method: "GET",
      path: `${SCRIPT}/secrets/:key`,
      permission: READ,
      async handle(c) {
        const latest = await store.latestVersion(named(c).script.id);
        const found = latest?.bindings.find((b) => b.type === "secret_text" && b.name === c.params.key);
        if (found === undefined) throw workersError("secretNotFound", `Binding '${c.params.key}' does not exist on this Worker.`);
        return publicBinding(found);
      },
    },
    {
      op: "workers.secrets.delete",
      method: "DELETE",
      path: `${SCRIPT}/secrets/:key`,
      permission: WRITE,
      async handle(c) {
        const { key } = c.params;
        await deployer.editBindings(c.params.name as string, (old) => {
          if (!old.some((b) => b.type === "secret_text" && b.name === key)) {
            throw workersError("secretNotFound", `Binding '${key}' does not exist on this Worker.`);
          }
          return old.filter((b) => b.name !== key);
        });
        return null;
      },
    },
    {
      op: "workers.secrets.bulk",
      method: "PATCH",
      path: `${SCRIPT}/secrets-bulk`,
      permission: WRITE,
      async handle(c) {
        const { secrets: change } = await c.json(bulkSchema);
        const sealed = Object.entries(change).flatMap(([name, secret]) => (secret === null ? [] : [sealSecret(kernel, name, secret.text)]));
        const version = await deployer.editBindings(c.params.name as string, (old) => [
          ...withoutSecrets(old, Object.keys(change)),
          ...sealed,
        ]);
        return version.bindings.filter((b) => b.type === "secret_text").map(publicBinding);
      },
    },
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
