/** The SQL API (docs, Workers Analytics Engine, SQL API): the query is the body of a POST, or the parameter of a GET. */
import type { RequestContext, Route } from "../../kernel/product.ts";
import { QueryError } from "./errors.ts";
import type { Queries } from "./query.ts";

const PATH = "/accounts/:account/analytics_engine/sql";
const QUERY_MAX_BYTES = 1024 * 1024;
const PERMISSION = ["Account Analytics Read"];

export function sqlRoutes(queries: Queries): readonly Route[] {
  const post = async (context: RequestContext): Promise<Response> => {
    const body = Buffer.from(await context.bytes(QUERY_MAX_BYTES)).toString("utf8");
    return answer(queries, body === "" ? (context.query.get("query") ?? "") : body);
  };
  const get = (context: RequestContext): Promise<Response> => answer(queries, context.query.get("query") ?? "");
  // Grafana's ClickHouse plug-in puts a slash before its parameters.
  return [PATH, `${PATH}/`].flatMap((path, i) => [
    { op: `analytics-engine.sql.query${i === 0 ? "" : ".slash"}`, method: "POST", path, permission: PERMISSION, handle: post },
    { op: `analytics-engine.sql.get${i === 0 ? "" : ".slash"}`, method: "GET", path, permission: PERMISSION, handle: get },
  ]);
}

async function answer(queries: Queries, sql: string): Promise<Response> {
  try {
    const { body, contentType } = await queries.run(sql);
    return new Response(body, { headers: { "content-type": contentType } });
  } catch (error) {
    if (!(error instanceof QueryError)) throw error;
    return new Response(`${error.message}\n`, { status: error.status, headers: { "content-type": "text/plain; charset=UTF-8" } });
  }
}
