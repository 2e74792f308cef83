/**
 * The operations that belong to no product: the user, the account, API tokens, and the platform's own status. This
 * installation has one user and one account; both exist so that clients find what they ask for.
 */
import { z } from "zod";
import { platformError } from "../errors.ts";
import type { RequestContext, Route } from "../product.ts";
import { numberedPage } from "./envelope.ts";
import type { TokenRow, TokenStore } from "./tokens.ts";

export interface AccountRoutesOptions {
  readonly accountId: string;
  readonly accountName: string;
  readonly userId: string;
  readonly createdAt: number;
  readonly tokens: TokenStore;
  /** What `freehold status` shows. */
  readonly status: () => Promise<unknown>;
  /** URL templates of the products' hosts, as the ready file has them. */
  readonly hosts: () => Readonly<Record<string, string>>;
  /** Every operation of the API; read when somebody asks for the list. */
  readonly routes: readonly Route[];
}

const TOKENS_WRITE = "API Tokens Write";
const TOKENS_READ = "API Tokens Read";

const policy = z.object({
  effect: z.enum(["allow", "deny"]).default("allow"),
  permission_groups: z.array(z.object({ id: z.string(), name: z.string().optional() })).min(1),
  resources: z.record(z.string(), z.string()),
});
const newToken = z.object({
  name: z.string().min(1).max(120),
  policies: z.array(policy).min(1),
  expires_on: z.iso.datetime({ offset: true }).optional(),
});

export const accountPermissions = [
  { id: "b05b28e839c54467a7d6cba5d3abb5a3", name: "API Tokens Read", scopes: ["com.cloudflare.api.account"] },
  { id: "686d18d5ac6c441c867cbf6771e58a0a", name: "API Tokens Write", scopes: ["com.cloudflare.api.account"] },
  { id: "c1fde68c7bcc44588cbb6ddbc16d6480", name: "Account Settings Read", scopes: ["com.cloudflare.api.account"] },
  { id: "1af1fa2adc104452b74a9a3364202f20", name: "Account Settings Write", scopes: ["com.cloudflare.api.account"] },
  { id: "b89a480218d04ceb98b4fe57ca29dc1f", name: "Account Analytics Read", scopes: ["com.cloudflare.api.account"] },
] as const;

export function accountRoutes(options: AccountRoutesOptions): Route[] {
  const { accountId, tokens } = options;
  const account = {
    id: accountId,
    name: options.accountName,
    type: "standard",
    settings: { enforce_twofactor: false },
    created_on: new Date(options.createdAt).toISOString(),
  };
  const user = {
    id: options.userId,
    email: "admin@freehold.localhost",
    first_name: null,
    last_name: null,
    username: "admin",
    two_factor_authentication_enabled: false,
  };
  const verify = async ({ principal }: RequestContext) => ({ id: principal.tokenId, status: "active" });

  return [
    { op: "user.get", method: "GET", path: "/user", permission: [], handle: async () => user },
    { op: "user.tokens.verify", method: "GET", path: "/user/tokens/verify", permission: [], handle: verify },
    { op: "accounts.tokens.verify", method: "GET", path: "/accounts/:account/tokens/verify", permission: [], handle: verify },
    {
      op: "memberships.list",
      method: "GET",
      path: "/memberships",
      permission: [],
      handle: async ({ query }) =>
        numberedPage([{ id: options.userId, status: "accepted", account, roles: ["Super Administrator - All Privileges"] }], query),
    },
    { op: "accounts.list", method: "GET", path: "/accounts", permission: [], handle: async ({ query }) => numberedPage([account], query) },
    { op: "accounts.get", method: "GET", path: "/accounts/:account", permission: [], handle: async () => account },
    ...["/accounts/:account/tokens", "/user/tokens"].flatMap((base) => tokenRoutes(base, tokens)),
    { op: "freehold.status", method: "GET", path: "/freehold/status", permission: ["Account Settings Read"], handle: options.status },
    // No secret: whoever may call at all must be able to learn where the products' own doors are.
    { op: "freehold.hosts", method: "GET", path: "/freehold/hosts", permission: [], handle: async () => options.hosts() },
    // Nor is what there is: code that a model writes looks operations up with the token that it will call them with.
    {
      op: "freehold.routes",
      method: "GET",
      path: "/freehold/routes",
      permission: [],
      handle: async () => options.routes.map(({ op, method, path, permission }) => ({ op, method, path, permission })),
    },
  ];
}

function tokenRoutes(base: string, tokens: TokenStore): Route[] {
  const scope = base.startsWith("/user") ? "user.tokens" : "accounts.tokens";
  const found = async (id: string | undefined): Promise<TokenRow> => {
    const token = await tokens.get(id ?? "");
    if (token === undefined) throw platformError("noRoute", "API token not found");
    return token;
  };
  return [
    {
      op: `${scope}.permissionGroups`,
      method: "GET",
      path: `${base}/permission_groups`,
      permission: [TOKENS_READ],
      handle: async () => tokens.groups(),
    },
    {
      op: `${scope}.list`,
      method: "GET",
      path: base,
      permission: [TOKENS_READ],
      handle: async ({ query }) => numberedPage((await tokens.list()).map(render), query),
    },
    {
      op: `${scope}.get`,
      method: "GET",
      path: `${base}/:id`,
      permission: [TOKENS_READ],
      handle: async ({ params }) => render(await found(params.id)),
    },
    {
      op: `${scope}.create`,
      method: "POST",
      path: base,
      permission: [TOKENS_WRITE],
      async handle(context) {
        const body = await context.json(newToken);
        const known = new Map(tokens.groups().map((group) => [group.id, group]));
        for (const { id } of body.policies.flatMap((p) => p.permission_groups)) {
          if (!known.has(id)) throw platformError("badRequest", `Permission group ${id} does not exist`);
        }
        const policies = body.policies.map((p) => ({
          ...p,
          permission_groups: p.permission_groups.map(({ id }) => ({ id, name: known.get(id)?.name ?? id })),
        }));
        const { token, value } = await tokens.create(
          body.name,
          policies,
          body.expires_on === undefined ? {} : { expiresOn: Date.parse(body.expires_on) },
        );
        // The value is shown this once and kept nowhere.
        return { ...render(token), value };
      },
    },
    {
      op: `${scope}.delete`,
      method: "DELETE",
      path: `${base}/:id`,
      permission: [TOKENS_WRITE],
      async handle({ params }) {
        const { id } = await found(params.id);
        await tokens.revoke(id);
        return { id };
      },
    },
  ];
}

const time = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

function render({ id, name, status, policies, issued_on, expires_on, last_used_on }: TokenRow) {
  return {
    id,
    name,
    status,
    policies,
    issued_on: time(issued_on),
    modified_on: time(issued_on),
    expires_on: time(expires_on),
    last_used_on: time(last_used_on),
  };
}
