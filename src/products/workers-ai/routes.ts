/** REST of Workers AI: `/accounts/{account}/ai/…`, as `wrangler` 4.164.0, the `cloudflare` and `openai` SDKs and curl send it. */
import { Readable } from "node:stream";
import { z } from "zod";
import { numberedPage, page } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { Answers } from "./answers.ts";
import { authorOf, type Catalogue, modelView, searchModels, stableId, TASKS } from "./catalogue.ts";
import { aiError } from "./errors.ts";
import type { ModelRuns } from "./run.ts";

export const BASE = "/accounts/:account/ai";
export const READ = ["Workers AI Read", "Workers AI Write"] as const;
export const WRITE = ["Workers AI Write"] as const;

export interface AiApi {
  readonly catalogue: Catalogue;
  readonly runs: ModelRuns;
  readonly answers: Answers;
  readonly requestMaxBytes: number;
}

export function modelRoutes({ catalogue, runs, answers, requestMaxBytes }: AiApi): Route[] {
  async function answer(context: RequestContext, path: string): Promise<Response> {
    const request = {
      path,
      query: context.query,
      contentType: context.headers.get("content-type") ?? "",
      body: Buffer.from(await context.bytes(requestMaxBytes)),
      bare: false,
    };
    const { status, headers, body } = await answers.answer(request, context.request.signal);
    return new Response(Readable.toWeb(body) as ReadableStream<Uint8Array>, { status, headers });
  }
  const door = (name: string): Route => ({
    op: `workersAi.${name.replace("/", ".")}`,
    method: "POST",
    path: `${BASE}/v1/${name}`,
    permission: READ,
    handle: (context) => answer(context, `v1/${name}`),
  });
  return [
    {
      op: "workersAi.run",
      method: "POST",
      path: `${BASE}/run/:model{.+}`,
      permission: READ,
      handle: (context) => answer(context, `run/${context.params.model}`),
    },
    door("chat/completions"),
    door("embeddings"),
    door("responses"),
    {
      op: "workersAi.models.search",
      method: "GET",
      path: `${BASE}/models/search`,
      permission: READ,
      handle: async ({ query }) => numberedPage(searchModels(catalogue.all(), query).map(modelView), query, 100, 50),
    },
    {
      op: "workersAi.models.schema",
      method: "GET",
      path: `${BASE}/models/schema`,
      permission: READ,
      async handle({ query }) {
        const name = query.get("model");
        if (name === null) throw aiError("incomplete", "Request is missing headers or body: model");
        const { inputs, outputs } = runs.taskOf(runs.require(name));
        return { input: schemaOf(inputs, "input"), output: schemaOf(outputs, "output") };
      },
    },
    {
      op: "workersAi.tasks.search",
      method: "GET",
      path: `${BASE}/tasks/search`,
      permission: READ,
      handle: async () => list(Object.entries(TASKS).map(([name, description]) => ({ id: stableId(name), name, description }))),
    },
    {
      op: "workersAi.authors.search",
      method: "GET",
      path: `${BASE}/authors/search`,
      permission: READ,
      handle: async () => list([...new Set(catalogue.all().map(authorOf))].sort().map((name) => ({ name }))),
    },
  ];
}

const schemaOf = (schema: z.ZodType, io: "input" | "output"): unknown => z.toJSONSchema(schema, { io, unrepresentable: "any" });

const list = (items: readonly object[]) => page(items, { page: 1, per_page: items.length, count: items.length, total_count: items.length });
