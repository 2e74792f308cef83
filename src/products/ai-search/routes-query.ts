/** REST of queries in the newer form: search and chat completions of an instance, and of several of a namespace. */
import { PlatformError } from "../../kernel/errors.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { Instance } from "./instances.ts";
import type { Results } from "./query.ts";
import { type AskedNow, asked, chunkViews, instanceIds } from "./requests.ts";
import { bodyOf, INSTANCE_BASES, instanceOf, NAMESPACE, namespaceOf, RUN, type SearchApi } from "./rest.ts";
import { eventStream } from "./streams.ts";

interface Found {
  readonly instance: Instance;
  readonly results: Results;
}

export function queryRoutes(api: SearchApi): Route[] {
  const { searcher, answers, metrics, instances, kernel } = api;

  async function find(instance: Instance, { query, emptyOnFailure }: AskedNow, signal: AbortSignal): Promise<Results> {
    try {
      return await searcher.search(instance, query, signal);
    } catch (error) {
      if (!(emptyOnFailure && error instanceof PlatformError && error.code === "aiSearch.model")) throw error;
      return { query: query.text, fusion: undefined, results: [] };
    }
  }

  async function search(context: RequestContext): Promise<Record<string, unknown>> {
    const startedAt = kernel.clock.now();
    const instance = instanceOf(api, context);
    const ask = asked(instance, await bodyOf(context));
    const results = await find(instance, ask, context.request.signal);
    metrics.note(instance, "search", results.results, false, startedAt);
    return { search_query: results.query, query_kind: "text", chunks: chunkViews(results, ask.metadataOnly) };
  }

  async function chat(context: RequestContext): Promise<Response> {
    const startedAt = kernel.clock.now();
    const instance = instanceOf(api, context);
    const ask = asked(instance, await bodyOf(context));
    const options = { ...ask.answer, signal: context.request.signal };
    const kept = await answers.kept(instance, ask.query, options);
    if (kept !== undefined) {
      metrics.note(instance, "chat", kept.results.results, true, startedAt);
      return completion(ask, kept.model, kept.text, chunkViews(kept.results), "HIT", startedAt);
    }
    const results = await find(instance, ask, context.request.signal);
    metrics.note(instance, "chat", results.results, false, startedAt);
    const chunks = chunkViews(results);
    if (!ask.stream) {
      const { text, model } = await answers.whole(instance, ask.query, results, options);
      return completion(ask, model, text, chunks, "MISS", startedAt);
    }
    const { model, pieces } = await answers.stream(instance, ask.query, results, options);
    return eventStream(chatEvents(model, chunks, pieces, startedAt), { "cf-aig-cache-status": "MISS" });
  }

  /** Each instance is asked for itself; one that fails is told of beside what the others found. */
  async function findInAll(context: RequestContext, body: unknown) {
    const namespace = instances.requireNamespace(namespaceOf(context)).name;
    const errors: { instance_id: string; message: string }[] = [];
    const found: Found[] = [];
    const ids = instanceIds(body);
    let ask: AskedNow | undefined;
    await Promise.all(
      ids.map(async (id) => {
        try {
          const instance = instances.require(namespace, id);
          const own = asked(instance, body);
          ask ??= own;
          found.push({ instance, results: await searcher.search(instance, own.query, context.request.signal) });
        } catch (error) {
          if (!(error instanceof PlatformError)) throw error;
          errors.push({ instance_id: id, message: error.message });
          // A question that is wrong is wrong for all.
          if (error.spec.status === 400) throw error;
        }
      }),
    );
    const most = ask?.query.limit ?? Math.max(0, ...found.map(({ results }) => results.results.length));
    const chunks = found
      .flatMap(({ instance, results }) => results.results.map((result) => ({ instance, results, result })))
      .sort((a, b) => (b.result.rerankScore ?? b.result.score) - (a.result.rerankScore ?? a.result.score))
      .slice(0, most);
    const views = chunks.flatMap(({ instance, results, result }) =>
      chunkViews({ ...results, results: [result] }, ask?.metadataOnly, instance.id),
    );
    for (const { instance, results } of found) metrics.note(instance, "search", results.results, false, kernel.clock.now());
    return { ask, found, merged: chunks.map(({ result }) => result), views, errors: errors.length > 0 ? { errors } : {} };
  }

  async function searchAll(context: RequestContext): Promise<Record<string, unknown>> {
    const { found, views, errors } = await findInAll(context, await bodyOf(context));
    return { search_query: found[0]?.results.query ?? "", query_kind: "text", chunks: views, ...errors };
  }

  async function chatAll(context: RequestContext): Promise<Response> {
    const startedAt = kernel.clock.now();
    const { ask, found, merged, views, errors } = await findInAll(context, await bodyOf(context));
    const [first] = found;
    if (ask === undefined || first === undefined) return completion({ stream: false }, "", "", views, "MISS", startedAt, errors);
    const results: Results = { ...first.results, results: merged };
    const options = { ...ask.answer, cache: false, signal: context.request.signal };
    if (!ask.stream) {
      const { text, model } = await answers.whole(first.instance, ask.query, results, options);
      return completion(ask, model, text, views, "MISS", startedAt, errors);
    }
    const { model, pieces } = await answers.stream(first.instance, ask.query, results, options);
    return eventStream(chatEvents(model, views, pieces, startedAt), {});
  }

  return [
    ...INSTANCE_BASES.flatMap(({ op, path }): Route[] => [
      { op: `${op}.search`, method: "POST", path: `${path}/:id/search`, permission: RUN, handle: search },
      { op: `${op}.chatCompletions`, method: "POST", path: `${path}/:id/chat/completions`, permission: RUN, handle: chat },
    ]),
    { op: "aiSearch.namespaces.search", method: "POST", path: `${NAMESPACE}/search`, permission: RUN, handle: searchAll },
    { op: "aiSearch.namespaces.chatCompletions", method: "POST", path: `${NAMESPACE}/chat/completions`, permission: RUN, handle: chatAll },
  ];
}

type Chunks = readonly Record<string, unknown>[];

/** The whole answer; as events where a stream was asked for. */
function completion(
  { stream }: { readonly stream: boolean },
  model: string,
  text: string,
  chunks: Chunks,
  cache: "HIT" | "MISS",
  at: number,
  more: object = {},
): Response {
  const headers = { "cf-aig-cache-status": cache };
  if (stream) return eventStream(chatEvents(model, chunks, [text], at), headers);
  const choices = [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }];
  return Response.json(
    { id: `id-${at}`, object: "chat.completion", created: Math.floor(at / 1000), model, choices, chunks, ...more },
    { headers },
  );
}

/** What was found first, then OpenAI's chunks. */
async function* chatEvents(
  model: string,
  chunks: Chunks,
  pieces: AsyncIterable<string> | Iterable<string>,
  at: number,
): AsyncGenerator<string> {
  yield `event: chunks\ndata: ${JSON.stringify(chunks)}\n\n`;
  const common = { id: `id-${at}`, created: Math.floor(at / 1000), model, object: "chat.completion.chunk" };
  for await (const content of pieces) yield `data: ${JSON.stringify({ ...common, choices: [{ index: 0, delta: { content } }] })}\n\n`;
  yield `data: ${JSON.stringify({ ...common, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })}\n\n`;
  yield "data: [DONE]\n\n";
}
