/**
 * Sinks on the wire (`cloudflare` SDK 7.3.0, wrangler 4.164.0) and as the rest of the product sees them. Defaults are
 * wrangler's. Secrets are taken out here: `config` is what the API gives back.
 */
import { z } from "zod";
import { pipelinesError } from "./errors.ts";
import type { FileFormat } from "./file-writer.ts";
import { checkTimePattern, type NamingStrategy } from "./naming.ts";
import type { JsonEncoding } from "./output.ts";

const optional = <T extends z.ZodType>(type: T) => type.nullish().transform((value) => value ?? undefined);

const rollingPolicy = z.object({
  file_size_bytes: optional(z.number().min(0)),
  interval_seconds: optional(z.number().min(0)),
  inactivity_seconds: optional(z.number().min(0)),
});

const r2Config = z.object({
  account_id: optional(z.string()),
  bucket: z.string().min(1),
  path: optional(z.string()),
  jurisdiction: optional(z.string()),
  credentials: z.object({ access_key_id: z.string().min(1), secret_access_key: z.string().min(1) }),
  partitioning: optional(z.object({ time_pattern: optional(z.string()) })),
  file_naming: optional(
    z.object({
      strategy: optional(z.enum(["serial", "uuid", "uuid_v7", "ulid"])),
      prefix: optional(z.string()),
      suffix: optional(z.string()),
    }),
  ),
  rolling_policy: optional(rollingPolicy),
});

const catalogConfig = z.object({
  account_id: optional(z.string()),
  bucket: z.string().min(1),
  namespace: optional(z.string()),
  table_name: z.string().min(1),
  token: z.string().min(1),
  rolling_policy: optional(rollingPolicy),
});

const jsonFormat = z.object({
  type: z.literal("json"),
  compression: optional(z.enum(["uncompressed", "gzip"])),
  decimal_encoding: optional(z.enum(["number", "string", "bytes"])),
  timestamp_format: optional(z.enum(["rfc3339", "unix_millis"])),
  unstructured: optional(z.boolean()),
});
const parquetFormat = z.object({
  type: z.literal("parquet"),
  compression: optional(z.enum(["uncompressed", "snappy", "gzip", "zstd", "lz4"])),
  row_group_bytes: optional(z.number().positive()),
});

export const newSink = z.looseObject({
  name: z.string(),
  type: z.enum(["r2", "r2_data_catalog", "basin_catalog"]),
  format: optional(z.discriminatedUnion("type", [jsonFormat, parquetFormat])),
  config: z.looseObject({}),
});
export type NewSink = z.infer<typeof newSink>;

export type SinkType = NewSink["type"];

/** When a file is closed: whichever comes first. */
export interface RollingPolicy {
  readonly intervalMs: number;
  /** Of the file; undefined: unlimited. */
  readonly fileBytes: number | undefined;
  readonly inactivityMs: number | undefined;
  /** Of the events that go into the file, as they were sent; absent: unlimited. */
  readonly eventBytes?: number;
  /** Number of events; absent: unlimited. */
  readonly events?: number;
}

export interface R2SinkConfig {
  readonly kind: "r2";
  readonly bucket: string;
  /** Without slashes at its ends; "" for none. */
  readonly path: string;
  readonly timePattern: string;
  readonly naming: { readonly strategy: NamingStrategy; readonly prefix: string; readonly suffix: string | undefined };
}

export interface CatalogSinkConfig {
  readonly kind: "catalog";
  readonly bucket: string;
  readonly namespace: readonly string[];
  readonly table: string;
}

export interface SinkSettings {
  readonly target: R2SinkConfig | CatalogSinkConfig;
  readonly format: FileFormat;
  readonly json: JsonEncoding;
  readonly rolling: RollingPolicy;
}

export type SinkSecrets =
  | { readonly kind: "r2"; readonly accessKeyId: string; readonly secretAccessKey: string }
  | { readonly kind: "catalog"; readonly token: string };

/** What is stored and given back of a sink. */
export interface SinkWire {
  readonly type: SinkType;
  readonly format: Readonly<Record<string, unknown>>;
  readonly config: Readonly<Record<string, unknown>>;
}

const INTERVAL_S = 300;
const TIME_PATTERN = "year=%Y/month=%m/day=%d";
const ROW_GROUP_BYTES = 1024 * 1024 * 1024;

/** Checks a new sink and parts it from its secrets. Throws `pipelines.invalidSink`. */
export function parseNewSink(sink: NewSink, accountId: string, rollMinSeconds: number): { wire: SinkWire; secrets: SinkSecrets } {
  const format = sink.format ?? { type: "parquet" as const, compression: undefined, row_group_bytes: undefined };
  if (sink.type === "r2") {
    const config = parse(r2Config, sink.config);
    if (config.account_id !== undefined && config.account_id !== accountId)
      throw pipelinesError("invalidSink", "config.account_id: not this account");
    if (![undefined, "default"].includes(config.jurisdiction))
      throw pipelinesError("invalidSink", `config.jurisdiction: only buckets of the default jurisdiction can be written to`);
    const { credentials, ...rest } = config;
    const pattern = rest.partitioning?.time_pattern ?? TIME_PATTERN;
    checkTimePattern(pattern);
    for (const [name, text] of [
      ["path", rest.path ?? ""],
      ["file_naming.prefix", rest.file_naming?.prefix ?? ""],
    ] as const)
      if (/\p{Cc}/u.test(text) || text.length > 512) throw pipelinesError("invalidSink", `config.${name}: not usable in an object's key`);
    return {
      wire: {
        type: sink.type,
        format: withoutUndefined(format),
        config: withoutUndefined({
          ...rest,
          account_id: accountId,
          path: rest.path ?? "",
          partitioning: { time_pattern: pattern },
          rolling_policy: rolling(rest.rolling_policy, rollMinSeconds),
        }),
      },
      secrets: { kind: "r2", accessKeyId: credentials.access_key_id, secretAccessKey: credentials.secret_access_key },
    };
  }
  const config = parse(catalogConfig, sink.config);
  if (config.account_id !== undefined && config.account_id !== accountId)
    throw pipelinesError("invalidSink", "config.account_id: not this account");
  if (format.type === "json") throw pipelinesError("invalidSink", "format: R2 Data Catalog sinks only support parquet");
  const namespace = config.namespace ?? "default";
  if (namespace.split(".").some((level) => level === "")) throw pipelinesError("invalidSink", "config.namespace: empty level");
  const { token, ...rest } = config;
  return {
    wire: {
      type: sink.type,
      format: withoutUndefined(format),
      config: withoutUndefined({
        ...rest,
        account_id: accountId,
        namespace,
        rolling_policy: rolling(rest.rolling_policy, rollMinSeconds),
      }),
    },
    secrets: { kind: "catalog", token },
  };
}

/** The settings behind a stored sink. */
export function settingsOf(wire: SinkWire): SinkSettings {
  const policy = wire.config.rolling_policy as { file_size_bytes?: number; interval_seconds: number; inactivity_seconds?: number };
  const format = wire.format as z.infer<typeof parquetFormat> | z.infer<typeof jsonFormat>;
  return {
    target: wire.type === "r2" ? r2Target(wire.config) : catalogTarget(wire.config),
    format: {
      type: format.type,
      compression: format.compression ?? (format.type === "parquet" ? "zstd" : "uncompressed"),
      rowGroupBytes: (format.type === "parquet" ? format.row_group_bytes : undefined) ?? ROW_GROUP_BYTES,
    },
    json: {
      timestamps: (format.type === "json" ? format.timestamp_format : undefined) ?? "rfc3339",
      decimals: (format.type === "json" ? format.decimal_encoding : undefined) ?? "number",
      unstructured: format.type === "json" && format.unstructured === true,
    },
    rolling: {
      intervalMs: policy.interval_seconds * 1000,
      fileBytes: policy.file_size_bytes || undefined,
      inactivityMs: policy.inactivity_seconds ? policy.inactivity_seconds * 1000 : undefined,
    },
  };
}

function r2Target(config: SinkWire["config"]): R2SinkConfig {
  const {
    bucket,
    path,
    partitioning,
    file_naming: naming,
  } = config as {
    bucket: string;
    path: string;
    partitioning: { time_pattern: string };
    file_naming?: { strategy?: NamingStrategy; prefix?: string; suffix?: string };
  };
  return {
    kind: "r2",
    bucket,
    path: path.replace(/^\/+|\/+$/g, ""),
    timePattern: partitioning.time_pattern.replace(/^\/+|\/+$/g, ""),
    naming: { strategy: naming?.strategy ?? "uuid", prefix: naming?.prefix ?? "", suffix: naming?.suffix },
  };
}

function catalogTarget(config: SinkWire["config"]): CatalogSinkConfig {
  const { bucket, namespace, table_name: table } = config as { bucket: string; namespace: string; table_name: string };
  return { kind: "catalog", bucket, namespace: namespace.split("."), table };
}

function rolling(policy: z.infer<typeof rollingPolicy> | undefined, minSeconds: number): Record<string, number> {
  const interval = policy?.interval_seconds ?? INTERVAL_S;
  if (interval < minSeconds) throw pipelinesError("invalidSink", `config.rolling_policy.interval_seconds: must be at least ${minSeconds}`);
  return withoutUndefined({ ...policy, interval_seconds: interval });
}

function parse<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const text = result.error.issues.map((issue) => `config.${issue.path.map(String).join(".")}: ${issue.message}`).join("; ");
  throw pipelinesError("invalidSink", text, { cause: result.error });
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return JSON.parse(JSON.stringify(value)) as { [K in keyof T]: Exclude<T[K], undefined> };
}
