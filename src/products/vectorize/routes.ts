/** REST of indexes and metadata indexes: /accounts/{account}/vectorize/v2 (`wrangler` 4.164.0, `cloudflare` SDK 7.3.0). */
import { z } from "zod";
import { success } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { METRICS } from "../../kernel/vectors/codes.ts";
import type { Engine } from "./engine.ts";
import { vectorizeError } from "./errors.ts";
import type { Index, Indexes } from "./indexes.ts";
import { INDEX_NAME_MAX_BYTES, PRESETS } from "./limits.ts";
import { type Operations, parsed } from "./operations.ts";
import { vectorRoutes } from "./routes-vectors.ts";

export const READ = ["Vectorize Read", "Vectorize Write"] as const;
export const WRITE = ["Vectorize Write"] as const;
export const BASE = "/accounts/:account/vectorize/v2/indexes";
export const INDEX = `${BASE}/:index`;
const LEGACY = "/accounts/:account/vectorize/indexes";

const newIndex = z.object({
  name: z.string(),
  description: z.string().max(10_000).nullish(),
  config: z.union([z.object({ preset: z.string() }), z.object({ dimensions: z.number().int(), metric: z.enum(METRICS) })]),
});

export interface VectorizeApi {
  readonly indexes: Indexes;
  readonly operations: Operations;
  readonly engine: Engine;
  readonly dimensionsMax: number;
}

/** The JSON body, whatever content type it claims. Throws `vectorize.invalidBody`. */
export async function jsonBody(context: RequestContext): Promise<unknown> {
  const text = Buffer.from(await context.bytes(10 * 1024 * 1024)).toString("utf8");
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw vectorizeError("invalidBody", `Failed to parse the request body as JSON: ${(cause as Error).message}`, { cause });
  }
}

export const indexView = ({ name, description, dimensions, metric, createdAt, modifiedAt }: Index): Record<string, unknown> => ({
  created_on: new Date(createdAt).toISOString(),
  modified_on: new Date(modifiedAt).toISOString(),
  name,
  description,
  config: { dimensions, metric },
});

export function vectorizeRoutes(api: VectorizeApi): Route[] {
  const { indexes, operations, engine } = api;
  const indexOf = ({ params }: RequestContext): Index => indexes.require(params.index as string);
  const changed = (context: RequestContext, info: string, index: Index, value: Record<string, unknown>): void =>
    context.audit({ info, type: "update", resource: { type: "vectorize_index", id: index.name }, newValue: value });
  return [
    {
      op: "vectorize.indexes.list",
      method: "GET",
      path: BASE,
      permission: READ,
      handle: async () => indexes.list().map(indexView),
    },
    {
      op: "vectorize.indexes.create",
      method: "POST",
      path: BASE,
      permission: WRITE,
      async handle(context) {
        const index = await indexes.create(parseIndex(await jsonBody(context), api.dimensionsMax));
        const resource = { type: "vectorize_index", id: index.name };
        context.audit({ info: "CreateIndex", type: "create", resource, newValue: indexView(index) });
        const { body, headers } = success(indexView(index));
        return new Response(body, { status: 201, headers });
      },
    },
    {
      op: "vectorize.indexes.get",
      method: "GET",
      path: INDEX,
      permission: READ,
      handle: async (context) => indexView(indexOf(context)),
    },
    {
      op: "vectorize.indexes.delete",
      method: "DELETE",
      path: INDEX,
      permission: WRITE,
      async handle(context) {
        const index = await indexes.remove(context.params.index as string);
        context.audit({ info: "DeleteIndex", type: "delete", resource: { type: "vectorize_index", id: index.name } });
        await engine.call(index, "drop", {});
        return null;
      },
    },
    {
      op: "vectorize.indexes.info",
      method: "GET",
      path: `${INDEX}/info`,
      permission: READ,
      handle: (context) => operations.info(indexOf(context)),
    },
    {
      op: "vectorize.metadataIndexes.list",
      method: "GET",
      path: `${INDEX}/metadata_index/list`,
      permission: READ,
      handle: (context) => operations.properties(indexOf(context)),
    },
    {
      op: "vectorize.metadataIndexes.create",
      method: "POST",
      path: `${INDEX}/metadata_index/create`,
      permission: WRITE,
      async handle(context) {
        const index = indexOf(context);
        const given = await jsonBody(context);
        const answer = await operations.createProperty(index, given);
        changed(context, "CreateMetadataIndex", index, given as Record<string, unknown>);
        return answer;
      },
    },
    {
      op: "vectorize.metadataIndexes.delete",
      method: "POST",
      path: `${INDEX}/metadata_index/delete`,
      permission: WRITE,
      async handle(context) {
        const index = indexOf(context);
        const given = await jsonBody(context);
        const answer = await operations.deleteProperty(index, given);
        changed(context, "DeleteMetadataIndex", index, given as Record<string, unknown>);
        return answer;
      },
    },
    ...vectorRoutes(api),
    {
      op: "vectorize.legacy.list",
      method: "GET",
      path: LEGACY,
      permission: READ,
      // None can have been created.
      handle: async () => [],
    },
    {
      op: "vectorize.legacy.create",
      method: "POST",
      path: LEGACY,
      permission: WRITE,
      handle: async () => {
        throw vectorizeError("legacy");
      },
    },
  ];
}

function parseIndex(body: unknown, dimensionsMax: number) {
  const { name, description, config } = parsed(newIndex, body);
  if (Buffer.byteLength(name) > INDEX_NAME_MAX_BYTES || !/^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(name))
    throw vectorizeError(
      "invalidIndex",
      `invalid index name "${name.slice(0, 100)}": at most ${INDEX_NAME_MAX_BYTES} bytes of letters, digits, "-" and "_"`,
    );
  const preset = "preset" in config ? PRESETS[config.preset] : config;
  if (preset === undefined) throw vectorizeError("invalidIndex", `unknown preset "${(config as { preset: string }).preset.slice(0, 100)}"`);
  const { dimensions, metric } = preset;
  if (dimensions < 1 || dimensions > dimensionsMax)
    throw vectorizeError("invalidIndex", `dimensions must be between 1 and ${dimensionsMax}, but got ${dimensions}`);
  return { name, description: description ?? "", dimensions, metric };
}
