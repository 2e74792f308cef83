/** REST of databases and queries: /accounts/{account}/d1/database (`cloudflare` SDK 7.3.0, wrangler 4.164.0). */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { Database, Databases } from "./databases.ts";
import type { Engine } from "./engine.ts";
import { BASE, bodyOf, READ, WRITE } from "./rest.ts";

const PER_PAGE_DEFAULT = 100;
const PER_PAGE_MAX = 10_000;
/** Largest query body: SQL of 100 KB a statement, parameters of 2 MB each. */
const QUERY_MAX_BYTES = 32 * 1024 * 1024;

const Replication = z.object({ mode: z.enum(["auto", "disabled"]) });
const NewDatabase = z.object({
  name: z.string().trim().min(1).max(128),
  primary_location_hint: z.enum(["wnam", "enam", "weur", "eeur", "apac", "oc"]).optional(),
  jurisdiction: z.enum(["eu", "fedramp", "us"]).optional(),
  read_replication: Replication.optional(),
});
const Params = z.array(z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.number().int().min(0).max(255))])).optional();
const Statement = z.object({ sql: z.string(), params: Params });
const Query = z.union([z.object({ batch: z.array(Statement).min(1) }), Statement]);

export function databaseRoutes(databases: Databases, engine: Engine, purge: () => void): Route[] {
  const one = `${BASE}/:database`;
  const query = (op: string, path: string, rows: boolean): Route => ({
    op,
    method: "POST",
    path: `${one}/${path}`,
    permission: READ,
    async handle(context) {
      const { uuid } = await databases.require(context.params.database ?? "");
      const body = await bodyOf(context, Query, QUERY_MAX_BYTES);
      return engine.query(uuid, body, { rows, readOnly: !context.principal.can("D1 Write") });
    },
  });
  const replicate = (op: string, method: "PUT" | "PATCH"): Route => ({
    op,
    method,
    path: one,
    permission: WRITE,
    async handle(context) {
      const database = await databases.require(context.params.database ?? "");
      const { read_replication } = await bodyOf(
        context,
        z.object({ read_replication: method === "PUT" ? Replication : Replication.optional() }),
      );
      const changed = read_replication === undefined ? database : await databases.setReplication(database.uuid, read_replication.mode);
      return details(changed, await engine.stats(changed.uuid));
    },
  });
  return [
    {
      op: "d1.database.list",
      method: "GET",
      path: BASE,
      permission: READ,
      async handle({ query }) {
        return numberedPage((await databases.list(query.get("name"))).map(summary), query, PER_PAGE_MAX, PER_PAGE_DEFAULT);
      },
    },
    {
      op: "d1.database.create",
      method: "POST",
      path: BASE,
      permission: WRITE,
      async handle(context) {
        const { name, primary_location_hint, jurisdiction, read_replication } = await bodyOf(context, NewDatabase);
        const created = await databases.create({
          name,
          location_hint: primary_location_hint ?? null,
          jurisdiction: jurisdiction ?? null,
          read_replication: read_replication?.mode ?? "disabled",
        });
        context.audit({
          info: "CreateDatabase",
          type: "create",
          resource: { type: "d1.database", id: created.uuid },
          newValue: { database_name: name },
        });
        const region = created.location_hint?.toUpperCase();
        return { ...details(created, UNUSED), ...(region && { created_in_region: region }) };
      },
    },
    {
      op: "d1.database.get",
      method: "GET",
      path: one,
      permission: READ,
      async handle(context) {
        const database = await databases.find(context.params.database ?? "");
        const fields = context.query.getAll("fields").flatMap((text) => text.split(","));
        // Asked for or not, the size costs a request to the engine: wrangler looks up names with fields=uuid,name.
        const sized = fields.length === 0 || fields.includes("file_size") || fields.includes("num_tables");
        const all = details(database, sized ? await engine.stats(database.uuid) : undefined);
        return fields.length === 0 ? all : Object.fromEntries(Object.entries(all).filter(([name]) => fields.includes(name)));
      },
    },
    {
      op: "d1.database.delete",
      method: "DELETE",
      path: one,
      permission: WRITE,
      async handle(context: RequestContext) {
        const { uuid, name } = await databases.require(context.params.database ?? "");
        await databases.remove(uuid);
        purge();
        context.audit({
          info: "DeleteDatabase",
          type: "delete",
          resource: { type: "d1.database", id: uuid },
          oldValue: { database_name: name },
        });
        return null;
      },
    },
    replicate("d1.database.update", "PUT"),
    replicate("d1.database.edit", "PATCH"),
    query("d1.database.query", "query", false),
    query("d1.database.raw", "raw", true),
  ];
}

/** A database is made by its first use; until then it costs a row. This is what it has then. */
const UNUSED = { file_size: 12_288, num_tables: 0 };

function summary({ uuid, name, created_at, jurisdiction }: Database): Record<string, unknown> {
  return { uuid, name, version: "production", created_at: new Date(created_at).toISOString(), jurisdiction };
}

function details(database: Database, stats: { file_size: number; num_tables: number } | undefined): Record<string, unknown> {
  const region = database.location_hint?.toUpperCase();
  return {
    ...summary(database),
    ...stats,
    ...(region && { running_in_region: region }),
    read_replication: { mode: database.read_replication },
  };
}
