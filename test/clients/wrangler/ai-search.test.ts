/** AI Search by wrangler's commands, and by the bindings of a Worker that it deploys: AutoRAG's, namespaces', instances'. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { deployWorker } from "../../harness/worker-project.ts";
import { searchWorld } from "../ai-search-world.ts";

const world = await searchWorld({ after });
const { platform, account_id, sdk } = world;

const json = async (args: readonly string[]) => JSON.parse((await platform.wrangler(["ai-search", ...args, "--json"])).stdout);

test("[ai-search-45] wrangler creates, lists, searches and deletes instances of a namespace", async () => {
  const source = await world.bucket("shop", {
    "shoes/a.md": "red running shoes",
    "hats/b.md": "a red hat for the sun",
    "skip/c.md": "red nothing",
  });
  await platform.wrangler(["ai-search", "namespace", "create", "shop", "--description", "What is sold"]);
  const created = await json([
    "create",
    "goods",
    "-n",
    "shop",
    "--type",
    "r2",
    "--source",
    source,
    "--exclude-items",
    "/skip/**",
    "--max-num-results",
    "5",
  ]);
  assert.deepEqual([created.id, created.namespace, created.max_num_results], ["goods", "shop", 5]);
  const place = { account_id, name: "shop" };
  while ((await sdk.aiSearch.namespaces.instances.read("goods", place)).status !== "ready")
    await new Promise((resolve) => setTimeout(resolve, 50));
  const filtered = await json(["search", "goods", "-n", "shop", "--query", "red", "--filter", "folder=hats/", "--score-threshold", "0"]);
  assert.deepEqual(
    filtered.chunks.map(({ item }: { item: { key: string } }) => item.key),
    ["hats/b.md"],
  );
  const [listed] = await json(["list", "-n", "shop"]);
  assert.deepEqual([listed.id, listed.status, listed.source], ["goods", "ready", source]);
  await platform.wrangler(["ai-search", "delete", "goods", "-n", "shop", "--force"]);
  assert.deepEqual((await sdk.aiSearch.namespaces.instances.list("shop", { account_id })).result, []);
});

const worker = `
const thrown = async (work) => { try { await work(); return null; } catch (e) { return e.name + ": " + e.message; } };
const routes = {
  async autorag({ AI }) {
    const rag = AI.autorag("llamas");
    const search = await rag.search({ query: "coffee for a llama", max_num_results: 1 });
    const answer = await rag.aiSearch({ query: "coffee for a llama", max_num_results: 1 });
    const list = await rag.list();
    return { search, answer, list: list.map(({ id }) => id), missing: await thrown(() => AI.autorag("nobody").search({ query: "x" })), unnamed: await thrown(() => AI.autorag().search({ query: "x" })),
      wrong: await thrown(() => rag.search({ query: "x", max_num_results: 51 })) };
  },
  async stream({ AI }) {
    const response = await AI.autorag("llamas").aiSearch({ query: "tell me at length of coffee for a llama", max_num_results: 1, stream: true });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let reads = 0, text = "";
    for (;;) { const { done, value } = await reader.read(); if (done) break; reads++; text += value; }
    return { type: response.headers.get("content-type"), reads, text };
  },
  async namespace({ NS, AI }) {
    const created = await NS.create({ id: "notes", custom_metadata: [{ field_name: "year", data_type: "number" }] });
    const polled = await created.items.uploadAndPoll("otters.md", "# Otters\\n\\nSea otters hold hands while they sleep.", { metadata: { year: 2024 }, pollIntervalMs: 50 });
    const old = await NS.get("notes").items.uploadAndPoll("beavers.txt", new TextEncoder().encode("Beavers build dams; part number ZX-4471 is a sluice."), { metadata: { year: "1999" }, pollIntervalMs: 50 });
    const instance = NS.get("notes");
    const hybrid = await instance.search({ query: "otters sleep", ai_search_options: { retrieval: { retrieval_type: "hybrid", match_threshold: 0 } } });
    const keyword = await instance.search({ query: "ZX 4471", ai_search_options: { retrieval: { retrieval_type: "keyword" } } });
    const filtered = await instance.search({ messages: [{ role: "user", content: "sleep dams" }], ai_search_options: { retrieval: { match_threshold: 0, filters: { year: { $gte: 2000 } } } } });
    const chat = await instance.chatCompletions({ messages: [{ role: "user", content: "otters sleep" }], ai_search_options: { retrieval: { match_threshold: 0, max_num_results: 1 } } });
    const streamed = await new Response(await instance.chatCompletions({ messages: [{ role: "user", content: "otters sleep" }], stream: true, ai_search_options: { retrieval: { match_threshold: 0, max_num_results: 1 } } })).text();
    const download = await new Response((await instance.items.get(polled.id).download()).body).text();
    const info = await instance.items.get(polled.id).info();
    const listed = await instance.items.list({ status: "completed" });
    const chunks = await instance.items.get(old.id).chunks();
    await instance.items.delete(old.id);
    const all = await NS.search({ query: "otters sleep", ai_search_options: { instance_ids: ["notes", "absent"], retrieval: { match_threshold: 0 } } });
    const names = (await NS.list()).result.map(({ id }) => id);
    return { created: typeof created, polled, hybrid, keyword, filtered, chat, streamed, download, same: info.id === polled.id, listed: listed.result.map(({ key }) => key).sort(), chunks: chunks.result[0].text, gone: await thrown(() => instance.items.get(old.id).info()),
      all, names, elsewhere: await thrown(() => NS.get("llamas").info()), sneaky: await thrown(() => NS.get("../../default/instances/llamas").info()), ai: (await AI.aiSearch().list()).result.map(({ id }) => id) };
  },
  async instance({ LLAMAS }) {
    const { id } = await LLAMAS.info();
    const found = await LLAMAS.search({ query: "coffee", ai_search_options: { retrieval: { match_threshold: 0, max_num_results: 1, context_expansion: 1 } } });
    const job = await LLAMAS.jobs.create({ description: "by hand" });
    const again = await LLAMAS.jobs.get(job.id).info();
    return { id, key: found.chunks[0].item.key, description: again.description, stats: (await LLAMAS.stats()).completed, upload: await thrown(() => LLAMAS.items.upload("x.md", "x")) };
  },
};
export default { async fetch(request, env) { try { return Response.json(await routes[new URL(request.url).pathname.slice(1)](env)); } catch (e) { return new Response(e.stack, { status: 500 }); } } };`;

test("a Worker's bindings", async (t) => {
  const source = await world.bucket("coffee", { "llama/a.md": "coffee for a llama", "llama/b.md": "tea for a horse" });
  await world.instance("llamas", { type: "r2", source });
  await sdk.aiSearch.namespaces.create({ account_id, name: "papers" });
  const project = await deployWorker(platform, {
    files: { "index.js": worker },
    config: {
      name: "searcher",
      ai: { binding: "AI" },
      ai_search: [{ binding: "LLAMAS", instance_name: "llamas" }],
      ai_search_namespaces: [{ binding: "NS", namespace: "papers" }],
    },
  });
  // biome-ignore lint/suspicious/noExplicitAny: what the routes of the Worker give
  const asked = async (route: string): Promise<any> => {
    const response = await platform.fetch(`${project.url}/${route}`);
    assert.equal(response.status, 200, await response.clone().text());
    return response.json();
  };

  await t.test("[ai-search-20, ai-search-21] autorag() searches, answers and lists, with the documented object and errors", async () => {
    const { search, answer, list, missing, unnamed, wrong } = await asked("autorag");
    const [{ file_id, score, attributes, content, ...rest }] = search.data;
    assert.deepEqual(
      [search.object, search.search_query, search.has_more, search.next_page],
      ["vector_store.search_results.page", "coffee for a llama", false, null],
    );
    assert.deepEqual([rest, content], [{ filename: "llama/a.md" }, [{ id: `${file_id}-0`, type: "text", text: "coffee for a llama" }]]);
    assert.ok(score > 0.99 && attributes.folder === "llama/" && "response" in search === false);
    assert.match(answer.response, /^echo <document name="llama\/a.md">/);
    assert.equal(answer.data.length, 1);
    assert.deepEqual(list, ["llamas"]);
    assert.equal(missing, "AutoRAGNotFoundError: ai_search_not_found");
    assert.equal(unnamed, "AutoRAGNameNotSetError: AutoRAG name not defined");
    assert.match(wrong, /^AutoRAGInternalError: .*between 1 and 50/);
  });

  await t.test("[ai-search-22] a streamed answer comes in pieces, what was found first", async () => {
    const { type, reads, text } = await asked("stream");
    assert.equal(type, "text/event-stream");
    assert.ok(reads > 3, `${reads} reads`);
    const events = (text as string)
      .split("\n\n")
      .filter((event) => event !== "")
      .map((event) => event.replace(/^data: /, ""));
    assert.equal(events.at(-1), "[DONE]");
    const [first, ...others] = events.slice(0, -1).map((event) => JSON.parse(event));
    assert.equal(first.data[0].filename, "llama/a.md");
    assert.equal(
      others
        .map(({ response }) => response)
        .join("")
        .split(" ")[1],
      "w1",
    );
  });

  await t.test("[ai-search-46] a namespace's binding makes an instance, uploads and waits, and searches by meaning and words", async () => {
    const { polled, hybrid, keyword, filtered, chat, streamed, all, ...rest } = await asked("namespace");
    assert.deepEqual(
      [polled.key, polled.status, polled.chunks_count, polled.metadata.year, polled.source_id],
      ["otters.md", "completed", 1, 2024, "builtin"],
    );
    const [best] = hybrid.chunks;
    assert.equal(best.item.key, "otters.md");
    assert.ok(
      best.scoring_details.vector_rank === 1 &&
        best.scoring_details.keyword_rank === 1 &&
        best.scoring_details.fusion_method === "rrf" &&
        best.score === 1,
    );
    assert.deepEqual(
      keyword.chunks.map((chunk: { item: { key: string } }) => chunk.item.key),
      ["beavers.txt"],
    );
    assert.deepEqual(
      filtered.chunks.map((chunk: { item: { key: string } }) => chunk.item.key),
      ["otters.md"],
    );
    assert.match(chat.choices[0].message.content, /^echo <document name="otters.md">/);
    assert.equal(chat.chunks.length, 1);
    assert.match(streamed, /^event: chunks\ndata: \[\{.*\n\ndata: \{.*"delta":\{"content":/);
    assert.ok(streamed.endsWith("data: [DONE]\n\n"));
    assert.deepEqual(all.errors, [{ instance_id: "absent", message: "ai_search_not_found" }]);
    assert.equal(all.chunks[0].instance_id, "notes");
    const { download, same, listed, chunks, gone, names, elsewhere, sneaky, ai } = rest;
    assert.equal(download, "# Otters\n\nSea otters hold hands while they sleep.");
    assert.deepEqual([same, listed, names, ai], [true, ["beavers.txt", "otters.md"], ["notes"], ["llamas"]]);
    assert.match(chunks, /sluice/);
    for (const error of [gone, elsewhere, sneaky]) assert.match(error, /does not exist|ai_search_not_found/);
  });

  await t.test("an instance's binding reaches that instance alone", async () => {
    const { upload, ...rest } = await asked("instance");
    assert.deepEqual(rest, { id: "llamas", key: "llama/a.md", description: "by hand", stats: 2 });
    assert.match(upload, /built-in storage only/);
  });
});
