// A Worker whose routes use MySQL as the documentation does: a new connection in each request, and nobody ends it.
import mysql from "mysql";
import { createConnection } from "mysql2/promise";

const open = ({ host, user, password, database, port }) => createConnection({ host, user, password, database, port, disableEval: true });
const attempt = (work) =>
  work.then(
    (value) => value,
    ({ code, errno, message }) => ({ code, errno, message }),
  );

const routes = {
  async "/mysql2"(hyperdrive) {
    const connection = await open(hyperdrive);
    const [results, fields] = await connection.query("SHOW tables;");
    return { results, fields };
  },
  "/mysql"({ host, user, password, database, port }) {
    return new Promise((resolve, reject) => {
      const connection = mysql.createConnection({ host, user, password, database, port });
      connection.connect((error) => {
        if (error) return reject(error);
        connection.query("SHOW tables;", [], (failure, rows, fields) => (failure ? reject(failure) : resolve({ rows, fields })));
      });
    });
  },
  /** Queries one after another on one connection. */
  async "/queries"(hyperdrive, { queries }) {
    const connection = await open(hyperdrive);
    const results = [];
    for (const { sql, values, prepared } of queries) {
      const work = prepared ? connection.execute(sql, values) : connection.query(sql, values);
      results.push(await attempt(work.then(([rows]) => rows)));
    }
    return results;
  },
  async "/others"(hyperdrive) {
    const connection = await open(hyperdrive);
    const changed = await attempt(connection.changeUser({ database: "other" }));
    const guessed = await attempt(open({ ...pick(hyperdrive), password: "guessed" }));
    await connection.ping();
    return { changed, guessed };
  },
  async "/large"(hyperdrive, { bytes }) {
    const connection = await open(hyperdrive);
    const [[row]] = await connection.query("SELECT LENGTH(?) AS length, REPEAT('y', ?) AS text", ["x".repeat(bytes), bytes]);
    return { sent: row.length, got: row.text.length };
  },
  async "/transactions"(hyperdrive, { count }) {
    const connections = await Promise.all(Array.from({ length: count }, () => open(hyperdrive)));
    return Promise.all(connections.map((connection) => attempt(connection.beginTransaction().then(() => "open"))));
  },
};
const pick = ({ host, user, database, port }) => ({ host, user, database, port });

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const body = request.method === "POST" ? await request.json() : {};
    return Response.json(await routes[pathname](env[searchParams.get("binding") ?? "HYPERDRIVE"], body));
  },
};
