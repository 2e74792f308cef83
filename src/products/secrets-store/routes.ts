/** REST of Secrets Store, as `wrangler secrets-store` and the `cloudflare` SDKs send it. No answer has a secret's value. */
import { z } from "zod";
import { parseJson } from "../../kernel/api/body.ts";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { secretsError } from "./errors.ts";
import { newSecret, newStore, type SecretView, type Stores, secretChange, secretCopy } from "./stores.ts";

const ROOT = "/accounts/:account/secrets_store";
const STORES = `${ROOT}/stores`;
const SECRETS = `${STORES}/:store/secrets`;
const READ = ["Secrets Store Read", "Secrets Store Write"] as const;
const WRITE = ["Secrets Store Write"] as const;
/** A hundred secrets of the largest size, escaped. */
const BODY_MAX_BYTES = 16 * 1024 * 1024;

export function secretRoutes(stores: Stores): Route[] {
  const param = (c: RequestContext, key: "store" | "secret"): string => c.params[key] as string;
  return [
    {
      op: "secretsStore.stores.list",
      method: "GET",
      path: STORES,
      permission: READ,
      handle: async (c) => numberedPage(await stores.list(), c.query, 100, 20),
    },
    {
      op: "secretsStore.stores.create",
      method: "POST",
      path: STORES,
      permission: WRITE,
      async handle(c) {
        // Older SDKs send a list of one.
        const given = await bodyOf(c, z.union([newStore, z.array(newStore).length(1)]));
        const store = await stores.create([given].flat()[0] as z.infer<typeof newStore>);
        audit(c, "create", "CreateStore", "store", store);
        return Array.isArray(given) ? [store] : store;
      },
    },
    {
      op: "secretsStore.stores.get",
      method: "GET",
      path: `${STORES}/:store`,
      permission: READ,
      handle: (c) => stores.get(param(c, "store")),
    },
    {
      op: "secretsStore.stores.delete",
      method: "DELETE",
      path: `${STORES}/:store`,
      permission: WRITE,
      async handle(c) {
        await stores.remove(param(c, "store"), c.query.get("force") === "true");
        audit(c, "delete", "DeleteStore", "store", { id: param(c, "store") });
        return null;
      },
    },
    {
      op: "secretsStore.secrets.list",
      method: "GET",
      path: SECRETS,
      permission: READ,
      handle: async (c) => numberedPage(selected(await stores.secrets(param(c, "store")), c.query), c.query, 100, 20),
    },
    {
      op: "secretsStore.secrets.create",
      method: "POST",
      path: SECRETS,
      permission: WRITE,
      async handle(c) {
        const added = await stores.addSecrets(param(c, "store"), await bodyOf(c, z.array(newSecret).min(1).max(100)));
        for (const secret of added) audit(c, "create", "CreateSecret", "secret", secret);
        return added;
      },
    },
    {
      op: "secretsStore.secrets.deleteMany",
      method: "DELETE",
      path: SECRETS,
      permission: WRITE,
      async handle(c) {
        const ids = (
          await bodyOf(
            c,
            z
              .array(z.object({ id: z.string() }))
              .min(1)
              .max(100),
          )
        ).map(({ id }) => id);
        await stores.removeSecrets(param(c, "store"), ids);
        for (const id of ids) audit(c, "delete", "DeleteSecret", "secret", { id });
        return null;
      },
    },
    {
      op: "secretsStore.secrets.get",
      method: "GET",
      path: `${SECRETS}/:secret`,
      permission: READ,
      handle: (c) => stores.secret(param(c, "store"), param(c, "secret")),
    },
    {
      op: "secretsStore.secrets.edit",
      method: "PATCH",
      path: `${SECRETS}/:secret`,
      permission: WRITE,
      async handle(c) {
        const secret = await stores.changeSecret(param(c, "store"), param(c, "secret"), await bodyOf(c, secretChange));
        audit(c, "update", "UpdateSecret", "secret", secret);
        return secret;
      },
    },
    {
      op: "secretsStore.secrets.delete",
      method: "DELETE",
      path: `${SECRETS}/:secret`,
      permission: WRITE,
      async handle(c) {
        await stores.removeSecrets(param(c, "store"), [param(c, "secret")]);
        audit(c, "delete", "DeleteSecret", "secret", { id: param(c, "secret") });
        return null;
      },
    },
    {
      op: "secretsStore.secrets.duplicate",
      method: "POST",
      path: `${SECRETS}/:secret/duplicate`,
      permission: WRITE,
      async handle(c) {
        const secret = await stores.copySecret(param(c, "store"), param(c, "secret"), await bodyOf(c, secretCopy));
        audit(c, "create", "DuplicateSecret", "secret", secret);
        return secret;
      },
    },
    {
      op: "secretsStore.quota",
      method: "GET",
      path: `${ROOT}/quota`,
      permission: READ,
      handle: async () => ({ secrets: await stores.usage() }),
    },
  ];
}

/** The JSON body. What is wrong with it is told without its values: one of them is a secret. */
async function bodyOf<T>(c: RequestContext, schema: z.ZodType<T>): Promise<T> {
  const bytes = await c.bytes(BODY_MAX_BYTES);
  const parsed = schema.safeParse(bytes.byteLength === 0 ? undefined : parseJson(Buffer.from(bytes).toString("utf8")));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw secretsError("invalid", `invalid_request: ${issue?.path.join(".")}: ${issue?.message}`);
}

function audit(
  c: RequestContext,
  type: "create" | "update" | "delete",
  info: string,
  kind: string,
  of: { id: string; name?: string },
): void {
  const shown = of.name === undefined ? {} : { name: of.name };
  c.audit({ info, type, resource: { type: kind, id: of.id }, ...(type === "delete" ? {} : { newValue: shown }) });
}

const ORDERS = ["name", "comment", "created", "modified", "status"] as const;

/** The list's documented filters and order. */
function selected(secrets: readonly SecretView[], query: URLSearchParams): SecretView[] {
  const search = (query.get("search") ?? "").toLowerCase();
  const scopes = query.getAll("scopes").flatMap((text) => text.split(","));
  const order = ORDERS.find((field) => field === query.get("order")) ?? "created";
  const sign = query.get("direction") === "desc" ? -1 : 1;
  return secrets
    .filter(({ name, comment }) => `${name}\n${comment}`.toLowerCase().includes(search))
    .filter((secret) => scopes.every((scope) => secret.scopes.includes(scope)))
    .sort((a, b) => sign * (a[order] < b[order] ? -1 : a[order] > b[order] ? 1 : 0));
}
