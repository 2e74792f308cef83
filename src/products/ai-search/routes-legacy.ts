/** AutoRAG's paths (docs/ai-search/usage/rest-api), which the binding `env.AI.autorag()` asks too. They are about the namespace `default`. */
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { DEFAULT_NAMESPACE } from "./instances.ts";
import { legacyAsked, legacyPage } from "./requests.ts";
import { bodyOf, instanceOf, READ, RUN, type SearchApi, WRITE } from "./rest.ts";
import { viewOf } from "./routes-instances.ts";
import { listItems } from "./routes-items.ts";
import { eventStream } from "./streams.ts";

const RAGS = "/accounts/:account/autorag/rags";
/** Documented for lists of files. */
const FILES_MAX = 50;

export function legacyRoutes(api: SearchApi): Route[] {
  const { searcher, answers, metrics, instances, jobs, indexer, kernel } = api;

  async function search(context: RequestContext): Promise<Record<string, unknown>> {
    const startedAt = kernel.clock.now();
    const instance = instanceOf(api, context);
    const { query } = legacyAsked(instance, await bodyOf(context));
    const results = await searcher.search(instance, query, context.request.signal);
    metrics.note(instance, "search", results.results, false, startedAt);
    return legacyPage(results);
  }

  async function aiSearch(context: RequestContext): Promise<Response> {
    const startedAt = kernel.clock.now();
    const instance = instanceOf(api, context);
    const { query, answer, stream } = legacyAsked(instance, await bodyOf(context));
    const options = { ...answer, signal: context.request.signal };
    const kept = await answers.kept(instance, query, options);
    const headers = { "cf-aig-cache-status": kept === undefined ? "MISS" : "HIT" };
    const results = kept?.results ?? (await searcher.search(instance, query, context.request.signal));
    metrics.note(instance, "chat", results.results, kept !== undefined, startedAt);
    if (stream) {
      const pieces = kept === undefined ? (await answers.stream(instance, query, results, options)).pieces : [kept.text];
      return eventStream(events(legacyPage(results, ""), pieces), headers);
    }
    const text = kept?.text ?? (await answers.whole(instance, query, results, options)).text;
    return Response.json({ success: true, result: legacyPage(results, text), errors: [], messages: [] }, { headers });
  }

  return [
    {
      op: "autorag.rags.list",
      method: "GET",
      path: RAGS,
      permission: READ,
      async handle({ query }) {
        const page = numberedPage(instances.list(DEFAULT_NAMESPACE), query, 100, 100);
        return { ...page, result: await Promise.all(page.result.map((instance) => viewOf(api, instance))) };
      },
    },
    { op: "autorag.rags.search", method: "POST", path: `${RAGS}/:id/search`, permission: RUN, handle: search },
    { op: "autorag.rags.aiSearch", method: "POST", path: `${RAGS}/:id/ai-search`, permission: RUN, handle: aiSearch },
    {
      op: "autorag.rags.sync",
      method: "PATCH",
      path: `${RAGS}/:id/sync`,
      permission: WRITE,
      async handle(context) {
        const instance = instanceOf(api, context);
        const job = await jobs.request(instance, null);
        indexer.kick(instance.uid);
        return { job_id: job.id };
      },
    },
    {
      op: "autorag.rags.files",
      method: "GET",
      path: `${RAGS}/:id/files`,
      permission: READ,
      handle: (context) => listItems(api, instanceOf(api, context), context.query, FILES_MAX),
    },
  ];
}

/** What was found first, then the answer's pieces as models of Workers AI give them. */
async function* events(page: Record<string, unknown>, pieces: AsyncIterable<string> | Iterable<string>): AsyncGenerator<string> {
  yield `data: ${JSON.stringify(page)}\n\n`;
  for await (const response of pieces) yield `data: ${JSON.stringify({ response })}\n\n`;
  yield "data: [DONE]\n\n";
}
