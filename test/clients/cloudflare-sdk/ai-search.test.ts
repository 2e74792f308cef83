/** AI Search by the official SDK and plain requests to its documented paths: indexing of buckets, queries, filters, answers. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";
import { DeleteObjectCommand } from "@aws-sdk/client-s3";
import { NotFoundError } from "cloudflare";
import { EMBEDDING, GENERATION, searchWorld } from "../ai-search-world.ts";

const world = await searchWorld({ after });
const { platform, account_id, sdk, models } = world;
const { aiSearch } = sdk;
const rags = `/accounts/${account_id}/autorag/rags`;

/** Words that no other file has, so that the vectors of the model server tell files apart. */
const NUMBERS =
  "alpha bravo charlie delta echo foxtrot golf hotel india jolly kilo lima mike november oscar papa quebec romeo sierra tango".split(" ");

test("[ai-search-01, ai-search-02, ai-search-04] a service token is registered once, an instance finds every file of its bucket", async () => {
  const [listed] = (await aiSearch.tokens.list({ account_id })).result;
  assert.deepEqual([listed?.id, listed?.name, listed?.enabled], [world.token, "service", true]);
  assert.equal("cf_api_key" in (listed as object), false);
  const files = Object.fromEntries(NUMBERS.map((word, at) => [`files/${at}.md`, `# ${word}\n\nThis page is about ${word} alone.`]));
  const source = await world.bucket("twenty", files);
  const created = await aiSearch.instances.create({ account_id, id: "twenty", type: "r2", source });
  assert.deepEqual([created.token_id, created.type, created.source, created.embedding_model], [world.token, "r2", "twenty", EMBEDDING]);
  await world.ready("twenty");
  for (const [at, word] of NUMBERS.entries()) assert.equal((await world.found("twenty", `about ${word}`))[0], `files/${at}.md`);
  const stats = await aiSearch.instances.stats("twenty", { account_id });
  assert.deepEqual(
    [stats.completed, stats.queued, stats.error, stats.engine?.vectorize],
    [20, 0, 0, { vectorsCount: 20, dimensions: 1024 }],
  );
});

test("[ai-search-05, ai-search-06] every listed kind of text and of document is found by its content", async () => {
  const text =
    "txt rst log ini conf env properties gitignore editorconfig toml markdown md mdx tex latex sh bat ps1 sgml json yaml yml css js php py rb java c cpp cxx h hpp go rs swift dart el";
  const kinds = text.split(" ");
  const files: Record<string, string | Uint8Array> = Object.fromEntries(
    kinds.map((kind) => [`plain/file.${kind}`, `words of kind${letters(kind)} here`]),
  );
  const document = (name: string): Promise<Buffer> => readFile(new URL(`../workers/fixtures/documents/${name}`, import.meta.url));
  for (const name of ["report.docx", "report.odt", "report-plain.pdf", "figures.xlsx", "figures.ods"])
    files[`rich/${name}`] = await document(name);
  files["rich/page.html"] = "<!doctype html><html><body><main><h1>Zebra</h1><p>stripes and hooves</p></main></body></html>";
  files["rich/page.htm"] = "<html><body><p>giraffe necks</p></body></html>";
  files["rich/rows.csv"] = "animal,legs\noctopus,8\n";
  files["rich/data.xml"] = "<zoo><animal>pangolin</animal></zoo>";
  files["other/program.exe"] = "MZ";
  const source = await world.bucket("kinds", files);
  await world.instance("kinds", { type: "r2", source });
  for (const kind of kinds) assert.equal((await world.found("kinds", `kind${letters(kind)}`))[0], `plain/file.${kind}`);
  for (const [words, key] of [
    ["zebra stripes and hooves", "page.html"],
    ["giraffe necks", "page.htm"],
    ["octopus", "rows.csv"],
    ["pangolin", "data.xml"],
  ] as const)
    assert.equal((await world.found("kinds", words))[0], `rich/${key}`);
  // What the documents' own Markdown says finds them again.
  for (const name of ["report.docx", "report.odt", "report-plain.pdf", "figures.xlsx", "figures.ods"]) {
    const key = `rich/${name}`;
    const [item] = (await aiSearch.namespaces.instances.items.list("kinds", { account_id, name: "default", key })).result;
    assert.equal(item?.status, "completed", `${key}: ${item?.error}`);
    const [chunk] = await aiSearch.namespaces.instances.items.chunks(item?.id as string, { account_id, name: "default", id: "kinds" });
    assert.ok((await world.found("kinds", chunk?.text as string)).slice(0, 2).includes(key), key);
  }
  const [other] = (await aiSearch.namespaces.instances.items.list("kinds", { account_id, name: "default", key: "other/program.exe" }))
    .result;
  assert.deepEqual([other?.status, other?.error], ["error", "Unsupported file type"]);
});

/** A word for a kind: the model server's words have no digits. */
const letters = (kind: string): string => kind.replace("1", "one");

test("[ai-search-09, ai-search-10, ai-search-11, ai-search-13, ai-search-16] changes, deletions and mended files take effect with the next job, whose log tells", async () => {
  const source = await world.bucket("moving", {
    "a.md": "walrus tusks",
    "b.md": "ocelot spots",
    "keep.md": "a heron",
    "big.md": "x ".repeat(2_050_000),
  });
  const id = await world.instance("moving", { type: "r2", source, source_params: { exclude_items: ["/drafts/**"] } });
  const items = async () =>
    Object.fromEntries(
      (await aiSearch.namespaces.instances.items.list(id, { account_id, name: "default" })).result.map(({ key, status }) => [key, status]),
    );
  assert.deepEqual(await items(), { "a.md": "completed", "b.md": "completed", "keep.md": "completed", "big.md": "error" });
  assert.deepEqual(await world.found(id, "walrus tusks", { ranking_options: { score_threshold: 0.9 } }), ["a.md"]);
  const [first] = (await aiSearch.instances.jobs.list(id, { account_id })).result;
  assert.deepEqual([first?.source, first?.end_reason], ["schedule", "completed"]);
  assert.ok((await world.logs(id, first?.id as string)).includes("big.md: File size exceeds the limit of 4 MB"));

  await world.put(source, "a.md", "manatee snout");
  await platform.s3().send(new DeleteObjectCommand({ Bucket: source, Key: "b.md" }));
  await world.put(source, "big.md", "small condor now");
  await world.put(source, "drafts/wip.md", "unfinished");
  const seen = models.seen.length;
  const job = await world.sync(id);
  assert.deepEqual(await items(), { "a.md": "completed", "keep.md": "completed", "big.md": "completed", "drafts/wip.md": "skipped" });
  // What has not changed is not read again.
  const embedded = models.seen.slice(seen).flatMap(({ path, body }) => (path === "/v1/embeddings" ? (body.input as string[]) : []));
  assert.deepEqual(embedded.sort(), ["manatee snout", "small condor now"]);
  const strict = { ranking_options: { score_threshold: 0.9 } };
  assert.deepEqual(await world.found(id, "walrus tusks", strict), []);
  assert.deepEqual(await world.found(id, "ocelot spots", strict), []);
  assert.deepEqual(await world.found(id, "manatee snout", strict), ["a.md"]);
  assert.deepEqual(await world.found(id, "small condor now", strict), ["big.md"]);
  const lines = await world.logs(id, job);
  assert.ok(lines.includes("drafts/wip.md: Skipped by rule: /drafts/**"));
  assert.ok(lines.includes("b.md: Removed"));
  assert.equal(lines.at(-1), "Indexed 2 items, 0 failed");

  // AutoRAG's way to ask for a job, and the time after it.
  const again = await platform.rest("PATCH", `${rags}/${id}/sync`);
  assert.deepEqual([again.status, again.body.errors[0]?.message], [429, "sync_in_cooldown"]);
  const files = await platform.rest("GET", `${rags}/${id}/files?status=completed&per_page=2`);
  assert.deepEqual([files.body.result.length, files.body.result_info?.total_count], [2, 3]);
});

test("[ai-search-14, ai-search-15] one file is indexed again by itself; while an instance is paused it has no jobs", async () => {
  const source = await world.bucket("single", { "one.md": "first badger", "two.md": "first weasel" });
  const id = await world.instance("single", { type: "r2", source });
  await world.put(source, "one.md", "second badger");
  await world.put(source, "two.md", "second weasel");
  const place = { account_id, name: "default", id };
  const [one] = (await aiSearch.namespaces.instances.items.list(id, { account_id, name: "default", key: "one.md" })).result;
  const seen = models.seen.length;
  const synced = await aiSearch.namespaces.instances.items.sync(one?.id as string, {
    ...place,
    next_action: "INDEX",
    wait_for_completion: true,
  });
  assert.equal(synced.status, "completed");
  assert.deepEqual(
    models.seen.slice(seen).map(({ body }) => body.input),
    [["second badger"]],
  );
  const logs = await aiSearch.namespaces.instances.items.logs(one?.id as string, place);
  assert.deepEqual(
    logs.map(({ action, chunkCount }) => [action, chunkCount]),
    [
      ["index", 1],
      ["index", 1],
    ],
  );

  const paused = await aiSearch.instances.update(id, { account_id, paused: true });
  assert.deepEqual([paused.paused, paused.status], [true, "paused"]);
  const refused = await platform.rest("PATCH", `${rags}/${id}/sync`);
  assert.deepEqual([refused.status, refused.body.errors[0]?.message], [400, "The instance is paused"]);
  assert.equal((await world.found(id, "second weasel", { ranking_options: { score_threshold: 0.9 } })).length, 0);
  await aiSearch.instances.update(id, { account_id, paused: false });
  await world.sync(id);
  assert.deepEqual(await world.found(id, "second weasel", { ranking_options: { score_threshold: 0.9 } }), ["two.md"]);
});

test("[ai-search-17] path filters include and leave out objects as documented", async () => {
  const files = [
    "docs/guide.pdf.md",
    "docs/api/ref.md",
    "docs/drafts/wip.md",
    "data/cache.tmp.txt",
    "old.bak.txt",
    "temp/file.txt",
    "images/logo.txt",
  ];
  const source = await world.bucket("paths", Object.fromEntries(files.map((key) => [key, `text of ${key}`])));
  const cases: [string, Record<string, string[]>, string[]][] = [
    ["only-docs", { include_items: ["/docs/**/*.md"] }, ["docs/api/ref.md", "docs/drafts/wip.md", "docs/guide.pdf.md"]],
    [
      "no-temp-files",
      { exclude_items: ["**/*.tmp.txt", "**/*.bak.txt"] },
      ["docs/api/ref.md", "docs/drafts/wip.md", "docs/guide.pdf.md", "images/logo.txt", "temp/file.txt"],
    ],
    [
      "no-temp-folders",
      { exclude_items: ["/temp/**", "/data/**"] },
      ["docs/api/ref.md", "docs/drafts/wip.md", "docs/guide.pdf.md", "images/logo.txt", "old.bak.txt"],
    ],
    ["no-drafts", { include_items: ["/docs/**"], exclude_items: ["/docs/drafts/**"] }, ["docs/api/ref.md", "docs/guide.pdf.md"]],
  ];
  for (const [id, source_params, expected] of cases) {
    await world.instance(id, { type: "r2", source, source_params });
    const { result } = await platform.rest("GET", `${rags}/${id}/files?status=completed`).then(({ body }) => body);
    assert.deepEqual(result.map(({ key }: { key: string }) => key).sort(), expected, id);
  }
  const [job] = (await aiSearch.instances.jobs.list("no-drafts", { account_id })).result;
  const lines = await world.logs("no-drafts", job?.id as string);
  assert.ok(
    lines.includes("docs/drafts/wip.md: Skipped by rule: /docs/drafts/**") && lines.includes("images/logo.txt: Skipped by Include Rules"),
  );
  const many = { exclude_items: Array.from({ length: 11 }, (_, n) => `/${n}/**`) };
  assert.match(
    await refusal(() => aiSearch.instances.create({ account_id, id: "many-rules", type: "r2", source, source_params: many })),
    /at most 10 patterns/,
  );
});

async function refusal(work: () => Promise<unknown>): Promise<string> {
  const error = await work().then(
    () => assert.fail("it was not refused"),
    (reason: unknown) => reason as Error,
  );
  return error.message;
}

test("[ai-search-19] chunks end at paragraphs within their size and share their edges", async () => {
  const paragraphs = Array.from({ length: 12 }, (_, n) =>
    Array.from({ length: 4 }, (_, m) => `Paragraph ${n} sentence ${m} tells of a thing.`).join(" "),
  );
  const source = await world.bucket("long", { "long.md": paragraphs.join("\n\n") });
  const id = await world.instance("long", { type: "r2", source, chunk_size: 100, chunk_overlap: 20 });
  const [item] = (await aiSearch.namespaces.instances.items.list(id, { account_id, name: "default" })).result;
  const chunks = await aiSearch.namespaces.instances.items.chunks(item?.id as string, { account_id, name: "default", id, limit: 100 });
  assert.equal(chunks.length, item?.chunks_count);
  assert.ok(chunks.length >= 6);
  for (const [at, chunk] of chunks.entries()) {
    // Words have at most three tokens here, so this bounds them from below.
    assert.ok(chunk.text.split(/\s+/).length <= 100);
    assert.ok(
      paragraphs.some((paragraph) => chunk.text.endsWith(paragraph.slice(-40))),
      "ends with a paragraph",
    );
    const before = chunks[at - 1];
    if (before !== undefined) assert.ok((chunk.start_byte as number) < (before.end_byte as number), "begins in the one before");
  }
  assert.match(
    await refusal(() => aiSearch.instances.create({ account_id, id: "too-long", type: "r2", source, chunk_size: 1024 })),
    /at most 512 tokens/,
  );
});

test("[ai-search-23, ai-search-24, ai-search-25] search and ai-search answer in the envelope, with ten results unless told, and nothing below the threshold", async () => {
  const files = Object.fromEntries(NUMBERS.map((word) => [`llama/${word}.md`, `the llama ${word} delivers coffee`]));
  const source = await world.bucket("llamas", files);
  const id = await world.instance("llamas", { type: "r2", source });
  const search = await platform.rest("POST", `${rags}/${id}/search`, { query: "llama tango delivers" });
  assert.equal(search.status, 200);
  const { result } = search.body;
  assert.deepEqual(
    [result.object, result.search_query, result.has_more, result.next_page],
    ["vector_store.search_results.page", "llama tango delivers", false, null],
  );
  assert.equal(result.data.length, 10);
  const [best] = result.data;
  assert.deepEqual(
    [best.filename, best.attributes.folder, best.content[0].type, best.content[0].text],
    ["llama/tango.md", "llama/", "text", "the llama tango delivers coffee"],
  );
  assert.ok(
    best.score > 0.7 &&
      best.score <= 1 &&
      best.attributes.modified_date % 1000 === 0 &&
      best.attributes.timestamp === best.attributes.modified_date,
  );
  assert.equal((await world.found(id, "llama", { max_num_results: 20 })).length, 20);
  for (const max_num_results of [0, 51])
    assert.equal((await platform.rest("POST", `${rags}/${id}/search`, { query: "llama", max_num_results })).status, 400);

  const answered = await platform.rest("POST", `${rags}/${id}/ai-search`, { query: "llama tango delivers", max_num_results: 1 });
  assert.match(answered.body.result.response, /^echo <document name="llama\/tango.md">/);
  assert.equal(answered.body.result.data.length, 1);
  const asked = models.seen.length;
  const nothing = await platform.rest("POST", `${rags}/${id}/ai-search`, { query: "zeppelin", ranking_options: { score_threshold: 0.99 } });
  assert.deepEqual([nothing.body.result.data, nothing.body.result.response], [[], ""]);
  assert.equal(
    models.seen.slice(asked).some(({ path }) => path === "/v1/chat/completions"),
    false,
  );
  const missing = await platform.rest("POST", `${rags}/nobody/search`, { query: "x" });
  assert.deepEqual([missing.status, missing.body.success], [404, false]);
});

test("[ai-search-26, ai-search-28, ai-search-29] a rewritten query, a system prompt and another model of a request are seen in the gateway's log", async () => {
  await sdk.aiGateway.create({
    account_id,
    id: "search-gw",
    cache_invalidate_on_update: false,
    cache_ttl: 0,
    collect_logs: true,
    rate_limiting_interval: 0,
    rate_limiting_limit: 0,
  });
  const source = await world.bucket("prompts", { "a.md": "echo words on otters" });
  const id = await world.instance("prompts", { type: "r2", source, ai_gateway_id: "search-gw", system_prompt_rewrite_query: undefined });
  await aiSearch.instances.update(id, { account_id, system_prompt_rewrite_query: "Say it in other words." });
  const other = "@cf/meta/llama-3.1-8b-instruct";
  const { body } = await platform.rest("POST", `${rags}/${id}/ai-search`, {
    query: "otters",
    rewrite_query: true,
    system_prompt: "You are terse.",
    model: other,
  });
  assert.equal(body.result.search_query, "echo otters");
  const logs = (await sdk.aiGateway.logs.list("search-gw", { account_id })).result as unknown as {
    id: string;
    model: string;
    metadata: string;
  }[];
  const task = (name: string) => logs.filter(({ metadata }) => JSON.stringify(metadata).includes(name));
  assert.ok(task("embedding").length >= 2);
  const sent = async (log: { id: string } | undefined) =>
    (await (
      await platform.fetch(`/client/v4/accounts/${account_id}/ai-gateway/gateways/search-gw/logs/${log?.id}/request`, {
        headers: { authorization: `Bearer ${platform.ready.api_token}` },
      })
    ).json()) as { messages: { role: string; content: string }[] };
  const [rewrite] = task("query_rewrite");
  assert.equal(rewrite?.model, GENERATION);
  assert.deepEqual((await sent(rewrite)).messages, [
    { role: "system", content: "Say it in other words." },
    { role: "user", content: "otters" },
  ]);
  const [generation] = task("generation");
  assert.equal(generation?.model, other);
  const { messages } = await sent(generation);
  assert.deepEqual(messages[0], { role: "system", content: "You are terse." });
  assert.match(messages[1]?.content as string, /<document name="a\.md">\necho words on otters\n<\/document>\n\notters$/);
});

test("[ai-search-27] reranking puts what answers best first", async () => {
  const source = await world.bucket("ranks", {
    "near.md": "cloud cloud",
    "full.md": "a story of an orange cloud over many hills and rivers far away",
  });
  const id = await world.instance("ranks", { type: "r2", source });
  const query = "orange cloud story";
  assert.deepEqual(await world.found(id, "cloud"), ["near.md", "full.md"]);
  const plain = await world.found(id, query);
  const reranked = await world.found(id, query, { reranking: { enabled: true, model: "@cf/baai/bge-reranker-base" } });
  assert.deepEqual(
    [plain, reranked],
    [
      ["near.md", "full.md"],
      ["full.md", "near.md"],
    ],
  );
  assert.equal(models.seen.at(-1)?.path, "/v1/rerank");
});

test("[ai-search-30, ai-search-31, ai-search-32] filters keep tenants apart, also by the start of their folders, and say what they cannot do", async () => {
  const source = await world.bucket("tenants", {
    "customer-a/profile.md": "contract of a signed",
    "customer-a/contracts/x.md": "contract of a signed in may",
    "customer-a/Ünder/y.md": "contract of a signed in june",
    "customer-ab/profile.md": "contract of ab signed",
    "customer-b/contracts/x.md": "contract of b signed",
    "top.md": "contract signed",
  });
  const id = await world.instance("tenants", { type: "r2", source });
  const found = async (filters: object): Promise<string[]> => (await world.found(id, "contract signed", { filters })).sort();
  assert.deepEqual(await found({ type: "eq", key: "folder", value: "customer-a/" }), ["customer-a/profile.md"]);
  assert.deepEqual(await found({ type: "eq", key: "filename", value: "top.md" }), ["top.md"]);
  assert.deepEqual(
    await found({
      type: "and",
      filters: [
        { type: "gt", key: "folder", value: "customer-a//" },
        { type: "lte", key: "folder", value: "customer-a/z" },
      ],
    }),
    ["customer-a/contracts/x.md", "customer-a/profile.md", "customer-a/Ünder/y.md"].sort(),
  );
  const folders = ["customer-a/contracts/", "customer-b/contracts/"].map((value) => ({ type: "eq", key: "folder", value }));
  assert.deepEqual(await found({ type: "or", filters: folders }), ["customer-a/contracts/x.md", "customer-b/contracts/x.md"]);
  const time = (type: string, value: number | string) => found({ type, key: "timestamp", value });
  assert.equal((await time("gte", "1735689600000")).length, 6);
  assert.deepEqual(await time("lt", 1735689600000), []);
  assert.deepEqual(
    await found({ type: "ne", key: "folder", value: "" }),
    [
      "customer-a/contracts/x.md",
      "customer-a/profile.md",
      "customer-a/Ünder/y.md",
      "customer-ab/profile.md",
      "customer-b/contracts/x.md",
    ].sort(),
  );
  const refused = async (filters: object) => refusal(() => world.found(id, "contract", { filters }));
  assert.match(await refused({ type: "or", filters: [folders[0], { type: "eq", key: "filename", value: "x" }] }), /400.*same key/);
  assert.match(await refused({ type: "or", filters: [{ ...folders[0], type: "ne" }, folders[1]] }), /400.*only the operator/);
  assert.match(await refused({ type: "and", filters: [{ type: "or", filters: folders }] }), /400.*nested/);
  assert.match(await refused({ type: "eq", key: "folder') OR 1=1 --", value: "x" }), /400.*no attribute/);
});

test("[ai-search-33] the context that an object bears comes with its results and is told to the model", async () => {
  const source = await world.bucket("context");
  await world.put(source, "cat.md", "a picture of a cat", { context: 'Joe\'s cat is "Max".', url: "www.example.com/cat" });
  const id = await world.instance("context", { type: "r2", source });
  const { body } = await platform.rest("POST", `${rags}/${id}/ai-search`, { query: "picture of a cat" });
  assert.deepEqual(body.result.data[0].attributes.file, { context: 'Joe\'s cat is "Max".', url: "www.example.com/cat" });
  assert.match(body.result.response, /context="Joe's cat is &quot;Max&quot;\."/);
});

test("[ai-search-34] a like question is answered from the cache as its threshold says, until what it was answered from changes", async () => {
  const source = await world.bucket("kept", { "weather/a.md": "the weather today is fine", "private/b.md": "the weather today is secret" });
  const id = await world.instance("kept", { type: "r2", source, cache: true, cache_threshold: "flexible_friend" });
  const ask = async (query: string, more: object = {}) => {
    const response = await platform.fetch(`/client/v4${rags}/${id}/ai-search`, {
      method: "POST",
      headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
      body: JSON.stringify({ query, ...more }),
    });
    return {
      status: response.headers.get("cf-aig-cache-status"),
      body: (await response.json()) as { result: { response: string; data: unknown[] } },
    };
  };
  const first = await ask("What's the weather like today?");
  const alike = await ask("Tell me today's weather");
  assert.deepEqual([first.status, alike.status, alike.body.result.response], ["MISS", "HIT", first.body.result.response]);
  assert.equal((await ask("How do penguins swim?")).status, "MISS");
  // The same words under another filter are another question.
  const folder = { filters: { type: "eq", key: "folder", value: "private/" } };
  const secret = await ask("What's the weather like today?", folder);
  assert.deepEqual([secret.status, secret.body.result.data.length], ["MISS", 1]);
  await aiSearch.instances.update(id, { account_id, cache_threshold: "super_strict_match" });
  assert.equal((await ask("What's the weather like today?")).status, "MISS");
  assert.equal((await ask("What is the weather like today?")).status, "HIT");
  assert.equal((await ask("Tell me today's weather")).status, "MISS");
  await world.put(source, "weather/a.md", "the weather today is foul");
  await world.sync(id);
  const changed = await ask("What is the weather like today?");
  assert.equal(changed.status, "MISS");
  assert.match(changed.body.result.response, /foul/);
});

test("[ai-search-44] an account has so many instances; names, sources and fixed settings are checked", async () => {
  const body = (id: string, more: object = {}) => ({ account_id, id, ...more }) as never;
  for (const id of ["", "Upper", "-x", "x".repeat(33)]) assert.match(await refusal(() => aiSearch.instances.create(body(id))), /400/);
  assert.match(
    await refusal(() => aiSearch.instances.create(body("nowhere", { type: "r2", source: "no-such-bucket" }))),
    /bucket does not exist/,
  );
  assert.match(await refusal(() => aiSearch.instances.create(body("twenty"))), /409/);
  assert.match(await refusal(() => aiSearch.instances.update("twenty", { account_id, source: "other" })), /cannot be changed/);
  assert.match(
    await refusal(() => aiSearch.instances.update("twenty", { account_id, embedding_model: "@cf/baai/bge-large-en-v1.5" })),
    /cannot be changed/,
  );
  assert.match(
    await refusal(() => aiSearch.instances.update("twenty", { account_id, summarization: true })),
    /summarization.* is not implemented/,
  );
  const { result_info } = (await platform.rest("GET", `/accounts/${account_id}/ai-search/instances?per_page=1`)).body;
  for (let n = result_info?.total_count as number; n < 50; n++) await aiSearch.instances.create(body(`filler-${n}`));
  assert.match(await refusal(() => aiSearch.instances.create(body("one-too-many"))), /limit of 50/);
  await aiSearch.instances.delete("filler-49", { account_id });
  await assert.rejects(aiSearch.instances.read("filler-49", { account_id }), NotFoundError);
  await aiSearch.instances.create(body("fits-again"));
});

test("[ai-search-47] what was asked and found most is counted", async () => {
  const metrics = await platform.rest("GET", `/accounts/${account_id}/ai-search/instances/twenty/metrics`);
  const { queries, top_retrievals } = metrics.body.result;
  assert.ok(
    queries.some(
      ({ kind, queries: n, cached }: { kind: string; queries: number; cached: number }) => kind === "search" && n === 20 && cached === 0,
    ),
  );
  assert.equal(top_retrievals.length, 10);
  assert.ok(top_retrievals[0].count >= top_retrievals[9].count);
});

test("an instance reads its bucket with its service token's rights, and with nothing once that is revoked", async () => {
  const source = await world.bucket("guarded", { "a.md": "guarded narwhal" });
  const resource = (bucket: string) => ({ [`com.cloudflare.edge.r2.bucket.${account_id}_default_${bucket}`]: "*" });
  const narrow = await platform.token(["AI Search Index Engine"], resource("twenty"));
  const { id: token_id } = await aiSearch.tokens.create({ account_id, cf_api_id: narrow.id, cf_api_key: narrow.value, name: "narrow" });
  assert.match(
    await refusal(() => aiSearch.tokens.create({ account_id, cf_api_id: narrow.id, cf_api_key: "wrong", name: "wrong" })),
    /400/,
  );
  assert.match(await refusal(() => aiSearch.instances.create({ account_id, id: "stranger", type: "r2", source, token_id })), /401/);
  const { id: bare } = await platform
    .token(["Workers R2 Storage Read"])
    .then(({ id, value }) => aiSearch.tokens.create({ account_id, cf_api_id: id, cf_api_key: value, name: "bare" }));
  assert.match(await refusal(() => aiSearch.instances.create({ account_id, id: "stranger", type: "r2", source, token_id: bare })), /401/);
  const own = await platform.token(["AI Search Index Engine"], resource(source));
  const { id: ownId } = await aiSearch.tokens.create({ account_id, cf_api_id: own.id, cf_api_key: own.value, name: "own" });
  await aiSearch.instances.delete("fits-again", { account_id });
  const id = await world.instance("guarded", { type: "r2", source, token_id: ownId, cache: true });
  const answer = () => platform.rest("POST", `${rags}/${id}/ai-search`, { query: "guarded narwhal" });
  assert.equal((await answer()).status, 200);
  assert.deepEqual(await world.found(id, "guarded narwhal"), ["a.md"]);
  assert.match(await refusal(() => aiSearch.tokens.delete(ownId, { account_id })), /409/);
  await platform.rest("DELETE", `/accounts/${account_id}/tokens/${own.id}`);
  assert.match(await refusal(() => world.found(id, "guarded narwhal")), /401/);
  assert.equal((await answer()).status, 401, "the answer that was kept is not given either");
  await world.put(source, "b.md", "new narwhal");
  const job = await world.sync(id);
  assert.match((await aiSearch.instances.jobs.get(job, { account_id, id })).end_reason as string, /not valid any more/);
  // Who may only search does nothing else.
  const runner = await platform.token(["AI Search Run"]);
  assert.equal((await platform.rest("POST", `${rags}/twenty/search`, { query: "alpha" }, runner.value)).status, 200);
  assert.equal((await platform.rest("GET", `/accounts/${account_id}/ai-search/instances`, undefined, runner.value)).status, 403);
  assert.equal((await platform.rest("PATCH", `${rags}/twenty/sync`, undefined, runner.value)).status, 403);
});
