/**
 * NLWeb (https://github.com/nlweb-ai/NLWeb) over one AI Search instance: `/ask` for people and programs, `/mcp` for agents (Model
 * Context Protocol, streamable HTTP without sessions), and a page to ask on, `/`, which
 * other sites can frame as `/snippet.html`. Everybody may ask: put what is not for everybody behind Access, or leave it out of the instance.
 */

const QUERY_MAX = 2000;
const MODES = ["list", "summarize", "generate"];
const CORS = { "access-control-allow-origin": "*", "access-control-allow-headers": "content-type, mcp-protocol-version, mcp-session-id" };

const ASK = {
  name: "ask",
  description:
    "Asks this site a question. Gives the pages that answer it, and with the mode summarize or generate an answer made from them.",
  inputSchema: {
    type: "object",
    properties: {
      query: { type: "string", description: "The question in natural language" },
      mode: { type: "string", enum: MODES, description: "list (the pages, the default), summarize, or generate" },
      prev: { type: "array", items: { type: "string" }, description: "Questions that were asked before" },
    },
    required: ["query"],
  },
};

class BadRequest extends Error {}

/** What NLWeb calls a result, from a result of AI Search. */
function resultOf(site, { filename, score, attributes, content }) {
  const text = content.map((part) => part.text).join("\n\n");
  const url = attributes.file?.url ?? filename;
  const name = /^#+ (.+)$/m.exec(text)?.[1] ?? filename;
  const description = text.length > 500 ? `${text.slice(0, 500)}…` : text;
  return { url, name, site, siteUrl: site, score: Math.round(score * 100), description, schema_object: { "@type": "WebPage", url, name } };
}

async function ask(env, given) {
  const query = String(given.query ?? "").trim();
  if (query === "" || query.length > QUERY_MAX) throw new BadRequest(`query: must have 1 to ${QUERY_MAX} characters`);
  const mode = given.mode ?? "list";
  if (!MODES.includes(mode)) throw new BadRequest(`mode: must be one of ${MODES.join(", ")}`);
  const prev = Array.isArray(given.prev) ? given.prev : String(given.prev ?? "").split(",");
  const before = prev.map((one) => String(one).trim()).filter((one) => one !== "");
  const whole = [...before.slice(-3), query].join("\n").slice(-QUERY_MAX);
  const rag = env.AI.autorag(env.RAG_ID);
  const found = mode === "list" ? await rag.search({ query: whole }) : await rag.aiSearch({ query: whole });
  // A page has many chunks: it is one result, by the best of them.
  const results = [...new Map(found.data.toReversed().map((one) => [one.filename, resultOf(env.RAG_ID, one)])).values()].reverse();
  const id = given.query_id || crypto.randomUUID();
  return {
    query_id: id,
    query,
    mode,
    results,
    ...(mode !== "list" && { [mode === "summarize" ? "summary" : "answer"]: found.response }),
  };
}

/** The answer as NLWeb streams it: a message for each part. */
function streamed({ query_id, results, summary, answer }) {
  const messages = [
    { message_type: "begin-nlweb-response", query_id },
    { message_type: "result", query_id, results },
    ...(summary === undefined ? [] : [{ message_type: "summary", query_id, content: summary }]),
    ...(answer === undefined ? [] : [{ message_type: "nlws", query_id, answer, items: results }]),
    { message_type: "complete", query_id },
  ];
  const text = messages.map((message) => `data: ${JSON.stringify(message)}\n\n`).join("");
  return new Response(text, { headers: { ...CORS, "content-type": "text/event-stream", "cache-control": "no-cache" } });
}

async function serveAsk(request, env) {
  const given = Object.fromEntries(new URL(request.url).searchParams);
  if (request.method === "POST" && (request.headers.get("content-type") ?? "").includes("json"))
    Object.assign(given, await jsonOf(request));
  const answer = await ask(env, given);
  // Documented by NLWeb: a stream unless it is turned off.
  return ["0", "false"].includes(String(given.streaming).toLowerCase()) ? Response.json(answer, { headers: CORS }) : streamed(answer);
}

async function jsonOf(request) {
  try {
    return await request.json();
  } catch {
    throw new BadRequest("the body must be JSON");
  }
}

/** One message of MCP; undefined for those that want no answer. */
async function mcp(env, { id, method, params }) {
  if (id === undefined) return undefined;
  const reply = (result) => ({ jsonrpc: "2.0", id, result });
  switch (method) {
    case "initialize":
      return reply({
        protocolVersion: params?.protocolVersion ?? "2025-06-18",
        capabilities: { tools: {} },
        serverInfo: { name: "nlweb", version: "1.0.0" },
      });
    case "ping":
      return reply({});
    case "tools/list":
      return reply({ tools: [ASK] });
    case "tools/call":
      if (params?.name !== ASK.name) return { jsonrpc: "2.0", id, error: { code: -32602, message: `there is no tool ${params?.name}` } };
      try {
        const answer = await ask(env, params.arguments ?? {});
        return reply({ content: [{ type: "text", text: JSON.stringify(answer) }], structuredContent: answer });
      } catch (error) {
        return reply({ content: [{ type: "text", text: error.message }], isError: true });
      }
    default:
      return { jsonrpc: "2.0", id, error: { code: -32601, message: `${method} is not known` } };
  }
}

async function serveMcp(request, env) {
  // There are no sessions, and so no stream of the server's own.
  if (request.method !== "POST") return new Response(null, { status: 405, headers: { ...CORS, allow: "POST" } });
  const answer = await mcp(env, await jsonOf(request));
  return answer === undefined ? new Response(null, { status: 202, headers: CORS }) : Response.json(answer, { headers: CORS });
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (request.method === "OPTIONS")
      return new Response(null, { status: 204, headers: { ...CORS, "access-control-allow-methods": "GET, POST" } });
    try {
      if (pathname === "/ask") return await serveAsk(request, env);
      if (pathname === "/mcp") return await serveMcp(request, env);
      if (pathname === "/") return await env.ASSETS.fetch(new URL("/snippet.html", request.url));
    } catch (error) {
      if (!(error instanceof BadRequest)) throw error;
      return Response.json({ error: error.message }, { status: 400, headers: CORS });
    }
    return new Response("Not found", { status: 404 });
  },
};
