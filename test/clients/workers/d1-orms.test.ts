/** D1 under the object mappers and query builders that its documentation names, in Workers. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { deployDrivers, generatePrisma } from "../hyperdrive-world.ts";

const platform = await startPlatform({ after });
const noClient = missingClient("sql-drivers") || missingClient("prisma-7");
const base = `/accounts/${platform.ready.account_id}/d1/database`;

/** The binding of a new database. */
const database = async (binding: string) => {
  const { uuid, name } = (await platform.rest("POST", base, { name: `orm-${binding.toLowerCase()}` })).body.result;
  return { binding, database_id: uuid, database_name: name };
};

test("[d1-34] Drizzle, Kysely and Prisma write, read and change what they made", { skip: noClient }, async () => {
  const drivers = await deployDrivers(platform, { after }, "orms", new URL("../d1-orms-worker.js", import.meta.url), {
    config: { d1_databases: [await database("DRIZZLE"), await database("KYSELY")] },
  });
  const asked = async (url: string) => {
    const response = await platform.fetch(url);
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()) as object;
  };
  const ada = { id: 1, name: "Ada", tags: ["x", { y: 1 }], born: "1970-01-01T00:00:00.000Z", living: false };
  assert.deepEqual(await asked(`${drivers.url}/drizzle`), {
    ada,
    counted: [{ n: 2 }],
    whole: [{ ...ada, living: true, books: [{ title: "Notes" }, { title: "More notes" }] }],
    joined: 2,
    name: "Ada",
    again: { id: 1, title: "Notes", authorId: 1 },
    upserted: [{ id: 1, tags: ["new"] }],
    taken: "D1_ERROR: UNIQUE constraint failed: authors.name: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)",
    orphan: "D1_ERROR: FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)",
    removed: [{ id: 1 }],
  });
  assert.deepEqual(await asked(`${drivers.url}/kysely`), {
    made: [
      { id: 1, name: "Ada" },
      { id: 2, name: "Grace" },
    ],
    inserted: 3,
    perAuthor: [
      { name: "Grace", n: 2 },
      { name: "Ada", n: 1 },
    ],
    changed: 1,
    conflict: { id: 1 },
    gone: 2,
    tables: [
      ["authors", ["id", "name"]],
      ["books", ["title", "author_id"]],
    ],
    five: [{ five: 5 }],
    transaction: "Transactions are not supported yet.",
  });

  const models = `model Author {
  id     Int       @id @default(autoincrement())
  name   String    @unique
  born   DateTime?
  living Boolean   @default(false)
  books  Book[]
}
model Book {
  id       Int    @id @default(autoincrement())
  title    String
  author   Author @relation(fields: [authorId], references: [id])
  authorId Int
}`;
  const own = await database("DB");
  const tables = [
    "CREATE TABLE Author (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, born DATETIME, living BOOLEAN NOT NULL DEFAULT false)",
    "CREATE TABLE Book (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, authorId INTEGER NOT NULL REFERENCES Author(id))",
  ];
  await platform.rest("POST", `${base}/${own.database_id}/query`, { sql: tables.join(";") });
  const prisma = await deployDrivers(platform, { after }, "prisma-d1", new URL("../d1-prisma-worker.js", import.meta.url), {
    config: { d1_databases: [own] },
    client: "prisma-7",
    prepare: (dir) => generatePrisma(dir, "sqlite", models),
  });
  const book = (id: number, title: string) => ({ id, title, authorId: 1 });
  assert.deepEqual(await asked(prisma.url), {
    ada: { id: 1, name: "Ada", born: "1970-01-01T00:00:00.000Z", living: false, books: [book(1, "Notes"), book(2, "More notes")] },
    many: { count: 2 },
    living: true,
    found: [{ name: "Ada" }],
    total: 3,
    grouped: [{ authorId: 1, _count: 2 }],
    taken: "P2002",
    raw: [{ name: "Ada" }],
    removed: { count: 2 },
    missing: "P2025",
  });
});
