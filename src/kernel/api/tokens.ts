/**
 * API tokens and what they may do. A token carries policies in Cloudflare's form: permission groups on resources.
 * Values are stored only as hashes; the S3 secret that belongs to a token (sha256 of its value) is stored sealed.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Clock } from "../clock.ts";
import { platformError } from "../errors.ts";
import type { MetaStore, Migration } from "../meta/meta.ts";
import type { SecretBox } from "../secrets.ts";

/** A permission group as `GET /accounts/{a}/tokens/permission_groups` lists it. */
export interface PermissionGroup {
  /** 32 hex digits; Cloudflare's own where it is known. */
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly string[];
}

/** One policy: the groups apply to the resources. A resource is "com.cloudflare.api.account.<id>", "com.cloudflare.edge.r2.bucket.<account>_default_<bucket>", "com.cloudflare.api.account.zone.<id>" or "*". */
export interface Policy {
  readonly effect: "allow" | "deny";
  readonly permission_groups: readonly { readonly id: string; readonly name?: string }[];
  readonly resources: Readonly<Record<string, string>>;
}

/** Who calls: a verified token. */
export interface Principal {
  readonly tokenId: string;
  readonly tokenName: string;
  readonly policies: readonly Policy[];
  /**
   * Whether the token has the permission group (by name) on the resource; without a resource: on the account or, for
   * groups whose scopes name buckets or zones, on any of them. "… Write" includes "… Read".
   */
  can(group: string, resource?: string): boolean;
}

export interface TokenRow {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly policies: readonly Policy[];
  readonly issued_on: number;
  readonly expires_on: number | null;
  readonly last_used_on: number | null;
}

export const tokenMigrations: readonly Migration[] = [
  {
    name: "0001-tokens",
    sql: `CREATE TABLE kernel_tokens (
      id TEXT PRIMARY KEY,
      name TEXT NOT NULL,
      hash TEXT NOT NULL UNIQUE,
      s3_secret TEXT NOT NULL,
      policies TEXT NOT NULL,
      issued_on INTEGER NOT NULL,
      expires_on INTEGER
    )`,
  },
];

export interface TokenStore {
  create(
    name: string,
    policies: readonly Policy[],
    options?: { expiresOn?: number; value?: string },
  ): Promise<{ token: TokenRow; value: string }>;
  list(): Promise<TokenRow[]>;
  get(id: string): Promise<TokenRow | undefined>;
  /** False when there is no such token. */
  setPolicies(id: string, policies: readonly Policy[]): Promise<boolean>;
  /** False when there is no such token. Takes effect for the next request on every surface. */
  revoke(id: string): Promise<boolean>;
  /** The principal of a bearer value; throws `platform.invalidToken`. */
  verify(value: string): Promise<Principal>;
  accessKey(id: string): Promise<{ principal: Principal; secretAccessKey: string } | undefined>;
  groups(): readonly PermissionGroup[];
}

/** The S3 secret of a token: the documented derivation (docs/r2/api/tokens). */
export const s3Secret = (value: string): string => createHash("sha256").update(value).digest("hex");

// Hashed once more than the S3 secret, so that the stored hash is not itself a credential.
const storedHash = (value: string): string =>
  createHash("sha256")
    .update(`freehold-token:${s3Secret(value)}`)
    .digest("hex");

const SECRET_PURPOSE = "kernel.tokens.s3";

interface StoredToken {
  id: string;
  name: string;
  hash: string;
  s3_secret: string;
  policies: string;
  issued_on: number;
  expires_on: number | null;
}

export function tokenStore(
  meta: MetaStore,
  secrets: SecretBox,
  clock: Clock,
  groups: readonly PermissionGroup[],
  accountId: string,
): TokenStore {
  const groupsById = new Map(groups.map((group) => [group.id, group]));
  const lastUsed = new Map<string, number>();
  // Verified tokens are kept until any token changes: every mutation of the table goes through this object.
  const byHash = new Map<string, { stored: StoredToken; principal: Principal }>();

  const row = (t: StoredToken): TokenRow => ({
    id: t.id,
    name: t.name,
    status: t.expires_on !== null && t.expires_on <= clock.now() ? "expired" : "active",
    policies: JSON.parse(t.policies) as Policy[],
    issued_on: t.issued_on,
    expires_on: t.expires_on,
    last_used_on: lastUsed.get(t.id) ?? null,
  });
  const principal = (t: StoredToken): Principal => {
    const policies = JSON.parse(t.policies) as Policy[];
    return {
      tokenId: t.id,
      tokenName: t.name,
      policies,
      can: (group, resource) => allowed(policies, groupsById, accountId, group, resource),
    };
  };
  const usable = (t: StoredToken): boolean => t.expires_on === null || t.expires_on > clock.now();

  return {
    groups: () => groups,
    async create(name, policies, options = {}) {
      const value = options.value ?? randomBytes(30).toString("base64url");
      const stored: StoredToken = {
        id: randomBytes(16).toString("hex"),
        name,
        hash: storedHash(value),
        s3_secret: secrets.seal(s3Secret(value), SECRET_PURPOSE),
        policies: JSON.stringify(policies),
        issued_on: clock.now(),
        expires_on: options.expiresOn ?? null,
      };
      await meta.run(
        "INSERT INTO kernel_tokens (id, name, hash, s3_secret, policies, issued_on, expires_on) VALUES (?, ?, ?, ?, ?, ?, ?)",
        stored.id,
        stored.name,
        stored.hash,
        stored.s3_secret,
        stored.policies,
        stored.issued_on,
        stored.expires_on,
      );
      return { token: row(stored), value };
    },
    async list() {
      return (await meta.all<StoredToken>("SELECT * FROM kernel_tokens ORDER BY issued_on, id LIMIT 10000")).map(row);
    },
    async get(id) {
      const stored = await meta.get<StoredToken>("SELECT * FROM kernel_tokens WHERE id = ?", id);
      return stored && row(stored);
    },
    async setPolicies(id, policies) {
      const { changes } = await meta.run("UPDATE kernel_tokens SET policies = ? WHERE id = ?", JSON.stringify(policies), id);
      byHash.clear();
      return changes > 0;
    },
    async revoke(id) {
      const { changes } = await meta.run("DELETE FROM kernel_tokens WHERE id = ?", id);
      byHash.clear();
      return changes > 0;
    },
    async verify(value) {
      const hash = storedHash(value);
      let known = byHash.get(hash);
      if (known === undefined) {
        const stored = await meta.get<StoredToken>("SELECT * FROM kernel_tokens WHERE hash = ?", hash);
        if (stored === undefined) throw platformError("invalidToken");
        known = { stored, principal: principal(stored) };
        byHash.set(hash, known);
      }
      if (!usable(known.stored)) throw platformError("invalidToken");
      lastUsed.set(known.stored.id, clock.now());
      return known.principal;
    },
    async accessKey(id) {
      const stored = await meta.get<StoredToken>("SELECT * FROM kernel_tokens WHERE id = ?", id);
      if (stored === undefined || !usable(stored)) return undefined;
      return { principal: principal(stored), secretAccessKey: secrets.open(stored.s3_secret, SECRET_PURPOSE) };
    },
  };
}

const BUCKET_SCOPE = "com.cloudflare.edge.r2.bucket";
const ZONE_SCOPE = "com.cloudflare.api.account.zone";

/** The resource that policies name a zone by. */
export const zoneResource = (id: string): string => `${ZONE_SCOPE}.${id}`;

function allowed(
  policies: readonly Policy[],
  groups: ReadonlyMap<string, PermissionGroup>,
  accountId: string,
  group: string,
  resource: string | undefined,
): boolean {
  const wanted = new Set([group]);
  if (group.endsWith(" Read")) wanted.add(group.replace(/ Read$/, " Write")).add(group.replace(/ Read$/, " Edit"));
  let allow = false;
  for (const policy of policies) {
    const named = policy.permission_groups.map(({ id }) => groups.get(id)).filter((g) => g !== undefined && wanted.has(g.name));
    if (named.length === 0) continue;
    const scopes = new Set(named.flatMap((g) => g?.scopes ?? []));
    if (!Object.keys(policy.resources).some((given) => covers(given, accountId, resource, scopes))) continue;
    if (policy.effect === "deny") return false;
    allow = true;
  }
  return allow;
}

/**
 * Whether a policy's resource includes the one that is asked for; undefined asks for the account or a part of it. `scopes`
 * are the kinds of resources that the policy's groups are for.
 */
function covers(given: string, accountId: string, resource: string | undefined, scopes: ReadonlySet<string>): boolean {
  if (given === "*" || given === "com.cloudflare.api.account.*" || given === `com.cloudflare.api.account.${accountId}`) return true;
  if (resource !== undefined) return given === resource || (given === zoneResource("*") && resource.startsWith(zoneResource("")));
  // Only of groups that are for such parts: else a token for one bucket would reach what belongs to the whole account.
  if (scopes.has(BUCKET_SCOPE) && given.startsWith(`${BUCKET_SCOPE}.${accountId}_`)) return true;
  return scopes.has(ZONE_SCOPE) && given.startsWith(zoneResource(""));
}
