/** Queries that people keep: saved ones with a name, and shared ones, which are a whole call behind an unguessable id. */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { observabilityError } from "./errors.ts";

const KEPT_MAX = 10_000;

export interface SavedQuery {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly parameters: unknown;
  readonly adhoc: false;
  readonly created: string;
  readonly createdBy: string;
  readonly updated: string;
  readonly updatedBy: string;
}

export interface SavedQueries {
  save(by: string, query: { name: string; description?: string | null | undefined; parameters: unknown }): Promise<SavedQuery>;
  list(options: { limit: number; offset: number; ascending: boolean }): Promise<SavedQuery[]>;
  /** Throws `observability.queryNotFound`. */
  get(id: string): Promise<SavedQuery>;
  share(by: string, call: unknown): Promise<string>;
  /** The call as it was shared. Throws `observability.queryNotFound`. */
  shared(id: string): Promise<unknown>;
}

interface QueryRow {
  readonly id: string;
  readonly created_on: number;
  readonly created_by: string;
  readonly content: string;
}

export function savedQueries(meta: MetaStore, clock: Clock): SavedQueries {
  async function insert(kind: "saved" | "shared", by: string, content: unknown): Promise<QueryRow> {
    const row: QueryRow = {
      id: randomBytes(16).toString("hex"),
      created_on: clock.now(),
      created_by: by,
      content: JSON.stringify(content),
    };
    await meta.transaction(async (tx) => {
      const sql = "INSERT INTO observability_queries (id, kind, created_on, created_by, content) VALUES (?, ?, ?, ?, ?)";
      await tx.run(sql, row.id, kind, row.created_on, by, row.content);
      await tx.run(
        `DELETE FROM observability_queries WHERE kind = ? AND id NOT IN
           (SELECT id FROM observability_queries WHERE kind = ? ORDER BY created_on DESC LIMIT ${KEPT_MAX})`,
        kind,
        kind,
      );
    });
    return row;
  }

  async function find(kind: "saved" | "shared", id: string): Promise<QueryRow> {
    const row = await meta.get<QueryRow>("SELECT * FROM observability_queries WHERE id = ? AND kind = ?", id, kind);
    if (row === undefined) throw observabilityError("queryNotFound");
    return row;
  }

  return {
    save: async (by, { name, description, parameters }) =>
      savedOf(await insert("saved", by, { name, description: description ?? null, parameters })),
    async list({ limit, offset, ascending }) {
      const sql = `SELECT * FROM observability_queries WHERE kind = 'saved' ORDER BY created_on ${ascending ? "ASC" : "DESC"}, id LIMIT ? OFFSET ?`;
      return (await meta.all<QueryRow>(sql, limit, offset)).map(savedOf);
    },
    get: async (id) => savedOf(await find("saved", id)),
    share: async (by, call) => (await insert("shared", by, call)).id,
    shared: async (id) => JSON.parse((await find("shared", id)).content) as unknown,
  };
}

function savedOf({ id, created_on, created_by, content }: QueryRow): SavedQuery {
  const { name, description, parameters } = JSON.parse(content) as Pick<SavedQuery, "name" | "description" | "parameters">;
  const created = new Date(created_on).toISOString();
  return { id, name, description, parameters, adhoc: false, created, createdBy: created_by, updated: created, updatedBy: created_by };
}
