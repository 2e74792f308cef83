/** Configurations as the API takes them: the schemas, and what a whole or partial body makes of a configuration. */
import { z } from "zod";
import { hyperdriveError } from "./errors.ts";

/** As PostgreSQL has it (docs: Hyperdrive, Limits). */
const NAME_MAX_BYTES = 63;
const CONNECTIONS_MIN = 5;
const MAX_AGE_MAX_S = 3600;
const POSTGRES_MODES = ["require", "verify-ca", "verify-full"] as const;
const MYSQL_MODES = ["REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"] as const;

const name63 = z
  .string()
  .min(1)
  .refine((text) => Buffer.byteLength(text) <= NAME_MAX_BYTES && !text.includes("\0"), `must not exceed ${NAME_MAX_BYTES} bytes`);
const origin = z.object({
  host: z.string().regex(/^[^\s/@]{1,255}$/, "must be a host name or an IP address"),
  port: z.number().int().min(1).max(65_535).optional(),
  database: name63,
  user: name63,
  password: z
    .string()
    .min(1)
    .max(4096)
    .refine((text) => !text.includes("\0"), "must not contain U+0000"),
  scheme: z.enum(["postgres", "postgresql", "mysql"]),
  access_client_id: z.string().optional(),
  access_client_secret: z.string().optional(),
  service_id: z.string().optional(),
});
const caching = z.object({
  disabled: z.boolean().optional(),
  max_age: z.number().int().min(1).max(MAX_AGE_MAX_S).optional(),
  stale_while_revalidate: z.number().int().min(0).max(MAX_AGE_MAX_S).optional(),
});
const mtls = z.object({
  ca_certificate_id: z.string().optional(),
  mtls_certificate_id: z.string().optional(),
  sslmode: z.enum([...POSTGRES_MODES, ...MYSQL_MODES]).optional(),
});
const limit = z.number().int().min(CONNECTIONS_MIN);

export const wholeConfig = z.object({
  name: z.string().min(1).max(255),
  origin,
  caching: caching.nullish(),
  mtls: mtls.nullish(),
  origin_connection_limit: limit.nullish(),
});
export const partialConfig = wholeConfig.partial().extend({ origin: origin.partial().nullish() });

export type WholeConfig = z.infer<typeof wholeConfig>;
export type PartialConfig = z.infer<typeof partialConfig>;

/** A configuration without its password, as it is stored. */
export interface Settings {
  readonly origin: {
    readonly host: string;
    readonly port: number;
    readonly database: string;
    readonly user: string;
    readonly scheme: "postgres" | "postgresql" | "mysql";
  };
  readonly caching:
    | { readonly disabled: true }
    | { readonly disabled: false; readonly max_age: number; readonly stale_while_revalidate: number };
  readonly mtls?: z.infer<typeof mtls>;
  readonly origin_connection_limit?: number;
}

export const isMysql = (scheme: string): boolean => scheme === "mysql";

/** The settings of a whole body; what it leaves out of these is kept of `old`, as documented for the operation. */
export function settingsOf(given: WholeConfig, old: Settings | undefined, limitMax: number): Settings {
  if (given.origin.access_client_id !== undefined)
    throw hyperdriveError("unsupported", "Databases behind Cloudflare Access are not implemented: give the host and port of the database");
  if (given.origin.service_id !== undefined)
    throw hyperdriveError("unsupported", "Databases behind Workers VPC services are not implemented");
  const { host, port, database, user, scheme } = given.origin;
  const tls = given.mtls ?? old?.mtls;
  const connections = given.origin_connection_limit ?? old?.origin_connection_limit;
  checkTls(scheme, tls);
  if (connections !== undefined && connections > limitMax)
    throw hyperdriveError("invalid", `origin_connection_limit: must be at most ${limitMax}`);
  return {
    origin: { host, port: port ?? (isMysql(scheme) ? 3306 : 5432), database, user, scheme },
    caching: cachingOf(given.caching),
    ...(tls !== undefined && { mtls: tls }),
    ...(connections !== undefined && { origin_connection_limit: connections }),
  };
}

/** A whole configuration of an old one and a partial body. Where the password goes to is not changed without it. */
export function merged(old: Settings & { readonly name: string; readonly password: string }, change: PartialConfig): WholeConfig {
  const moved =
    change.origin != null &&
    (["host", "port", "scheme"] as const).some((key) => change.origin?.[key] !== undefined && change.origin[key] !== old.origin[key]);
  if (moved && change.origin?.password === undefined)
    throw hyperdriveError("invalid", "origin.password: must be given when the database's host, port or scheme changes");
  return {
    name: change.name ?? old.name,
    origin: { ...old.origin, password: old.password, ...given(change.origin ?? {}) },
    caching: change.caching ?? old.caching,
    mtls: change.mtls ?? old.mtls,
    origin_connection_limit: change.origin_connection_limit ?? old.origin_connection_limit,
  };
}

/** Without what is not there. */
const given = <T extends object>(part: T): { [K in keyof T]: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(part).filter(([, value]) => value !== undefined)) as { [K in keyof T]: NonNullable<T[K]> };

function cachingOf(given: WholeConfig["caching"]): Settings["caching"] {
  if (given?.disabled) {
    if (given.max_age !== undefined || given.stale_while_revalidate !== undefined)
      throw hyperdriveError("invalid", "caching: max_age and stale_while_revalidate cannot be set when caching is disabled");
    return { disabled: true };
  }
  return { disabled: false, max_age: given?.max_age ?? 60, stale_while_revalidate: given?.stale_while_revalidate ?? 15 };
}

function checkTls(scheme: string, tls: Settings["mtls"]): void {
  const modes: readonly string[] = isMysql(scheme) ? MYSQL_MODES : POSTGRES_MODES;
  const mode = tls?.sslmode ?? modes[0];
  if (mode === undefined || !modes.includes(mode)) throw hyperdriveError("invalid", `mtls.sslmode: must be one of ${modes.join(", ")}`);
  const verifies = mode !== modes[0];
  if (verifies !== (tls?.ca_certificate_id !== undefined))
    throw hyperdriveError("invalid", `mtls: the sslmode ${mode} ${verifies ? "needs" : "cannot be used with"} a ca_certificate_id`);
}
