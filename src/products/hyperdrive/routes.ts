/** REST of Hyperdrive, as `wrangler hyperdrive` and the `cloudflare` SDKs send it. No answer has a password. */
import type { z } from "zod";
import { parseJson } from "../../kernel/api/body.ts";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { partialConfig, wholeConfig } from "./config-input.ts";
import type { Configs, ConfigView } from "./configs.ts";
import { hyperdriveError } from "./errors.ts";

const CONFIGS = "/accounts/:account/hyperdrive/configs";
const CONFIG = `${CONFIGS}/:config`;
const READ = ["Hyperdrive Read", "Hyperdrive Write"] as const;
const WRITE = ["Hyperdrive Write"] as const;
const BODY_MAX_BYTES = 64 * 1024;

export function hyperdriveRoutes(configs: Configs, restarted: (id: string) => void): Route[] {
  const idOf = (c: RequestContext): string => c.params.config as string;
  return [
    {
      op: "hyperdrive.configs.list",
      method: "GET",
      path: CONFIGS,
      permission: READ,
      handle: async (c) => numberedPage(await configs.list(), c.query, 100, 100),
    },
    {
      op: "hyperdrive.configs.create",
      method: "POST",
      path: CONFIGS,
      permission: WRITE,
      async handle(c) {
        const made = await configs.create(await bodyOf(c, wholeConfig));
        audit(c, "create", "CreateConfig", made);
        return made;
      },
    },
    { op: "hyperdrive.configs.get", method: "GET", path: CONFIG, permission: READ, handle: (c) => configs.get(idOf(c)) },
    {
      op: "hyperdrive.configs.replace",
      method: "PUT",
      path: CONFIG,
      permission: WRITE,
      async handle(c) {
        const changed = await configs.replace(idOf(c), await bodyOf(c, wholeConfig));
        audit(c, "update", "UpdateConfig", changed);
        return changed;
      },
    },
    {
      op: "hyperdrive.configs.edit",
      method: "PATCH",
      path: CONFIG,
      permission: WRITE,
      async handle(c) {
        const changed = await configs.edit(idOf(c), await bodyOf(c, partialConfig));
        audit(c, "update", "UpdateConfig", changed);
        return changed;
      },
    },
    {
      op: "hyperdrive.configs.restart",
      method: "POST",
      path: `${CONFIG}/restart`,
      permission: WRITE,
      async handle(c) {
        const config = await configs.restart(idOf(c));
        restarted(config.id);
        audit(c, "update", "RestartConfig", config);
        return config;
      },
    },
    {
      op: "hyperdrive.configs.delete",
      method: "DELETE",
      path: CONFIG,
      permission: WRITE,
      async handle(c) {
        await configs.remove(idOf(c));
        c.audit({ info: "DeleteConfig", type: "delete", resource: { type: "config", id: idOf(c) } });
        return null;
      },
    },
  ];
}

function audit(c: RequestContext, type: "create" | "update", info: string, { id, name, origin, caching, mtls }: ConfigView): void {
  c.audit({ info, type, resource: { type: "config", id }, newValue: { name, origin, caching, mtls: mtls ?? null } });
}

/** The JSON body. What is wrong with it is told without its values: one of them is a password. */
async function bodyOf<T>(c: RequestContext, schema: z.ZodType<T>): Promise<T> {
  const bytes = await c.bytes(BODY_MAX_BYTES);
  const parsed = schema.safeParse(bytes.byteLength === 0 ? undefined : parseJson(Buffer.from(bytes).toString("utf8")));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw hyperdriveError("invalid", `${issue?.path.join(".")}: ${issue?.message}`);
}
