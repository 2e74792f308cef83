/**
 * The door of the D1 engine in the system workerd. A binding speaks the protocol of `cloudflare-internal:d1-api` (POST
 * /query and /execute); the Node side, which alone holds capabilities with the role "platform", does REST's queries and
 * the rest. The database comes from the capability, never from the request.
 */
import { claimsOf, refused } from "../../kernel/workerd/capability.worker.ts";
import { type DatabaseStub, submit } from "./batches.worker.ts";
import { D1Database } from "./database.worker.ts";
import { count, D1Metrics, settle } from "./metrics.worker.ts";
import type { Answer, Call } from "./protocol.worker.ts";

export { D1Database, D1Metrics };

interface Env {
  readonly CAPABILITY_KEY: CryptoKey;
  readonly DATABASE: DurableObjectNamespace<D1Database>;
  readonly METRICS: DurableObjectNamespace<D1Metrics>;
}

const BOOKMARK = "x-cf-d1-session-commit-token";

export default {
  async fetch(request: Request, env: Env, context: ExecutionContext): Promise<Response> {
    const granted = claimsOf(request, env.CAPABILITY_KEY, "d1");
    const claims = granted instanceof Promise ? await granted : granted;
    if (claims === undefined) return refused();
    const database = String(claims.database);
    const { url } = request;
    const path = url.slice(url.indexOf("/", url.indexOf("//") + 2));
    const work = claims.role === "platform" ? serve(path, request, env, context, database) : bound(path, request, env, context, database);
    // The request may be leading others' calls: it must live until they are answered, even when its caller goes away.
    context.waitUntil(
      work.then(
        () => undefined,
        () => undefined,
      ),
    );
    return work;
  },
};

const databaseOf = (env: Env, name: string) => env.DATABASE.get(env.DATABASE.idFromName(name));
const metricsOf = (env: Env) => env.METRICS.get(env.METRICS.idFromName("metrics"));

async function call(env: Env, context: ExecutionContext, database: string, one: Call): Promise<Answer> {
  const answer = await submit(database, one, () => databaseOf(env, database) as unknown as DatabaseStub);
  count(
    database,
    answer.usage,
    () => metricsOf(env),
    (work) => context.waitUntil(work),
  );
  return answer;
}

/** A binding's request. */
async function bound(path: string, request: Request, env: Env, context: ExecutionContext, database: string): Promise<Response> {
  const operation = path.slice(0, path.indexOf("?") < 0 ? path.length : path.indexOf("?"));
  if (request.method === "POST" && operation === "/dump")
    return Response.json({ success: false, error: "dump() is only supported by databases of the alpha" }, { status: 400 });
  if (request.method !== "POST" || (operation !== "/query" && operation !== "/execute"))
    return Response.json({ success: false, error: "Not found" }, { status: 404 });
  try {
    const { text, bookmark } = await call(env, context, database, {
      kind: path.endsWith("resultsFormat=ROWS_AND_COLUMNS") ? "rows" : "objects",
      body: await request.text(),
      bookmarked: Boolean(request.headers.get(BOOKMARK)?.trim()),
      readOnly: false,
    });
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (bookmark !== undefined) headers[BOOKMARK] = bookmark;
    return new Response(text, { headers });
  } catch (error) {
    return Response.json({ success: false, error: error instanceof Error ? error.message : String(error) });
  }
}

/** A request of the Node side. */
async function serve(path: string, request: Request, env: Env, context: ExecutionContext, database: string): Promise<Response> {
  const url = new URL(path, "http://d1");
  switch (`${request.method} ${url.pathname}`) {
    case "POST /rest": {
      const { text } = await call(env, context, database, {
        kind: url.searchParams.get("format") === "rows" ? "rest-rows" : "rest-objects",
        body: await request.text(),
        bookmarked: false,
        readOnly: url.searchParams.get("readonly") === "1",
      });
      return new Response(text, { headers: { "content-type": "application/json" } });
    }
    case "GET /stats":
      return Response.json(await databaseOf(env, database).stats());
    case "DELETE /":
      await databaseOf(env, database).destroy();
      return Response.json({ success: true });
    case "GET /export":
    case "POST /import":
      return databaseOf(env, database).fetch(new Request(url, request));
    case "GET /usage": {
      const metrics = metricsOf(env);
      await settle(metrics);
      const bound = (name: string) => Number(url.searchParams.get(name));
      return Response.json(await metrics.read(bound("from"), bound("to"), database === "" ? null : database));
    }
  }
  return Response.json({ success: false, error: "Not found" }, { status: 404 });
}
