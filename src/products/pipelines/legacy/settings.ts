/**
 * A legacy pipeline on the wire (wrangler 4.36.0, `cloudflare` SDK 7.3.0) and as the rest of the folder sees it. What the
 * client sent is kept and given back, members that we do not know included: clients change a pipeline by sending all of
 * it again. Defaults and ranges are those of the older documentation (Output settings, Shards, Limits). Credentials are
 * taken out here.
 */
import { z } from "zod";
import { platformError } from "../../../kernel/errors.ts";
import { pipelinesError } from "../errors.ts";
import type { R2SinkConfig, RollingPolicy, SinkSecrets } from "../sink-config.ts";
import { checkHttp, type Http } from "../streams.ts";

const optional = <T extends z.ZodType>(type: T) => type.nullish().transform((value) => value ?? undefined);
const between = (min: number, max: number) => {
  const error = `must be between ${min} and ${max}`;
  return z.number().min(min, { error }).max(max, { error });
};
const integer = (min: number, max: number) => between(min, max).int({ error: "must be a whole number" });

const BYTES_PER_MB = 1_000_000;
const BATCH = { max_bytes: 100 * BYTES_PER_MB, max_duration_s: 300, max_rows: 10_000_000 };
const SHARDS = 2;
const SHARDS_MAX = 15;

const format = z.literal("json").default("json");
const httpSource = z.looseObject({
  type: z.literal("http"),
  format,
  authentication: z.boolean().default(false),
  cors: optional(z.looseObject({ origins: optional(z.array(z.string())) })),
});
const bindingSource = z.looseObject({ type: z.literal("binding"), format });

const destination = z.looseObject({
  type: z.literal("r2"),
  format,
  compression: z.looseObject({ type: z.enum(["none", "gzip", "deflate"]).default("gzip") }).prefault({}),
  batch: z
    .looseObject({
      max_bytes: between(BYTES_PER_MB, BATCH.max_bytes).default(BATCH.max_bytes),
      max_duration_s: between(1, BATCH.max_duration_s).default(BATCH.max_duration_s),
      max_rows: integer(1, BATCH.max_rows).default(BATCH.max_rows),
    })
    .prefault({}),
  path: z.looseObject({ bucket: z.string().min(1), prefix: optional(z.string()) }),
  credentials: optional(z.object({ endpoint: z.string(), access_key_id: z.string().min(1), secret_access_key: z.string().min(1) })),
});

export const pipelineBody = z.looseObject({
  name: z.string(),
  metadata: z.looseObject({ shards: optional(integer(1, SHARDS_MAX)) }).prefault({}),
  source: z.array(z.discriminatedUnion("type", [httpSource, bindingSource])).min(1, { error: "at least one source must be enabled" }),
  transforms: z.array(z.unknown()).default([]),
  destination,
});
export type PipelineBody = z.infer<typeof pipelineBody>;

/** What is stored and given back: the body without what the platform adds, and without credentials. */
export type Wire = Readonly<Record<string, unknown>>;

export type Compression = "none" | "gzip" | "deflate";

export interface LegacySettings {
  readonly http: Http;
  readonly workerBinding: boolean;
  readonly shards: number;
  readonly target: R2SinkConfig;
  readonly compression: Compression;
  readonly rolling: RollingPolicy;
}

/** Parts a checked body from its credentials. `isOwnEndpoint` tells the URLs of this account's S3 API. */
export function parseBody(body: PipelineBody, isOwnEndpoint: (url: URL) => boolean): { wire: Wire; secrets: SinkSecrets | undefined } {
  if (!/^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/.test(body.name))
    throw pipelinesError("invalidName", "name must be 1 to 63 letters, digits and dashes, and start and end with a letter or a digit");
  const { id: _id, endpoint: _endpoint, version: _version, ...rest } = body;
  const { credentials, ...output } = rest.destination;
  refuseUnsupported(rest);
  const types = rest.source.map((source) => source.type);
  if (new Set(types).size < types.length) throw pipelinesError("invalidPipeline", "source: each type may be listed once");
  const { prefix } = output.path;
  if (prefix !== undefined && (/\p{Cc}/u.test(prefix) || prefix.length > 512))
    throw pipelinesError("invalidPipeline", "destination.path.prefix: not usable in an object's key");
  const wire = JSON.parse(JSON.stringify({ ...rest, destination: output })) as Wire;
  checkHttp(settingsOf(wire).http);
  return { wire, secrets: credentials && parseCredentials(credentials, isOwnEndpoint) };
}

/** Options that the API's types name and that no longer, or never, had a documented meaning. */
function refuseUnsupported(body: PipelineBody): void {
  if (body.transforms.length > 0) throw platformError("notImplemented", "transforms are not implemented by this version of Freehold");
  for (const name of ["filepath", "filename"])
    if (body.destination.path[name] !== undefined)
      throw platformError("notImplemented", `destination.path.${name} is not implemented by this version of Freehold`);
}

function parseCredentials(
  credentials: NonNullable<PipelineBody["destination"]["credentials"]>,
  isOwnEndpoint: (url: URL) => boolean,
): SinkSecrets {
  // Events only ever go into buckets of this account; another destination must not look accepted.
  const url = URL.parse(credentials.endpoint);
  if (url === null || !isOwnEndpoint(url))
    throw pipelinesError("invalidPipeline", "destination.credentials.endpoint: not the R2 endpoint of this account");
  return { kind: "r2", accessKeyId: credentials.access_key_id, secretAccessKey: credentials.secret_access_key };
}

/** The settings behind a stored pipeline. */
export function settingsOf(wire: Wire): LegacySettings {
  const { metadata, source, destination: output } = wire as unknown as PipelineBody;
  const http = source.find((one) => one.type === "http");
  return {
    http:
      http === undefined
        ? { enabled: false, authentication: false }
        : { enabled: true, authentication: http.authentication, cors: http.cors && { origins: http.cors.origins } },
    workerBinding: source.some((one) => one.type === "binding"),
    shards: metadata.shards ?? SHARDS,
    target: {
      kind: "r2",
      bucket: output.path.bucket,
      path: (output.path.prefix ?? "").replace(/^\/+|\/+$/g, ""),
      timePattern: "event_date=%Y-%m-%d/hr=%H",
      naming: { strategy: "ulid", prefix: "", suffix: undefined },
    },
    compression: output.compression.type,
    rolling: {
      intervalMs: output.batch.max_duration_s * 1000,
      fileBytes: undefined,
      inactivityMs: undefined,
      eventBytes: output.batch.max_bytes,
      events: output.batch.max_rows,
    },
  };
}
