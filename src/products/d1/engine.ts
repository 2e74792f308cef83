/** The D1 engine as the Node side sees it: requests to the system workerd with a capability for one database. */
import type { Readable } from "node:stream";
import type { KernelSlice, SystemResponse } from "../../kernel/product.ts";
import { CallFailed, type Calls } from "./calls.ts";
import type { DatabaseId } from "./databases.ts";
import { d1Error } from "./errors.ts";

export interface ImportOutcome {
  readonly success: boolean;
  readonly error?: string;
  readonly num_queries?: number;
  readonly final_bookmark?: string;
  readonly meta?: unknown;
}

export interface Engine {
  /** Runs REST's `{sql, params}` or `{batch}`; one result per statement. Throws `d1.query` with SQLite's words. */
  query(uuid: DatabaseId, body: unknown, options: { rows: boolean; readOnly: boolean }): Promise<unknown[]>;
  stats(uuid: DatabaseId): Promise<{ file_size: number; num_tables: number }>;
  destroy(uuid: DatabaseId): Promise<void>;
  /** SQL text of the database. Throws `d1.query` when it cannot be exported. */
  export(uuid: DatabaseId, options: { tables: readonly string[]; schema: boolean; data: boolean }): Promise<AsyncIterable<Uint8Array>>;
  /** Runs a file's statements, all or none. */
  import(uuid: DatabaseId, file: Readable): Promise<ImportOutcome>;
  /** The id of the database's object, after which its file is called. */
  objectId(uuid: DatabaseId): Promise<string>;
  /** Resolves when what may be writing to the database now has ended. */
  settled(uuid: DatabaseId): Promise<void>;
  /**
   * Ends everything that is under way in the database: its callers are told so in these words. What comes later waits
   * until `open` resolves, which must not fail. Nothing touches the database's file when this resolves.
   */
  interrupt(uuid: DatabaseId, words: string, open: Promise<unknown>): Promise<void>;
}

export interface EngineOptions {
  readonly system: KernelSlice["system"];
  readonly calls: Calls;
  /** Bytes past which a database takes nothing more. */
  readonly sizeMax: number;
  /** Told of what was written otherwise than by calls. */
  readonly wrote: (uuid: DatabaseId) => void;
}

export function openEngine({ system, calls, sizeMax, wrote }: EngineOptions): Engine {
  /** Databases that are closed, until when. */
  const closed = new Map<string, Promise<unknown>>();
  /** Why what was under way was ended last; each time another object. */
  const interruptions = new Map<string, { readonly words: string }>();
  const imports = new Map<string, Promise<unknown>>();

  async function request(database: string, method: string, path: string, body?: AsyncIterable<Uint8Array>): Promise<SystemResponse> {
    await closed.get(database);
    return system({ database, role: "platform" }, { method, path, ...(body !== undefined && { body }) });
  }

  async function runImport(uuid: DatabaseId, file: Readable): Promise<ImportOutcome> {
    await closed.get(uuid);
    const before = interruptions.get(uuid);
    try {
      return await json<ImportOutcome>(request(uuid, "POST", `/import?size_max=${sizeMax}`, file));
    } catch (error) {
      const now = interruptions.get(uuid);
      if (now === undefined || now === before) throw error;
      return { success: false, error: now.words };
    } finally {
      wrote(uuid);
    }
  }

  async function json<T>(answer: Promise<SystemResponse>): Promise<T> {
    const response = await answer;
    if (response.status !== 200) throw new Error(`D1 engine: ${response.status} ${await response.text()}`);
    return response.json<T>();
  }

  return {
    async query(uuid, body, { rows, readOnly }) {
      const kind = rows ? "rest-rows" : "rest-objects";
      const call = { kind, body: Buffer.from(JSON.stringify(body)), bookmarked: false, readOnly } as const;
      const { text } = await calls.submit(uuid, call).catch((error: unknown) => {
        throw error instanceof CallFailed ? queryError(error.message, error) : error;
      });
      const answer = JSON.parse(Buffer.from(text).toString("utf8")) as unknown[] | { error: string };
      if (!Array.isArray(answer)) throw queryError(answer.error);
      return answer;
    },
    stats: (uuid) => json(request(uuid, "GET", "/stats")),
    async destroy(uuid) {
      await json(request(uuid, "DELETE", "/"));
    },
    async export(uuid, { tables, schema, data }) {
      const query = new URLSearchParams();
      for (const table of tables) query.append("table", table);
      if (!schema) query.set("schema", "0");
      if (!data) query.set("data", "0");
      const response = await request(uuid, "GET", `/export?${query}`);
      if (response.status !== 200) throw queryError((await response.json<{ error: string }>()).error);
      return response.body;
    },
    async import(uuid, file) {
      const running = runImport(uuid, file);
      const done = running.then(
        () => undefined,
        () => undefined,
      );
      imports.set(uuid, done);
      return running.finally(() => imports.get(uuid) === done && imports.delete(uuid));
    },
    objectId: async (uuid) => (await json<{ id: string }>(request(uuid, "GET", "/id"))).id,
    async settled(uuid) {
      await Promise.all([calls.settled(uuid), imports.get(uuid)]);
    },
    async interrupt(uuid, words, open) {
      closed.set(
        uuid,
        open.then(() => void closed.delete(uuid)),
      );
      interruptions.set(uuid, { words });
      calls.interrupt(uuid, words, open);
      await json(system({ database: uuid, role: "platform" }, { method: "POST", path: "/reset" }));
      await this.settled(uuid);
    },
  };
}

/** The REST error for what the engine said. */
function queryError(message: string, cause?: Error): Error {
  const options = cause && { cause };
  if (message.startsWith("D1 DB is overloaded.")) return d1Error("overloaded", message, options);
  if (message === "Network connection lost.") return d1Error("connectionLost", message, options);
  if (message === READ_ONLY) return d1Error("readOnly");
  return d1Error("query", message);
}

/** What the engine says when a read-only request would write; `database.worker.ts` has the same text. */
const READ_ONLY = "This token may only read";
