/**
 * The door of the D1 engine in the system workerd, for the Node side alone: bindings and REST come through it. The
 * database is named by the capability, never by the request.
 */
import { claimsOf, refused } from "../../kernel/workerd/capability.worker.ts";
import { D1Database } from "./database.worker.ts";

export { D1Database };

interface Env {
  readonly CAPABILITY_KEY: CryptoKey;
  readonly DATABASE: DurableObjectNamespace<D1Database>;
}

/** Claims that `engine.ts` and `calls.ts` make; no binding has them. */
const PLATFORM = "platform";

/** What workerd puts before SQLite's words when a commit fails; D1 gives SQLite's alone. */
const RESET = /^Durable Object was reset and rolled back .* constraints were violated: /;

/** As in `calls.ts`. */
const NOT_COMMITTED = 409;

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const granted = claimsOf(request, env.CAPABILITY_KEY, "d1");
    const claims = granted instanceof Promise ? await granted : granted;
    // Bindings' capabilities name a database too, and open the Node side's door only.
    if (claims?.role !== PLATFORM) return refused();
    const database = env.DATABASE.get(env.DATABASE.idFromName(String(claims.database)));
    const url = new URL(request.url);
    switch (`${request.method} ${url.pathname}`) {
      case "POST /calls": {
        const batch = await request.text();
        try {
          return new Response(await database.run(batch));
        } catch (error) {
          // The commit failed, a deferred constraint or a full disk: nothing of the batch was written.
          const message = error instanceof Error ? error.message : String(error);
          return new Response(message.replace(RESET, ""), { status: NOT_COMMITTED });
        }
      }
      case "GET /stats":
        return Response.json(await database.stats());
      case "GET /id":
        return Response.json({ id: database.id.toString() });
      case "POST /reset":
        // It ends with the object, which is what was asked for.
        await database.reset().catch(() => undefined);
        return Response.json({ success: true });
      case "DELETE /":
        await database.destroy();
        return Response.json({ success: true });
      case "GET /export":
      case "POST /import":
        return database.fetch(request);
    }
    return Response.json({ success: false, error: "Not found" }, { status: 404 });
  },
};
