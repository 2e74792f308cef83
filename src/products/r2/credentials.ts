/**
 * Who signed an S3 request, and what that entitles to. Two kinds of keys: an API token's own pair, and temporary
 * ones, which are a JWT signed with a token's secret (docs/r2/api/s3/temporary-credentials): nothing of them is
 * stored, they end with their time or with the token, and never allow more than the token does.
 */
import { createHash, createHmac } from "node:crypto";
import type { Principal } from "../../kernel/api/tokens.ts";
import type { Auth } from "../../kernel/product.ts";
import { equalText } from "./equal-text.ts";
import { r2Error } from "./errors.ts";
import type { Jurisdiction } from "./model.ts";
import { groups } from "./permissions.ts";

export type Right = "read" | "write";

/** What a caller may do. */
export interface Grant {
  /** Everything about buckets of the account: list, create, delete, configure. */
  account(right: Right): boolean;
  /** Settings of one bucket. */
  bucket(right: Right, jurisdiction: Jurisdiction, name: string): boolean;
  /** Objects of a bucket: one key, or with `prefix` every key that begins with it. `operation` is S3's name. */
  objects(right: Right, jurisdiction: Jurisdiction, name: string, scope: { key: string } | { prefix: string }, operation?: string): boolean;
  /** Anything at all in the bucket: enough to learn that it exists. */
  somewhere(jurisdiction: Jurisdiction, name: string): boolean;
}

export interface Signer {
  /** The token behind the key: of a temporary key, its parent's. */
  readonly principal: Principal;
  readonly secretAccessKey: string;
  readonly grant: Grant;
}

/** The rights of a token's policies. */
export function principalGrant(principal: Principal, accountId: string): Grant {
  const account = `com.cloudflare.api.account.${accountId}`;
  const admin = (right: Right) => principal.can(right === "write" ? groups.storageWrite : groups.storageRead, account);
  const item = (right: Right) => (right === "write" ? groups.itemWrite : groups.itemRead);
  const objects = (right: Right, jurisdiction: Jurisdiction, name: string): boolean =>
    admin(right) ||
    // A policy on the account covers its buckets; one on a bucket names it with its jurisdiction.
    principal.can(item(right), account) ||
    principal.can(item(right), `com.cloudflare.edge.r2.bucket.${accountId}_${jurisdiction}_${name}`);
  return {
    account: admin,
    bucket: admin,
    objects,
    somewhere: (jurisdiction, name) => objects("read", jurisdiction, name),
  };
}

const scopes = ["admin-read-write", "admin-read-only", "object-read-write", "object-read-only"] as const;
export type TemporaryScope = (typeof scopes)[number];

/** Claims of a temporary key. */
export interface TemporaryClaims {
  /** Account id. */
  readonly sub: string;
  /** Access key id of the parent. */
  readonly iss: string;
  /** Host that the key is for. Ours has several names, so it is not compared. */
  readonly aud?: string;
  readonly bucket: string;
  readonly scope: TemporaryScope;
  /** S3 operations that are allowed; absent: all of the scope. */
  readonly actions?: readonly string[];
  readonly paths?: { readonly prefixPaths?: readonly string[]; readonly objectPaths?: readonly string[] };
  readonly jurisdiction?: string;
  /** Seconds since the epoch. */
  readonly iat?: number;
  readonly exp: number;
}

export interface TemporaryKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

const sign = (text: string, secret: string): string => createHmac("sha256", secret).update(text).digest("base64url");

/** Makes a temporary key of a parent's pair. */
export function temporaryKey(claims: TemporaryClaims, parentSecret: string): TemporaryKey {
  const unsigned = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
  const jwt = `${unsigned}.${sign(unsigned, parentSecret)}`;
  return {
    accessKeyId: claims.iss,
    secretAccessKey: secretOf(jwt),
    sessionToken: Buffer.from(`jwt/${jwt}`).toString("base64"),
  };
}

const secretOf = (jwt: string): string => createHash("sha256").update(jwt).digest("hex");

/** Length of an access key id; R2 refuses others before it looks for them. */
const ACCESS_KEY_LENGTH = 32;

/**
 * The secret and the rights behind an access key id and session token. Throws `r2.unauthorized` for a key that is
 * unknown, revoked or expired, or a token that is not its parent's.
 */
export async function resolveSigner(
  auth: Auth,
  accountId: string,
  accessKeyId: string,
  sessionToken: string | undefined,
  now: number,
): Promise<Signer> {
  if (accessKeyId.length !== ACCESS_KEY_LENGTH) {
    throw r2Error("invalidArgument", `Credential access key has length ${accessKeyId.length}, should be ${ACCESS_KEY_LENGTH}`);
  }
  const parent = await auth.accessKey(accessKeyId);
  if (parent === undefined) throw r2Error("unauthorized");
  const grant = principalGrant(parent.principal, accountId);
  if (sessionToken === undefined) return { ...parent, grant };

  const text = Buffer.from(sessionToken, "base64").toString("latin1");
  if (!text.startsWith("jwt/")) throw r2Error("invalidArgument", "X-Amz-Security-Token");
  const jwt = text.slice(4);
  const claims = verifyJwt(jwt, parent.secretAccessKey);
  if (claims === undefined || claims.sub !== accountId || claims.iss !== accessKeyId || claims.exp * 1000 <= now) {
    throw r2Error("unauthorized");
  }
  return { principal: parent.principal, secretAccessKey: secretOf(jwt), grant: narrow(grant, claims) };
}

function verifyJwt(jwt: string, secret: string): TemporaryClaims | undefined {
  const [head, body, signature, ...rest] = jwt.split(".");
  if (head === undefined || body === undefined || signature === undefined || rest.length > 0) return undefined;
  if (!equalText(sign(`${head}.${body}`, secret), signature)) return undefined;
  try {
    const header = JSON.parse(Buffer.from(head, "base64url").toString("utf8")) as { alg?: unknown };
    const claims = JSON.parse(Buffer.from(body, "base64url").toString("utf8")) as TemporaryClaims;
    const whole =
      header.alg === "HS256" && typeof claims.bucket === "string" && typeof claims.exp === "number" && scopes.includes(claims.scope);
    return whole ? claims : undefined;
  } catch {
    // Signed by the parent's secret and still not JSON: whoever has the secret made it, and it grants nothing.
    return undefined;
  }
}

/** The parent's rights cut down to the claims. */
function narrow(parent: Grant, claims: TemporaryClaims): Grant {
  const writes = claims.scope.endsWith("-write");
  const admin = claims.scope.startsWith("admin-");
  const allows = (right: Right) => right === "read" || writes;
  const here = (jurisdiction: Jurisdiction, name: string) => name === claims.bucket && jurisdiction === (claims.jurisdiction ?? "default");
  const { prefixPaths, objectPaths } = claims.paths ?? {};
  const limited = prefixPaths !== undefined || objectPaths !== undefined;
  const inPaths = (scope: { key: string } | { prefix: string }): boolean => {
    if (!limited) return true;
    const text = "key" in scope ? scope.key : scope.prefix;
    if (prefixPaths?.some((prefix) => text.startsWith(prefix))) return true;
    return "key" in scope && objectPaths?.includes(scope.key) === true;
  };
  return {
    // One bucket is all that a temporary key can be for.
    account: () => false,
    bucket: (right, jurisdiction, name) =>
      admin && !limited && allows(right) && here(jurisdiction, name) && parent.bucket(right, jurisdiction, name),
    objects: (right, jurisdiction, name, scope, operation) =>
      allows(right) &&
      here(jurisdiction, name) &&
      inPaths(scope) &&
      (claims.actions === undefined || operation === undefined || claims.actions.includes(operation)) &&
      parent.objects(right, jurisdiction, name, scope, operation),
    somewhere: (jurisdiction, name) => here(jurisdiction, name) && parent.somewhere(jurisdiction, name),
  };
}
