/** AI Search by wrangler's commands, and by the bindings of a Worker that it deploys: AutoRAG's, namespaces', instances'. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { RequestInit } from "undici";
import { browserSettings, noBrowser } from "../../harness/browser.ts";
import { clientProject, missingClient } from "../../harness/npm-client.ts";
import { projectRoot } from "../../harness/platform.ts";
import { deployWorker } from "../../harness/worker-project.ts";
import { searchWorld } from "../ai-search-world.ts";

/** The official MCP client is among what the Agents SDK brings. */
const noAgents = missingClient("agents-0.7");
const world = await searchWorld({ after }, browserSettings);
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
  await world.until(async () => (await sdk.aiSearch.namespaces.instances.read("goods", place)).status === "ready");
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
// A site of the account's: what it was asked, and pages that a test changes.
const asked = [];
let changed = "2020-01-01";
const page = (text, script = "") => new Response("<!doctype html><html><head><title>t</title></head><body><main><p>" + text + "</p></main>" + script + "</body></html>", { headers: { "content-type": "text/html; charset=utf-8" } });
const gzip = (text) => new Response(text).body.pipeThrough(new CompressionStream("gzip"));
const pages = {
  "/robots.txt": () => new Response("User-agent: *\\nDisallow: /\\n\\nUser-agent: Cloudflare-AI-Search\\nAllow: /\\nDisallow: /private\\nSitemap: /index.xml\\n"),
  "/index.xml": () => new Response("<sitemapindex><sitemap><loc>/map-a.xml</loc></sitemap><sitemap><loc>https://shop.example/map-b.xml.gz</loc></sitemap></sitemapindex>"),
  "/map-a.xml": () => new Response("<urlset>" + ["/plain", "/private/x", "https://elsewhere.example/y", "/blog/post", "/guarded", "/away"].map((loc) => "<url><loc>" + loc + "</loc></url>").join("") +
    "<url><loc>https://shop.example/top</loc><priority>1.0</priority><lastmod>" + changed + "</lastmod></url><url><loc>/fresh</loc><changefreq>always</changefreq></url><url><loc>/stale</loc><changefreq>monthly</changefreq></url></urlset>"),
  "/map-b.xml.gz": () => new Response(gzip("<urlset><url><loc>zipped</loc><priority>0.1</priority></url></urlset>"), { headers: { "content-type": "application/gzip" } }),
  "/map-js.xml": () => new Response("<urlset><url><loc>/js</loc></url></urlset>"),
  "/plain": () => page("plain pebbles"), "/private/x": () => page("private"), "/blog/post": () => page("a post on bagpipes"), "/stale": () => page("stale crackers"), "/fresh": () => page("fresh parsley"),
  "/zipped": () => page("zipped trousers"), "/top": () => page(changed === "2020-01-01" ? "topmost turnips" : "topmost radishes"), "/away": () => Response.redirect("https://elsewhere.example/z"),
  "/guarded": (request) => request.headers.get("x-pass") === "sesame" ? page("guarded treasure") : new Response("no", { status: 403 }),
  "/js": () => page("", "<script>document.querySelector('p').textContent = 'rendered rutabaga'</script>"),
  "/__asked": () => Response.json(asked), "/__change": () => { changed = "2100-01-01"; asked.length = 0; return new Response("ok"); },
};
function site(request) {
  const { pathname } = new URL(request.url);
  if (!pathname.startsWith("/__")) asked.push({ path: pathname, agent: request.headers.get("user-agent") });
  return pages[pathname]?.(request) ?? new Response("none", { status: 404 });
}
export default { async fetch(request, env) { const { hostname, pathname } = new URL(request.url); if (hostname === "shop.example" || pathname.startsWith("/__")) return site(request); try { return Response.json(await routes[new URL(request.url).pathname.slice(1)](env)); } catch (e) { return new Response(e.stack, { status: 500 }); } } };`;

test("a Worker's bindings", async (t) => {
  const source = await world.bucket("coffee", { "llama/a.md": "coffee for a llama", "llama/b.md": "tea for a horse" });
  await world.instance("llamas", { type: "r2", source });
  await sdk.aiSearch.namespaces.create({ account_id, name: "papers" });
  await sdk.zones.create({ account: { id: account_id }, name: "shop.example" } as never);
  const project = await deployWorker(platform, {
    files: { "index.js": worker },
    config: {
      name: "searcher",
      workers_dev: true,
      routes: [{ pattern: "shop.example/*", zone_name: "shop.example" }],
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

  const strict = { ranking_options: { score_threshold: 0.6 } };
  const site = async (path: string): Promise<{ path: string; agent: string }[]> => {
    const response = await platform.fetch(`${project.url}${path}`);
    return path === "/__asked" ? ((await response.json()) as { path: string; agent: string }[]) : [];
  };
  const include_headers = { "x-pass": "sesame" };

  await t.test(
    "[ai-search-03, ai-search-36, ai-search-37, ai-search-39, ai-search-40] a site is found by its sitemaps, as its robots.txt allows, with the headers that were given",
    async () => {
      await assert.rejects(
        sdk.aiSearch.instances.create({ account_id, id: "foreign", type: "web-crawler", source: "https://elsewhere.example" }),
        /domain of this account/,
      );
      const config = {
        type: "web-crawler",
        source: "https://shop.example",
        source_params: { exclude_items: ["**/blog/**"], web_crawler: { parse_options: { include_headers } } },
      };
      await world.instance("site", config);
      for (const words of ["plain pebbles", "topmost turnips", "fresh parsley", "stale crackers", "zipped trousers", "guarded treasure"])
        assert.match(
          (await world.found("site", words, strict))[0] ?? "nothing",
          new RegExp(`^https://shop.example/${words.split(" ")[0]?.replace("most", "")}`),
        );
      const requests = await site("/__asked");
      assert.ok(requests.every(({ agent }) => agent === "Cloudflare-AI-Search"));
      assert.equal(
        requests.some(({ path }) => /private|blog/.test(path)),
        false,
      );
      const [job] = (await sdk.aiSearch.instances.jobs.list("site", { account_id })).result;
      const lines = await world.logs("site", job?.id as string);
      for (const line of [
        "https://shop.example/private/x: Disallowed by robots.txt",
        "https://elsewhere.example/y: Not in the domain of the source",
        "https://shop.example/blog/post: Skipped by rule: **/blog/**",
        "https://shop.example/away: elsewhere.example is not in the domain of the source",
      ])
        assert.ok(lines.includes(line), `${line} in ${lines.join("; ")}`);
      const shown = await sdk.aiSearch.instances.read("site", { account_id });
      assert.equal(JSON.stringify(shown).includes("sesame"), false);
    },
  );

  await t.test("[ai-search-35] pages are read by their priority, and again when their lastmod or changefreq says so", async () => {
    const order = (await site("/__asked")).map(({ path }) => path).filter((path) => !/robots|xml/.test(path));
    assert.deepEqual([order[0], order.at(-1)], ["/top", "/zipped"]);
    await site("/__change");
    await world.sync("site");
    const again = (await site("/__asked")).map(({ path }) => path).filter((path) => !/robots|xml/.test(path));
    // What failed is tried again, too.
    assert.deepEqual(
      again,
      ["/top", "/fresh", "/away"].sort((a, b) => order.indexOf(a) - order.indexOf(b)),
    );
    assert.deepEqual(await world.found("site", "topmost turnips", { ranking_options: { score_threshold: 0.9 } }), []);
    assert.equal((await world.found("site", "topmost radishes", strict))[0], "https://shop.example/top");
  });

  await t.test("[ai-search-18] patterns for pages match the whole URL", async () => {
    for (const [id, pattern, expected] of [
      ["blog", "**/blog/**", 1],
      ["no-blog", "/blog/**", 0],
    ] as const) {
      await world.instance(id, { type: "web-crawler", source: "https://shop.example", source_params: { include_items: [pattern] } });
      assert.equal((await sdk.aiSearch.instances.stats(id, { account_id })).completed, expected);
    }
  });

  await t.test("[ai-search-38] a page that its scripts make is found in rendered mode", { skip: noBrowser }, async () => {
    const parse_options = { use_browser_rendering: true, specific_sitemaps: ["https://shop.example/map-js.xml"] };
    await world.instance("rendered", {
      type: "web-crawler",
      source: "https://shop.example",
      source_params: { web_crawler: { parse_options } },
    });
    assert.deepEqual(await world.found("rendered", "rendered rutabaga", strict), ["https://shop.example/js"]);
  });

  await t.test("[ai-search-43] NLWeb answers people and programs, and agents by MCP", { skip: noAgents }, async () => {
    const example = join(projectRoot, "examples", "nlweb", "wrangler.jsonc");
    await platform.wrangler(["deploy", "-c", example, "--var", "RAG_ID:site"]);
    const base = platform.host("workers", { worker: "nlweb", subdomain: new URL(project.url).hostname.split(".")[1] as string });
    const list = await platform.fetch(`${base}/ask?query=plain+pebbles&streaming=false`);
    const { results, query_id } = (await list.json()) as { results: { url: string; score: number }[]; query_id: string };
    assert.ok(query_id !== "" && results[0]?.url === "https://shop.example/plain" && results[0].score > 50);
    const stream = await (await platform.fetch(`${base}/ask?query=plain+pebbles&mode=generate`)).text();
    assert.match(stream, /"message_type":"result".*"message_type":"nlws".*echo <document.*"message_type":"complete"/s);
    assert.equal((await platform.fetch(`${base}/ask`)).status, 400);
    for (const path of ["/", "/snippet.html"]) assert.match(await (await platform.fetch(`${base}${path}`)).text(), /<form id="ask">/);

    const require = createRequire(join(await clientProject(t, "agents-0.7"), "index.js"));
    const load = (path: string) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/${path}`)).href);
    const { Client } = await load("client/index.js");
    const { StreamableHTTPClientTransport } = await load("client/streamableHttp.js");
    const client = new Client({ name: "test", version: "1.0.0" });
    const fetch = (url: URL, init: RequestInit) => platform.fetch(String(url), init);
    await client.connect(new StreamableHTTPClientTransport(new URL(`${base}/mcp`), { fetch }));
    assert.deepEqual(
      (await client.listTools()).tools.map(({ name }: { name: string }) => name),
      ["ask"],
    );
    const called = await client.callTool({ name: "ask", arguments: { query: "plain pebbles" } });
    assert.equal(JSON.parse(called.content[0].text).results[0].url, "https://shop.example/plain");
    assert.equal((await client.callTool({ name: "ask", arguments: { query: "" } })).isError, true);
    await client.close();
  });
});
