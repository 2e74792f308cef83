/** Point-in-time recovery of objects: bookmarks, restores, undo, times, and what a kill in between leaves. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";

const platform = await startPlatform({ after }, { config: { "durable_objects.history_max_bytes": 400_000 } });

const options = {
  files: {
    "index.js": `import { DurableObject, env as imported } from "cloudflare:workers";
      const before = Object.keys(imported);
      export class Book extends DurableObject {
        #constructed;
        constructor(ctx, env) {
          super(ctx, env);
          ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS lines (n INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT)");
          this.#constructed = ctx.storage.sql.exec("SELECT COUNT(*) AS n FROM lines").one().n;
        }
        async write(text) { this.ctx.storage.sql.exec("INSERT INTO lines (text) VALUES (?)", text); await this.ctx.storage.put("last", text); }
        refill() { this.ctx.storage.sql.exec("INSERT OR REPLACE INTO lines (n, text) VALUES (100, hex(randomblob(15000)))"); }
        change() { this.ctx.storage.sql.exec("DELETE FROM lines"); this.ctx.storage.sql.exec("CREATE TABLE extra (x)"); return this.ctx.storage.delete("last"); }
        async read() {
          const { sql } = this.ctx.storage;
          return { lines: sql.exec("SELECT text FROM lines ORDER BY n").toArray().map((row) => row.text), last: await this.ctx.storage.get("last"),
            extra: sql.exec("SELECT name FROM sqlite_master WHERE name = 'extra'").toArray().length, constructed: this.#constructed };
        }
        bookmark() { return this.ctx.storage.getCurrentBookmark(); }
        at(ms) { return this.ctx.storage.getBookmarkForTime(Number(ms)); }
        next(bookmark) { return this.ctx.storage.onNextSessionRestoreBookmark(bookmark); }
        abort() { this.ctx.abort("to restore"); }
      }
      export class Plain extends DurableObject { bookmark() { return this.ctx.storage.getCurrentBookmark(); } }
      export default { async fetch(request, env) {
        const [, name, method, argument] = new URL(request.url).pathname.split("/").map(decodeURIComponent);
        if (method === "env") return Response.json([before, Object.keys(env)]);
        const stub = (method === "plain" ? env.Plain : env.Book).getByName(name);
        try { return Response.json((await stub[method === "plain" ? "bookmark" : method](argument)) ?? null); }
        catch (error) { return Response.json({ error: error.message }); }
      } };`,
  },
  config: {
    name: "books",
    durable_objects: { bindings: ["Book", "Plain"].map((name) => ({ name, class_name: name })) },
    migrations: [{ tag: "v1", new_sqlite_classes: ["Book"], new_classes: ["Plain"] }],
  },
};
const books = await deployWorker(platform, options);

// biome-ignore lint/suspicious/noExplicitAny: answers of the Worker above.
async function call(name: string, method: string, argument: string | number = ""): Promise<any> {
  const response = await platform.fetch(`${books.url}/${name}/${method}/${encodeURIComponent(argument)}`);
  const body = await response.text();
  assert.equal(response.status, 200, body);
  return JSON.parse(body);
}

test("[durable-objects-44] an object goes back to a bookmark when it restarts, and forward again by the undo bookmark", async () => {
  await call("novel", "write", "first");
  await call("novel", "write", "second");
  const written = { lines: ["first", "second"], last: "second", extra: 0 };
  const bookmark = (await call("novel", "bookmark")) as string;
  assert.match(bookmark, /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/);
  await call("novel", "change");
  await call("novel", "write", "other");
  const later = (await call("novel", "bookmark")) as string;
  assert(later > bookmark, "bookmarks compare as their times do");
  const undo = (await call("novel", "next", bookmark)) as string;
  assert(undo > later);
  // Nothing happens before the restart; what is written until then is part of what the undo bookmark names.
  await call("novel", "write", "last words");
  const changed = { lines: ["other", "last words"], last: "last words", extra: 1 };
  const { constructed: _, ...before } = await call("novel", "read");
  assert.deepEqual(before, changed);
  assert.deepEqual(await call("novel", "abort"), { error: "to restore" });
  // The constructor saw the restored database already.
  assert.deepEqual(await call("novel", "read"), { ...written, constructed: 2 });
  await call("novel", "write", "third");
  assert.deepEqual((await call("novel", "read")).lines, ["first", "second", "third"]);
  await call("novel", "next", undo);
  await call("novel", "abort");
  assert.deepEqual(await call("novel", "read"), { ...changed, constructed: 2 });
  assert.deepEqual((await call("diary", "read")).lines, [], "no other object changed");
});

test("a restore that was asked for survives a kill, happens once, and is found by time", async () => {
  await call("log", "write", "kept");
  const bookmark = (await call("log", "bookmark")) as string;
  const time = Date.now();
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  await call("log", "write", "too much");
  assert.equal(await call("log", "at", time), bookmark);
  await call("log", "next", bookmark);
  await platform.kill9();
  await platform.restart();
  assert.deepEqual((await call("log", "read")).lines, ["kept"]);
  await call("log", "write", "after");
  await platform.kill9();
  await platform.restart();
  assert.deepEqual((await call("log", "read")).lines, ["kept", "after"]);
});

test("bookmarks are refused that are not the object's own, times that nothing is known of, and classes without SQLite", async () => {
  const foreign = (await call("log", "bookmark")) as string;
  for (const bookmark of ["", "../../x", "0".repeat(40), foreign]) {
    assert.match((await call("stranger", "next", bookmark)).error, /The bookmark is not one of this Durable Object/);
  }
  const day = 86_400_000;
  assert.match((await call("log", "at", Date.now() - 31 * day)).error, /within the last 30 days/);
  assert.match((await call("log", "at", Date.now() + day)).error, /within the last 30 days/);
  assert.match((await call("log", "at", "no time")).error, /./);
  assert.match((await call("log", "at", Date.now() - 29 * day)).error, /does not reach back/);
  assert.match((await call("x", "plain")).error, /does not implement point-in-time recovery/);
  // User code sees nothing of the way to the platform.
  assert.deepEqual(await call("x", "env"), [
    ["Book", "Plain"],
    ["Book", "Plain"],
  ]);
});

test("copies are bounded: the oldest bookmarks go first", async () => {
  const bookmarks: string[] = [];
  for (let n = 0; n < 30; n++) {
    await call("busy", "write", `line ${n}`);
    // A copy takes what it has differently from the next.
    await call("busy", "refill");
    bookmarks.push(await call("busy", "bookmark"));
  }
  assert.equal(new Set(bookmarks).size, 30);
  assert.match((await call("busy", "next", bookmarks[0])).error, /not one of this/);
  assert.ok((await call("busy", "next", bookmarks[28])) > (bookmarks[29] as string));
  await call("busy", "abort");
  assert.deepEqual(((await call("busy", "read")).lines as string[]).filter((line) => line.startsWith("line ")).length, 29);
});

test("changed objects are copied from time to time, so that a time before the first bookmark is found", async (t) => {
  const frequent = await startPlatform(t, { config: { "durable_objects.history_interval_s": 1 } });
  const project = await deployWorker(frequent, options);
  const ask = async (method: string, argument: string | number = "") =>
    (await frequent.fetch(`${project.url}/quiet/${method}/${encodeURIComponent(argument)}`)).json() as Promise<unknown>;
  await ask("write", "old");
  let found: unknown;
  for (const deadline = Date.now() + 20_000; typeof found !== "string" && Date.now() < deadline; ) {
    await ask("write", "new");
    const before = Date.now() - 500;
    await new Promise((resolve) => setTimeout(resolve, 300));
    found = await ask("at", before);
  }
  assert.equal(typeof found, "string", JSON.stringify(found));
  const { lines } = (await ask("read")) as { lines: string[] };
  await ask("next", String(found));
  await ask("abort");
  const restored = (await ask("read")) as { lines: string[] };
  assert.deepEqual(restored.lines, lines.slice(0, restored.lines.length));
  assert.ok(restored.lines.length > 0 && restored.lines.length < lines.length);
});
