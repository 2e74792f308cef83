/**
 * The objects of RealtimeKit as rows: apps, meetings, presets, participants, sessions, peers. What is in them is
 * `kit-routes.ts`'s and `joins.ts`'s; here they are kept, found and paged. Nothing of one app is found with another's id.
 */
import { randomUUID } from "node:crypto";
import type { MetaReader, MetaTransaction } from "../../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../../kernel/product.ts";
import { realtimeError } from "../errors.ts";

export type Kind = "app" | "meeting" | "preset" | "participant" | "session" | "peer";
export type Settings = Readonly<Record<string, unknown>>;

export interface KitObject {
  readonly id: string;
  readonly app: string;
  readonly parent: string;
  readonly name: string;
  readonly settings: Settings;
  readonly created: number;
  readonly updated: number;
}

export interface NewObject {
  readonly app: string;
  readonly parent: string;
  readonly name: string;
  readonly settings: Settings;
}

export interface Listed {
  readonly objects: readonly KitObject[];
  readonly paging: { readonly total_count: number; readonly start_offset: number; readonly end_offset: number };
}

/** Of one kind, below one parent. */
const OBJECTS_MAX = 100_000;
const PER_PAGE = 20;
const PER_PAGE_MAX = 100;
/** The parent of apps. */
export const ROOT = "account";

interface Row extends Omit<KitObject, "settings"> {
  readonly settings: string;
}

const objectOf = (row: Row): KitObject => ({ ...row, settings: JSON.parse(row.settings) as Settings });

export type Objects = ReturnType<typeof openObjects>;

export function openObjects({ meta, clock }: Pick<KernelSlice, "meta" | "clock">) {
  async function find(kind: Kind, app: string, id: string, reader: MetaReader = meta): Promise<KitObject | undefined> {
    const row = await reader.get<Row>("SELECT * FROM realtime_kit_objects WHERE kind = ? AND app = ? AND id = ?", kind, app, id);
    return row && objectOf(row);
  }

  async function get(kind: Kind, app: string, id: string, parent?: string, reader: MetaReader = meta): Promise<KitObject> {
    const object = await find(kind, app, id, reader);
    if (object === undefined || (parent !== undefined && object.parent !== parent)) throw realtimeError("notFound", `${kind} not found`);
    return object;
  }

  async function insert(tx: MetaTransaction, kind: Kind, { app, parent, name, settings }: NewObject): Promise<KitObject> {
    const count = await tx.get<{ n: number }>("SELECT COUNT(*) AS n FROM realtime_kit_objects WHERE kind = ? AND parent = ?", kind, parent);
    if ((count?.n ?? 0) >= OBJECTS_MAX) throw realtimeError("tooMany");
    const id = randomUUID();
    const now = clock.now();
    const object = { id, app: kind === "app" ? id : app, parent, name, settings, created: now, updated: now };
    await tx.run(
      "INSERT INTO realtime_kit_objects (id, kind, app, parent, name, settings, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      ...[id, kind, object.app, parent, name, JSON.stringify(settings), now, now],
    );
    return object;
  }

  async function save(tx: Pick<MetaTransaction, "run">, { id }: KitObject, name: string, settings: Settings): Promise<void> {
    await tx.run(
      "UPDATE realtime_kit_objects SET name = ?, settings = ?, updated = ? WHERE id = ?",
      ...[name, JSON.stringify(settings), clock.now(), id],
    );
  }

  return {
    find,
    get,
    insert,
    save,
    transaction: meta.transaction.bind(meta),
    create: (kind: Kind, object: NewObject): Promise<KitObject> => meta.transaction((tx) => insert(tx, kind, object)),
    /** Newest first, unless the query says otherwise. */
    async list(kind: Kind, by: { readonly app: string } | { readonly parent: string }, query: URLSearchParams): Promise<Listed> {
      const number = (name: string, otherwise: number, max: number): number =>
        Math.min(max, Math.max(1, Math.floor(Number(query.get(name)) || otherwise)));
      const perPage = number("per_page", PER_PAGE, PER_PAGE_MAX);
      const start = (number("page_no", 1, 1_000_000) - 1) * perPage;
      const [column, value] = "app" in by ? ["app", by.app] : ["parent", by.parent];
      const where = `kind = ? AND ${column} = ? AND LOWER(name) LIKE ? ESCAPE '!'`;
      const like = `%${(query.get("search") ?? "").toLowerCase().replace(/[!%_]/g, (one) => `!${one}`)}%`;
      const order = query.get("sort_order") === "ASC" ? "ASC" : "DESC";
      const total = await meta.get<{ n: number }>(`SELECT COUNT(*) AS n FROM realtime_kit_objects WHERE ${where}`, kind, value, like);
      const rows = await meta.all<Row>(
        `SELECT * FROM realtime_kit_objects WHERE ${where} ORDER BY created ${order}, id LIMIT ? OFFSET ?`,
        ...[kind, value, like, perPage, start],
      );
      return {
        objects: rows.map(objectOf),
        paging: { total_count: total?.n ?? 0, start_offset: start, end_offset: start + rows.length },
      };
    },
    async children(kind: Kind, parent: string, reader: MetaReader = meta): Promise<KitObject[]> {
      const rows = await reader.all<Row>(
        `SELECT * FROM realtime_kit_objects WHERE kind = ? AND parent = ? ORDER BY created, id LIMIT ${OBJECTS_MAX}`,
        kind,
        parent,
      );
      return rows.map(objectOf);
    },
    async byName(kind: Kind, app: string, name: string, reader: MetaReader = meta): Promise<KitObject | undefined> {
      const row = await reader.get<Row>(
        "SELECT * FROM realtime_kit_objects WHERE kind = ? AND app = ? AND name = ? LIMIT 1",
        ...[kind, app, name],
      );
      return row && objectOf(row);
    },
    async remove({ id }: KitObject): Promise<void> {
      await meta.run("DELETE FROM realtime_kit_objects WHERE id = ?", id);
    },
  };
}
