/**
 * What can be done with an index's vectors, the same for every door (`routes*.ts`, `binding-protocol.ts`): checks of
 * documented limits, then the engine or the journal. Answers are what clients see.
 */
import { z } from "zod";
import { parseWith } from "../../kernel/api/body.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Config } from "../../kernel/config.ts";
import { PlatformError } from "../../kernel/errors.ts";
import { oneAtATime } from "../../kernel/one-at-a-time.ts";
import type { SecretBox } from "../../kernel/secrets.ts";
import type { Engine } from "./engine.ts";
import type { Match, Query, StoredVector } from "./engine-protocol.ts";
import { vectorizeError } from "./errors.ts";
import { parseFilter } from "./filter.ts";
import type { Index } from "./indexes.ts";
import { IDS_MAX, LIST_DEFAULT, LIST_MAX, PROPERTIES_MAX, TOP_K_DEFAULT, TOP_K_MAX, TOP_K_WHOLE_MAX } from "./limits.ts";
import type { PropertyType, Vector } from "./mutation.ts";
import type { Mutations } from "./mutations.ts";
import { checkId, checkNamespace, floats } from "./vector-input.ts";

export interface MutationAnswer {
  readonly mutationId: string;
}

export type Operations = ReturnType<typeof openOperations>;

export interface OperationsOptions {
  readonly engine: Engine;
  readonly mutations: Mutations;
  readonly config: Config;
  readonly clock: Clock;
  readonly secrets: SecretBox;
}

const querySchema = z.object({
  vector: z.unknown().optional(),
  vectorId: z.string().optional(),
  topK: z.number().int().optional(),
  namespace: z.string().nullish(),
  filter: z.unknown().optional(),
  returnValues: z.boolean().optional(),
  returnMetadata: z.union([z.enum(["none", "indexed", "all"]), z.boolean()]).optional(),
});

const idsSchema = z.object({ ids: z.array(z.string()).default([]) });

const cursorSchema = z.object({ index: z.string(), after: z.number(), snapshot: z.number(), total: z.number(), expires: z.number() });

const newProperty = z.object({ propertyName: z.string(), indexType: z.enum(["string", "number", "boolean"]) });
const oldProperty = z.object({ propertyName: z.string() });

/** What a client sent, checked: throws `vectorize.invalidBody`. */
export function parsed<T>(schema: z.ZodType<T>, value: unknown): T {
  try {
    return parseWith(schema, value);
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    throw vectorizeError("invalidBody", `Failed to parse the request body as JSON: ${error.message}`, { cause: error });
  }
}

const iso = (ms: number): string => new Date(ms).toISOString();

export function openOperations({ engine, mutations, config, clock, secrets }: OperationsOptions) {
  const inTurn = oneAtATime();
  const CURSOR = "vectorize.cursor";

  async function checkRoom(index: Index, vectors: readonly Vector[]): Promise<void> {
    const { vectors: stored } = await engine.call(index, "info", {});
    const most = config["vectorize.vectors_max"];
    if (stored + mutations.pending(index) + vectors.length > most)
      throw vectorizeError("tooManyVectors", `the index's limit of ${most} vectors is reached`);
    const names = [...new Set(vectors.flatMap(({ namespace }) => namespace ?? []))];
    if (names.length === 0) return;
    const { fresh, known } = await engine.call(index, "namespaces", { names });
    if (fresh > 0 && known + fresh > config["vectorize.namespaces_max"]) throw vectorizeError("tooManyNamespaces");
  }

  function parseQuery(index: Index, given: unknown): Query {
    const { vector, vectorId, topK = TOP_K_DEFAULT, namespace, filter, returnValues = false, returnMetadata } = parsed(querySchema, given);
    const metadata = typeof returnMetadata === "boolean" ? (returnMetadata ? "all" : "none") : (returnMetadata ?? "none");
    if (topK < 1 || topK > TOP_K_MAX) throw vectorizeError("topK", `top K must be between 1 and ${TOP_K_MAX}, but got ${topK}`);
    if ((returnValues || metadata === "all") && topK > TOP_K_WHOLE_MAX) {
      const advice = `for a top K up to ${TOP_K_MAX}, retry with returnValues=false and returnMetadata=indexed`;
      throw vectorizeError(
        "topK",
        `with returnValues=true or returnMetadata=all, max top K is ${TOP_K_WHOLE_MAX}, but got ${topK}; ${advice}`,
      );
    }
    if (namespace !== undefined && namespace !== null) checkNamespace(namespace);
    if (vector !== undefined && vectorId !== undefined) throw vectorizeError("invalidBody", "vector and vectorId exclude each other");
    return {
      vector: vectorId ?? floats(vector, index.dimensions, (what) => `invalid query vector, ${what}`, "queryDimensions"),
      topK,
      namespace: namespace ?? null,
      filter: filter === undefined || filter === null ? [] : parseFilter(filter),
      returnValues,
      returnMetadata: metadata,
    };
  }

  function parseIds(given: unknown): string[] {
    const { ids } = parsed(idsSchema, given);
    if (ids.length > IDS_MAX) throw vectorizeError("tooMany", `too many ids in payload; max id count is ${IDS_MAX}, got ${ids.length}`);
    for (const id of ids) checkId(id);
    return ids;
  }

  function openCursor(index: Index, cursor: string): z.infer<typeof cursorSchema> {
    let opened: z.infer<typeof cursorSchema>;
    try {
      opened = cursorSchema.parse(JSON.parse(secrets.open(cursor, CURSOR)));
    } catch (cause) {
      throw vectorizeError("invalidCursor", undefined, { cause });
    }
    if (opened.index !== index.id) throw vectorizeError("invalidCursor");
    if (opened.expires <= clock.now()) throw vectorizeError("cursorExpired");
    return opened;
  }

  return {
    async info(index: Index) {
      const { vectors, mutation, processedAt } = await engine.call(index, "info", {});
      return {
        dimensions: index.dimensions,
        vectorCount: vectors,
        processedUpToMutation: mutation ?? "",
        processedUpToDatetime: processedAt === null ? null : iso(processedAt),
      };
    },
    async write(index: Index, kind: "insert" | "upsert", vectors: readonly Vector[]): Promise<MutationAnswer> {
      await checkRoom(index, vectors);
      return { mutationId: await mutations.submit(index, { kind, vectors }) };
    },
    async deleteByIds(index: Index, given: unknown): Promise<MutationAnswer> {
      return { mutationId: await mutations.submit(index, { kind: "delete", ids: parseIds(given) }) };
    },
    async getByIds(index: Index, given: unknown) {
      return (await engine.call(index, "get", { ids: parseIds(given) })).map(vectorView);
    },
    async query(index: Index, given: unknown) {
      const matches = await engine.call(index, "query", { query: parseQuery(index, given) });
      return { count: matches.length, matches: matches.map(matchView) };
    },
    async list(index: Index, query: URLSearchParams) {
      const count = query.has("count") ? Number(query.get("count")) : LIST_DEFAULT;
      if (!Number.isInteger(count) || count < 1 || count > LIST_MAX)
        throw vectorizeError("invalidBody", `count must be between 1 and ${LIST_MAX}`);
      const given = query.get("cursor");
      const from = given === null ? undefined : openCursor(index, given);
      const page = await engine.call(index, "list", { after: 0, ...from, count });
      const expires = from?.expires ?? clock.now() + config["vectorize.cursor_ttl_s"] * 1000;
      const next =
        page.next === undefined ? null : { index: index.id, after: page.next, snapshot: page.snapshot, total: page.total, expires };
      return {
        count: page.ids.length,
        totalCount: page.total,
        isTruncated: next !== null,
        nextCursor: next === null ? null : secrets.seal(JSON.stringify(next), CURSOR),
        cursorExpirationTimestamp: next === null ? null : iso(expires),
        vectors: page.ids.map((id) => ({ id })),
      };
    },
    async properties(index: Index) {
      const properties = await engine.call(index, "properties", {});
      return { metadataIndexes: properties.map(({ name, type }) => ({ propertyName: name, indexType: typeView(type) })) };
    },
    /** One after another for each index: a request is checked against what those before it have brought about. */
    createProperty: (index: Index, given: unknown): Promise<MutationAnswer> =>
      inTurn(index.id, async () => {
        const { propertyName: property, indexType: type } = parsed(newProperty, given);
        checkProperty(property);
        await mutations.settled();
        const properties = await engine.call(index, "properties", {});
        if (properties.some(({ name }) => name === property)) throw vectorizeError("propertyExists");
        if (properties.length >= PROPERTIES_MAX) throw vectorizeError("tooManyProperties");
        return { mutationId: await mutations.submit(index, { kind: "create-property", property, type }) };
      }),
    deleteProperty: (index: Index, given: unknown): Promise<MutationAnswer> =>
      inTurn(index.id, async () => {
        const { propertyName: property } = parsed(oldProperty, given);
        await mutations.settled();
        const properties = await engine.call(index, "properties", {});
        if (!properties.some(({ name }) => name === property)) throw vectorizeError("propertyNotFound");
        return { mutationId: await mutations.submit(index, { kind: "delete-property", property }) };
      }),
  };
}

function checkProperty(property: string): void {
  if (property.length > 512 || /["|]/.test(property) || property.split(".").some((step) => step === "" || step.startsWith("$")))
    throw vectorizeError("invalidProperty", `"${property.slice(0, 64)}" cannot be the property of a metadata index`);
}

/** "String", as the real service answers what it was given as "string". */
const typeView = (type: PropertyType): string => `${type[0]?.toUpperCase()}${type.slice(1)}`;

const metadataView = (text: string | null | undefined): { metadata?: unknown } =>
  text === null || text === undefined ? {} : { metadata: JSON.parse(text) };

const vectorView = ({ id, namespace, values, metadata }: StoredVector): Record<string, unknown> => ({
  id,
  ...(namespace !== null && { namespace }),
  values: [...values],
  ...metadataView(metadata),
});

const matchView = ({ id, score, namespace, values, metadata }: Match): Record<string, unknown> => ({
  id,
  score,
  ...(namespace !== null && { namespace }),
  ...(values !== undefined && { values: [...values] }),
  ...metadataView(metadata),
});
