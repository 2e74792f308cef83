/**
 * The account's streams: rows in meta, mirrored in memory because every ingest request asks for its stream, and each
 * stream's journal, held open. All changes go through this object, so the mirror is the table.
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { Clock } from "../../kernel/clock.ts";
import type { Journal, JournalStore } from "../../kernel/journal/journal.ts";
import type { MetaStore, MetaTransaction } from "../../kernel/meta/meta.ts";
import { pipelinesError } from "./errors.ts";
import { type Field, parseFields, type WireSchema, wireSchema } from "./fields.ts";
import { type RecordCheck, recordCheck } from "./record-check.ts";

const optional = <T extends z.ZodType>(type: T) => type.nullish().transform((value) => value ?? undefined);

const httpSettings = z.object({
  enabled: z.boolean(),
  authentication: z.boolean().default(false),
  cors: optional(z.object({ origins: optional(z.array(z.string())) })),
});

const streamFormat = z.looseObject({
  // Events arrive as JSON, times and decimals as text or numbers whatever these hints say; the SDK's type has "parquet" too, which no document explains.
  type: z.literal("json"),
  unstructured: optional(z.boolean()),
  timestamp_format: optional(z.enum(["rfc3339", "unix_millis"])),
  decimal_encoding: optional(z.enum(["number", "string"])),
});

export const newStream = z.looseObject({
  name: z.string(),
  format: optional(streamFormat),
  http: optional(httpSettings),
  schema: optional(wireSchema),
  worker_binding: optional(z.object({ enabled: z.boolean() })),
});

/** What is left out stays as it is: a change of CORS must not turn off authentication. */
const httpChange = z.object({
  enabled: optional(z.boolean()),
  authentication: optional(z.boolean()),
  cors: optional(z.object({ origins: optional(z.array(z.string())) })),
});

export const streamChange = z.looseObject({ http: optional(httpChange), worker_binding: optional(z.object({ enabled: z.boolean() })) });

export interface Http {
  readonly enabled: boolean;
  readonly authentication: boolean;
  readonly cors?: { readonly origins?: readonly string[] | undefined } | undefined;
}

export interface Stream {
  readonly id: string;
  readonly name: string;
  readonly format: Readonly<Record<string, unknown>>;
  /** As the client sent it; undefined for an unstructured stream. */
  readonly schema: WireSchema | undefined;
  readonly http: Http;
  readonly workerBinding: boolean;
  readonly createdAt: number;
  readonly modifiedAt: number;
  readonly fields: readonly Field[] | undefined;
  readonly check: RecordCheck | undefined;
  readonly journal: Journal;
}

export interface Streams {
  /** By id. */
  find(id: string): Stream | undefined;
  byName(name: string): Stream | undefined;
  /** Throws `pipelines.streamNotFound`. */
  require(id: string): Stream;
  /** All of them, oldest first: their number is bounded. */
  list(): Stream[];
  create(given: z.infer<typeof newStream>): Promise<Stream>;
  /** HTTP and binding settings; nothing else of a stream can change. */
  change(id: string, given: z.infer<typeof streamChange>): Promise<Stream>;
  /** Records, inside the caller's transaction, that events before `offset` were processed. */
  release(tx: MetaTransaction, id: string, offset: number): Promise<void>;
  /** Events before this offset were processed by a pipeline that is gone. */
  released(id: string): Promise<number>;
  /** Deletes the stream with its buffered events; `also` runs in the transaction that does it. Its readers must have stopped. */
  remove(id: string, also: (tx: MetaTransaction) => Promise<void>): Promise<void>;
}

interface Row {
  id: string;
  name: string;
  format: string;
  schema: string | null;
  http: string;
  worker_binding: number;
  released: number;
  created_at: number;
  modified_at: number;
}

const journalName = (id: string): string => `stream-${id}`;

export async function openStreams(meta: MetaStore, journals: JournalStore, clock: Clock, max: number): Promise<Streams> {
  const byId = new Map<string, Stream>();
  const byName = new Map<string, Stream>();
  const keep = (stream: Stream): Stream => {
    byId.set(stream.id, stream);
    byName.set(stream.name, stream);
    return stream;
  };

  async function load(row: Row): Promise<Stream> {
    const schema = row.schema === null ? undefined : (JSON.parse(row.schema) as WireSchema);
    const fields = schema && parseFields(schema);
    return {
      id: row.id,
      name: row.name,
      format: JSON.parse(row.format) as Record<string, unknown>,
      schema,
      http: JSON.parse(row.http) as Http,
      workerBinding: row.worker_binding === 1,
      createdAt: row.created_at,
      modifiedAt: row.modified_at,
      fields,
      check: fields && recordCheck(fields),
      journal: await journals.open(journalName(row.id)),
    };
  }

  for (const { id } of await meta.all<{ id: string }>("SELECT id FROM pipelines_removed_streams")) {
    // A crash came between the rows and the journal of a deleted stream.
    await journals.remove(journalName(id));
    await meta.run("DELETE FROM pipelines_removed_streams WHERE id = ?", id);
  }
  for (const row of await meta.all<Row>("SELECT * FROM pipelines_streams ORDER BY created_at, id")) keep(await load(row));

  function require(id: string): Stream {
    const found = byId.get(id);
    if (found === undefined) throw pipelinesError("streamNotFound");
    return found;
  }

  return {
    find: (id) => byId.get(id),
    byName: (name) => byName.get(name),
    require,
    list: () => [...byId.values()],

    async create(given) {
      checkName(given.name);
      const unstructured = given.schema === undefined || (given.format?.unstructured === true && (given.schema.fields ?? []).length === 0);
      if (!unstructured) parseFields(given.schema as WireSchema);
      const http = checkHttp(given.http ?? { enabled: true, authentication: false, cors: undefined });
      if (byName.has(given.name)) throw pipelinesError("nameTaken", `A stream named "${given.name}" already exists`);
      if (byId.size >= max) throw pipelinesError("tooMany", `The account's limit of ${max} streams is reached`);
      const now = clock.now();
      const row: Row = {
        id: randomBytes(16).toString("hex"),
        name: given.name,
        format: JSON.stringify({ ...(given.format ?? { type: "json" }), ...(unstructured && { unstructured: true }) }),
        schema: unstructured ? null : JSON.stringify(given.schema),
        http: JSON.stringify(http),
        worker_binding: (given.worker_binding?.enabled ?? true) ? 1 : 0,
        released: 0,
        created_at: now,
        modified_at: now,
      };
      // The journal first: a row without one would be a stream that cannot take events.
      const stream = await load(row);
      try {
        await meta.run(
          "INSERT INTO pipelines_streams (id, name, format, schema, http, worker_binding, released, created_at, modified_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
          row.id,
          row.name,
          row.format,
          row.schema,
          row.http,
          row.worker_binding,
          row.released,
          row.created_at,
          row.modified_at,
        );
      } catch (cause) {
        await journals.remove(journalName(row.id));
        // Two requests may come this far with one name; the table's UNIQUE decides between them.
        if (byName.has(given.name)) throw pipelinesError("nameTaken", `A stream named "${given.name}" already exists`, { cause });
        throw cause;
      }
      return keep(stream);
    },

    async change(id, given) {
      const stream = require(id);
      const changed: Stream = {
        ...stream,
        http: checkHttp({
          enabled: given.http?.enabled ?? stream.http.enabled,
          authentication: given.http?.authentication ?? stream.http.authentication,
          cors: given.http?.cors ?? stream.http.cors,
        }),
        workerBinding: given.worker_binding?.enabled ?? stream.workerBinding,
        modifiedAt: clock.now(),
      };
      const { changes } = await meta.run(
        "UPDATE pipelines_streams SET http = ?, worker_binding = ?, modified_at = ? WHERE id = ?",
        JSON.stringify(changed.http),
        changed.workerBinding ? 1 : 0,
        changed.modifiedAt,
        id,
      );
      if (changes === 0 || !byId.has(id)) throw pipelinesError("streamNotFound");
      return keep(changed);
    },

    async release(tx, id, offset) {
      await tx.run("UPDATE pipelines_streams SET released = ? WHERE id = ? AND released < ?", offset, id, offset);
    },
    async released(id) {
      return (await meta.get<{ released: number }>("SELECT released FROM pipelines_streams WHERE id = ?", id))?.released ?? 0;
    },

    async remove(id, also) {
      const stream = require(id);
      await meta.transaction(async (tx) => {
        await also(tx);
        await tx.run("INSERT INTO pipelines_removed_streams (id) VALUES (?)", id);
        await tx.run("DELETE FROM pipelines_streams WHERE id = ?", id);
      });
      // Gone for every client from here on; the buffered events follow.
      byId.delete(id);
      byName.delete(stream.name);
      await journals.remove(journalName(id));
      await meta.run("DELETE FROM pipelines_removed_streams WHERE id = ?", id);
    },
  };
}

/** Names are SQL identifiers; wrangler checks the same (`validateEntityName`). */
export function checkName(name: string): void {
  if (!/^[A-Za-z0-9_]{1,128}$/.test(name)) throw pipelinesError("invalidName");
}

/** Throws `pipelines.invalidHttp`. */
export function checkHttp(http: Http): Http {
  for (const origin of http.cors?.origins ?? [])
    if (origin !== "*" && !/^https?:\/\/[^/\s]+$/i.test(origin))
      throw pipelinesError("invalidHttp", `Provided value ${origin} is not a valid CORS origin.`);
  return http;
}
