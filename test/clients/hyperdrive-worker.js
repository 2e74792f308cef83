// A Worker whose routes use PostgreSQL as the documentation does: a new client in each request, and nobody ends it.
import { drizzle } from "drizzle-orm/node-postgres";
import { integer, pgTable, text } from "drizzle-orm/pg-core";
import { Kysely, PostgresDialect } from "kysely";
import { Client, Pool } from "pg";
import postgres from "postgres";

const open = async (hyperdrive) => {
  const client = new Client({ connectionString: hyperdrive.connectionString });
  await client.connect();
  return client;
};
const attempt = (work) =>
  work.then(
    (value) => value,
    ({ code, message, severity }) => ({ code, message, severity }),
  );

const routes = {
  async "/binding"(hyperdrive) {
    const { connectionString, host, port, user, password, database } = hyperdrive;
    const client = new Client({ host, port, user, password, database });
    await client.connect();
    const wrong = new Client({ host, port, user, password: "guessed", database });
    const refused = await attempt(wrong.connect());
    const { readable, writable } = hyperdrive.connect();
    const writer = writable.getWriter();
    // A request for TLS: an answer shows that the socket leads to a server that waits for a driver.
    await writer.write(new Uint8Array([0, 0, 0, 8, 4, 210, 22, 47]));
    const { value } = await readable.getReader().read();
    const { rows } = await client.query("SELECT current_user AS name");
    return { connectionString, host, port, user, password, database, rows, refused, socket: new TextDecoder().decode(value) };
  },
  async "/tables"(hyperdrive) {
    const result = await (await open(hyperdrive)).query("SELECT * FROM pg_tables");
    return { success: true, result: result.rows };
  },
  /** Queries one after another on one client. */
  async "/queries"(hyperdrive, { queries }) {
    const client = await open(hyperdrive);
    const results = [];
    for (const query of queries) results.push(await attempt(client.query(query).then(({ rows }) => rows)));
    return results;
  },
  async "/postgresjs"(hyperdrive, { id, prepare = true }) {
    const sql = postgres(hyperdrive.connectionString, { max: 5, fetch_types: false, prepare });
    const [tables, [byId], again] = await Promise.all([
      sql`select * from pg_tables`,
      sql`select id, name from people where id = ${id}`,
      sql`select name from people where id = ${id}`,
    ]);
    const transaction = await sql.begin(async (tx) => [
      await tx`select pg_backend_pid() as pid`,
      await tx`select pg_backend_pid() as pid, ${"é"}::text as text`,
    ]);
    return { tables: tables.length, byId, again, transaction: transaction.flat() };
  },
  /** Bytes of a result that is not held. */
  async "/bytes"(hyperdrive, { query }) {
    const sql = postgres(hyperdrive.connectionString, { fetch_types: false });
    let bytes = 0;
    await sql.unsafe(query).forEach((row) => {
      bytes += row.text.length;
    });
    return { bytes };
  },
  async "/orm"(hyperdrive, { name }) {
    const people = pgTable("people", { id: integer("id").primaryKey().generatedAlwaysAsIdentity(), name: text("name").notNull() });
    const db = drizzle(new Pool({ connectionString: hyperdrive.connectionString, max: 5 }));
    const [byDrizzle] = await db
      .insert(people)
      .values({ name: `${name} of Drizzle` })
      .returning();
    const kysely = new Kysely({
      dialect: new PostgresDialect({ pool: new Pool({ connectionString: hyperdrive.connectionString, max: 5 }) }),
    });
    const byKysely = await kysely
      .insertInto("people")
      .values({ name: `${name} of Kysely` })
      .returningAll()
      .executeTakeFirst();
    const found = await db.select({ name: people.name }).from(people).orderBy(people.id);
    const also = await kysely.transaction().execute((tx) => tx.selectFrom("people").select("name").orderBy("id").execute());
    return { byDrizzle, byKysely, found, also };
  },
  /** A statement that was prepared on one server connection is used on another. */
  async "/prepared"(hyperdrive) {
    const [first, second] = [await open(hyperdrive), await open(hyperdrive)];
    const named = (x) => first.query({ name: "where", text: "SELECT pg_backend_pid() AS pid, $1::int AS x", values: [x] });
    const before = await named(1);
    await second.query("BEGIN");
    const holds = await second.query("SELECT pg_backend_pid() AS pid");
    const after = await named(2);
    // It is known there now, and a second client has another statement by the same name.
    const other = await second.query({ name: "where", text: "SELECT 'other' AS x" });
    await second.query("COMMIT");
    return [before, holds, after, other].map(({ rows }) => rows[0]);
  },
  /** Transactions that stay open until the request ends. */
  async "/transactions"(hyperdrive, { count }) {
    const clients = await Promise.all(Array.from({ length: count }, () => open(hyperdrive)));
    return Promise.all(clients.map((client) => attempt(client.query("BEGIN").then(() => "open"))));
  },
};

const seen = [];

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const body = request.method === "POST" ? await request.json() : {};
    if (pathname === "/seen") return Response.json(seen);
    return Response.json(await routes[pathname](env[searchParams.get("binding") ?? "HYPERDRIVE"], body));
  },
};
