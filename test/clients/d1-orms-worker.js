// A Worker that keeps authors and their books in D1 by Drizzle and by Kysely, each in a database of its own.
import { count, eq, relations, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { Kysely, sql as raw } from "kysely";
import { D1Dialect } from "kysely-d1";

const authors = sqliteTable("authors", {
  id: integer("id").primaryKey({ autoIncrement: true }),
  name: text("name").notNull().unique(),
  tags: text("tags", { mode: "json" }),
  born: integer("born", { mode: "timestamp_ms" }),
  living: integer("living", { mode: "boolean" }).default(false),
});
const books = sqliteTable("books", {
  id: integer("id").primaryKey(),
  title: text("title").notNull(),
  authorId: integer("author_id").references(() => authors.id),
});
const authorsRelations = relations(authors, ({ many }) => ({ books: many(books) }));
const booksRelations = relations(books, ({ one }) => ({ author: one(authors, { fields: [books.authorId], references: [authors.id] }) }));

const codeOf = (error) => (error.cause ?? error).message;

async function withDrizzle(database) {
  await database.exec(
    "CREATE TABLE authors (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, tags TEXT, born INTEGER, living INTEGER DEFAULT 0)",
  );
  await database.exec("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT NOT NULL, author_id INTEGER REFERENCES authors(id))");
  const db = drizzle(database, { schema: { authors, books, authorsRelations, booksRelations } });
  const [ada] = await db
    .insert(authors)
    .values({ name: "Ada", tags: ["x", { y: 1 }], born: new Date(0) })
    .returning();
  const batch = await db.batch([
    db.insert(books).values([
      { title: "Notes", authorId: ada.id },
      { title: "More notes", authorId: ada.id },
    ]),
    db.update(authors).set({ living: true }).where(eq(authors.name, "Ada")),
    db.select({ n: count() }).from(books),
  ]);
  const whole = await db.query.authors.findMany({ with: { books: { columns: { title: true }, orderBy: books.id } } });
  const joined = await db.select().from(books).leftJoin(authors, eq(books.authorId, authors.id)).orderBy(books.id);
  const prepared = db
    .select()
    .from(books)
    .where(eq(books.title, sql.placeholder("title")))
    .prepare();
  const again = await prepared.get({ title: "Notes" });
  const upserted = await db
    .insert(authors)
    .values({ name: "Ada", tags: [] })
    .onConflictDoUpdate({ target: authors.name, set: { tags: ["new"] } })
    .returning({ id: authors.id, tags: authors.tags });
  const taken = await db.insert(authors).values({ name: "Ada" }).catch(codeOf);
  const orphan = await db.insert(books).values({ title: "x", authorId: 99 }).catch(codeOf);
  const removed = await db.delete(books).where(eq(books.title, "Notes")).returning({ id: books.id });
  return { ada, counted: batch[2], whole, joined: joined.length, name: joined[0].authors.name, again, upserted, taken, orphan, removed };
}

async function withKysely(database) {
  const db = new Kysely({ dialect: new D1Dialect({ database }) });
  await db.schema
    .createTable("authors")
    .addColumn("id", "integer", (column) => column.primaryKey().autoIncrement())
    .addColumn("name", "text", (column) => column.notNull().unique())
    .execute();
  await db.schema
    .createTable("books")
    .addColumn("title", "text")
    .addColumn("author_id", "integer", (column) => column.references("authors.id"))
    .execute();
  const made = await db
    .insertInto("authors")
    .values([{ name: "Ada" }, { name: "Grace" }])
    .returningAll()
    .execute();
  const inserted = await db
    .insertInto("books")
    .values([
      { title: "Notes", author_id: 1 },
      { title: "Compilers", author_id: 2 },
      { title: "COBOL", author_id: 2 },
    ])
    .executeTakeFirst();
  const perAuthor = await db
    .with("counted", (cte) =>
      cte
        .selectFrom("books")
        .select(({ fn }) => ["author_id", fn.countAll().as("n")])
        .groupBy("author_id"),
    )
    .selectFrom("authors")
    .innerJoin("counted", "counted.author_id", "authors.id")
    .select(["authors.name", "counted.n"])
    .orderBy("counted.n", "desc")
    .execute();
  const changed = await db.updateTable("books").set({ title: "A-0" }).where("title", "=", "Compilers").executeTakeFirst();
  const conflict = await db
    .insertInto("authors")
    .values({ name: "Ada" })
    .onConflict((oc) => oc.column("name").doUpdateSet({ name: "Ada L." }))
    .returning("id")
    .executeTakeFirst();
  const gone = await db.deleteFrom("books").where("author_id", "=", 2).executeTakeFirst();
  const tables = await db.introspection.getTables();
  const one = await raw`SELECT ${2} + ${3} AS five`.execute(db);
  const transaction = await db
    .transaction()
    .execute(async () => undefined)
    .catch(codeOf);
  return {
    made,
    inserted: Number(inserted.numInsertedOrUpdatedRows),
    perAuthor,
    changed: Number(changed.numUpdatedRows),
    conflict,
    gone: Number(gone.numDeletedRows),
    tables: tables.map(({ name, columns }) => [name, columns.map((column) => column.name)]),
    five: one.rows,
    transaction,
  };
}

export default {
  async fetch(request, env) {
    try {
      return Response.json(request.url.endsWith("/drizzle") ? await withDrizzle(env.DRIZZLE) : await withKysely(env.KYSELY));
    } catch (error) {
      return new Response(error.stack + (error.cause?.stack ?? ""), { status: 500 });
    }
  },
};
