/**
 * Legacy pipelines by the two wranglers that know them: 4.36.0, the last that creates them, and the current one, which
 * lists, shows, changes and deletes them.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync, inflateSync } from "node:zlib";
import { wrangler436 } from "../../harness/npm-client.ts";
import { type RunOptions, startPlatform } from "../../harness/platform.ts";
import { noCurl } from "../../harness/programs.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { deployWorker } from "../../harness/worker-project.ts";
import { askAnalytics } from "../analytics.ts";
import { eventually, pipelinesWorld } from "../pipelines-world.ts";

/** Bytes a second. */
const SHARD_RATE = 500_000;
const platform = await startPlatform({ after }, { config: { "pipelines.shard_rate_max_bytes_per_s": SHARD_RATE } });
const world = await pipelinesWorld(platform);
const dir = await temporaryDirectory("freehold-wrangler-legacy-");

const old = (args: readonly string[], options: RunOptions = {}) => wrangler436(platform, ["pipelines", ...args], { cwd: dir, ...options });
const current = (args: readonly string[], options: RunOptions = {}) => platform.wrangler(["pipelines", ...args], { cwd: dir, ...options });
const keys = (s3 = world.token.s3) => ["--r2-access-key-id", s3.accessKeyId, "--r2-secret-access-key", s3.secretAccessKey];

interface Legacy {
  readonly id: string;
  readonly endpoint: string;
  readonly [member: string]: unknown;
}

const account = `/accounts/${platform.ready.account_id}`;
const get = async (name: string): Promise<Legacy> => (await platform.rest("GET", `${account}/pipelines/${name}`)).body.result as Legacy;

/** Creates by wrangler 4.36.0 with key flags. */
async function create(name: string, bucket: string, flags: readonly string[] = []): Promise<Legacy> {
  await old(["create", name, "--r2-bucket", bucket, ...keys(), ...flags]);
  return get(name);
}

interface Output {
  readonly key: string;
  /** As they lie in the file. */
  readonly lines: string[];
  readonly bytes: number;
}

/** Every file of the bucket, decompressed as its extension says. */
async function outputs(bucket: string): Promise<Output[]> {
  return Promise.all(
    (await world.keys(bucket)).map(async (key) => {
      const stored = await world.object(bucket, key);
      const content = key.endsWith(".gz") ? gunzipSync(stored) : key.endsWith(".deflate") ? inflateSync(stored) : stored;
      const text = content.toString();
      assert.ok(text.endsWith("\n"), `${key} ends in the middle of a line`);
      return { key, lines: text.slice(0, -1).split("\n"), bytes: content.length };
    }),
  );
}

async function filesOf(bucket: string, lines: number): Promise<Output[]> {
  return eventually(`${lines} lines in ${bucket}`, async () => {
    const found = await outputs(bucket);
    assert.equal(
      found.reduce((sum, file) => sum + file.lines.length, 0),
      lines,
    );
    return found;
  });
}

const ULID = "[0-7][0-9A-HJKMNP-TV-Z]{25}";

test("[pipelines-42] wrangler 4.36.0 creates with key flags and prints endpoint, sources and batch hints", async () => {
  const bucket = await world.bucket("legacy-create");
  const { stdout } = await old(["create", "my-clickstream-pipeline", "--r2-bucket", bucket, ...keys()]);
  const id = /Successfully created pipeline "my-clickstream-pipeline" with ID ([0-9a-f]{32})/.exec(stdout)?.[1];
  const endpoint = `http://${id}.pipelines.freehold.localhost:${new URL(platform.ready.gateway).port}/`;
  for (const line of [
    /Sources:\n\s+HTTP:\n/,
    new RegExp(`Endpoint:\\s+${endpoint}`),
    /Authentication:\s+off/,
    /Worker:\n\s+Format:\s+JSON/,
    /Type:\s+R2/,
    /Bucket:\s+legacy-create/,
    /Compression:\s+GZIP/,
    /Max bytes:\s+100 MB/,
    /Max duration:\s+300 seconds/,
    /Max records:\s+10,000,000/,
    new RegExp(`curl "${endpoint}" -d '\\[{"foo": "bar"}\\]'`),
  ])
    assert.match(stdout, line);
  assert.match((await old(["get", "my-clickstream-pipeline"])).stdout, new RegExp(`Endpoint:\\s+${endpoint}`));
  assert.match((await old(["list"])).stdout, new RegExp(`my-clickstream-pipeline\\s*│ ${id}\\s*│ ${endpoint}`));

  // What the client itself cannot know.
  const refused = async (args: readonly string[]): Promise<string> => {
    const { stdout, stderr } = await old(args, { code: 1 });
    return stdout + stderr;
  };
  const taken = await refused(["create", "my-clickstream-pipeline", "--r2-bucket", bucket, ...keys()]);
  assert.match(taken, /A pipeline named "my-clickstream-pipeline" already exists/);
  const wrong = { ...world.token.s3, secretAccessKey: "0".repeat(64) };
  assert.match(
    await refused(["create", "wrong-key", "--r2-bucket", bucket, ...keys(wrong)]),
    /access key is unknown, revoked, or its secret is wrong/,
  );
  assert.deepEqual((await platform.rest("GET", `${account}/pipelines`)).body.result.length, 1);
});

test("[pipelines-43] events come out as gzip NDJSON at event_date=/hr=/, through curl and the real host name too", {
  skip: noCurl,
}, async () => {
  const bucket = await world.bucket("legacy-ingest");
  const { id, endpoint } = await create("ingest", bucket, ["--batch-max-seconds", "1", "--shard-count", "1"]);
  const events = [
    '{"event":"viewedCart","timestamp":"2025-04-03T15:42:30Z"}',
    '{"event":"cartAbandoned","n":12345678901234567890,"text":"\\u00e9\\n","nested":{"a":[1,{"b":null}]}}',
    '{ "spaced" : 1 }',
  ];
  const sent = await platform.exec("curl", ["-sS", `https://${id}.pipelines.cloudflare.com/`, "-d", `[${events.join(", ")}]`]);
  assert.deepEqual(JSON.parse(sent.stdout), { success: true, result: { committed: 3 } });
  assert.equal((await world.send(endpoint, '[{"by":"fetch"}]')).status, 200);
  const files = await filesOf(bucket, 4);
  for (const { key } of files) assert.match(key, new RegExp(`^event_date=\\d{4}-\\d\\d-\\d\\d/hr=\\d\\d/${ULID}\\.json\\.gz$`));
  const now = new Date().toISOString();
  assert.ok(files.some(({ key }) => key.startsWith(`event_date=${now.slice(0, 10)}/`) || now.slice(11, 13) === "00"));
  assert.deepEqual(files.flatMap((file) => file.lines).sort(), [...events, '{"by":"fetch"}'].sort());
  // Only arrays of objects are taken, and nothing of another body is kept.
  for (const body of ['{"a":1}', "[1]", '[{"a":1}, "b"]', "[{", ""]) {
    const { status, body: answer } = await world.send(endpoint, body);
    assert.deepEqual([status, (answer as { success: boolean }).success], [400, false], body);
  }
  assert.equal((await world.send(endpoint, `[{"a":"${"x".repeat(1_000_000)}"}]`)).status, 413);
  assert.equal((await platform.fetch(endpoint)).status, 405);
  assert.equal((await world.send(platform.host("pipelines", { pipeline: "0".repeat(32) }), "[]")).status, 404);
});

test("[pipelines-44] each batch hint triggers first", async () => {
  const names = ["seconds", "rows", "megabytes"] as const;
  const hints = { seconds: ["--batch-max-seconds", "2"], rows: ["--batch-max-rows", "100"], megabytes: ["--batch-max-mb", "1"] };
  const made = Object.fromEntries(
    await Promise.all(
      names.map(async (name) => {
        const bucket = await world.bucket(`legacy-${name}`);
        return [name, { bucket, ...(await create(`hint-${name}`, bucket, ["--shard-count", "1", ...hints[name]])) }] as const;
      }),
    ),
  ) as Record<(typeof names)[number], Legacy & { bucket: string }>;
  const endpoint = (name: keyof typeof hints): string => made[name].endpoint;

  // Few and small: only the age can have closed the file.
  await world.ingest(endpoint("seconds"), [{ n: 1 }, { n: 2 }, { n: 3 }]);
  // 25 requests of 10 events: two files of 100, and 50 events that wait for the 300 seconds.
  for (let i = 0; i < 25; i++)
    await world.ingest(
      endpoint("rows"),
      Array.from({ length: 10 }, (_, k) => ({ n: i * 10 + k })),
    );
  // 2.4 MB in bodies of 0.4 MB: a file is closed by the body that makes it reach 1 MB.
  for (let i = 0; i < 6; i++) {
    const taken = async (): Promise<void> =>
      assert.equal((await world.send(endpoint("megabytes"), [{ i, text: "x".repeat(400_000) }])).status, 200);
    await eventually("the shard's rate", taken);
  }
  assert.equal((await filesOf(made.seconds.bucket, 3)).length, 1);
  assert.deepEqual(
    (await filesOf(made.rows.bucket, 200)).map((file) => file.lines.length),
    [100, 100],
  );
  assert.deepEqual(
    (await filesOf(made.megabytes.bucket, 6)).map((file) => file.lines.length),
    [3, 3],
  );
});

test("[pipelines-45] compression none, gzip and deflate, and a prefix", async () => {
  const bucket = await world.bucket("legacy-compression");
  const types = { none: "json", gzip: "json.gz", deflate: "json.deflate" };
  const flags = ["--batch-max-seconds", "1", "--shard-count", "1"];
  for (const type of Object.keys(types)) {
    // What the client sends by itself.
    const choice = type === "gzip" ? [] : ["--compression", type];
    const { endpoint } = await create(`compress-${type}`, bucket, [...flags, ...choice, "--r2-prefix", `test/${type}`]);
    await world.ingest(endpoint, [{ type }, { type, more: "é".repeat(1000) }]);
  }
  const files = await filesOf(bucket, 6);
  for (const [type, extension] of Object.entries(types)) {
    const file = files.find(({ key }) => key.startsWith(`test/${type}/`));
    assert.match(String(file?.key), new RegExp(`^test/${type}/event_date=\\d{4}-\\d\\d-\\d\\d/hr=\\d\\d/${ULID}\\.${extension}$`));
    assert.deepEqual(
      file?.lines.map((line) => (JSON.parse(line) as { type: string }).type),
      [type, type],
    );
    const head = (await world.object(bucket, String(file?.key))).subarray(0, 2);
    assert.equal(head.toString("hex"), { none: "7b22", gzip: "1f8b", deflate: "785e" }[type]);
  }
});

test("[pipelines-46] --shard-count 10 makes ten files an interval, and takes ten shards' worth of events", async () => {
  const taken = async (shards: number): Promise<number> => {
    const bucket = await world.bucket(`legacy-shards-${shards}`);
    const { endpoint } = await create(`shards-${shards}`, bucket, ["--batch-max-seconds", "15", "--shard-count", String(shards)]);
    // Nine times what one shard takes in a second, nine tenths of what ten do.
    const body = JSON.stringify([{ text: "x".repeat(0.9 * SHARD_RATE) }]);
    const answers = await Promise.all(Array.from({ length: 10 }, () => world.send(endpoint, body)));
    const statuses = answers.map(({ status }) => status);
    assert.deepEqual([...new Set(statuses)].sort(), shards === 1 ? [200, 429] : [200], String(statuses));
    const events = statuses.filter((status) => status === 200).length;
    assert.equal((await filesOf(bucket, events)).length, shards);
    return events;
  };
  const [one, ten] = await Promise.all([taken(1), taken(10)]);
  assert.ok(one < 10, `one shard took ${one}`);
  assert.equal(ten, 10);
});

test("[pipelines-47] a pipeline with --source worker refuses HTTP, one with --source http refuses Workers", async () => {
  const bucket = await world.bucket("legacy-sources");
  const flags = ["--batch-max-seconds", "1", "--source"];
  const worker = await create("worker-only", bucket, [...flags, "worker"]);
  const http = await create("http-only", bucket, [...flags, "http"]);
  const refused = await world.send(worker.endpoint, [{ n: 1 }]);
  assert.equal(refused.status, 403);
  assert.match(JSON.stringify(refused.body), /HTTP ingestion is not enabled for this pipeline/);
  const { url } = await deployWorker(platform, {
    files: {
      "index.js": `export default { async fetch(request, env) {
        const { binding, records } = await request.json();
        try { await env[binding].send(records); return Response.json("sent"); } catch (error) { return Response.json(error.message); }
      } };`,
    },
    config: {
      name: "legacy-sources",
      pipelines: [
        { binding: "WORKER", pipeline: "worker-only" },
        { binding: "HTTP", pipeline: "http-only" },
      ],
    },
  });
  const send = async (binding: string): Promise<unknown> =>
    (await platform.fetch(url, { method: "POST", body: JSON.stringify({ binding, records: [{ binding }] }) })).json();
  assert.equal(await send("WORKER"), "sent");
  assert.match(String(await send("HTTP")), /The Worker binding is not enabled for this pipeline/);
  assert.deepEqual(
    (await filesOf(bucket, 1)).flatMap((file) => file.lines),
    ['{"binding":"WORKER"}'],
  );
  await world.ingest(http.endpoint, [{ n: 1 }]);
});

test("[pipelines-48] updates in the middle of a stream lose nothing, by both wranglers", async () => {
  const [before, behind] = [await world.bucket("legacy-before"), await world.bucket("legacy-behind")];
  const { id, endpoint } = await create("updated", before, ["--batch-max-seconds", "300"]);
  const acknowledged: number[] = [];
  let [next, sending] = [0, true];
  const sender = async (): Promise<void> => {
    while (sending) {
      const events = Array.from({ length: 10 }, () => ({ n: next++ }));
      await world.ingest(endpoint, events);
      acknowledged.push(...events.map(({ n }) => n));
      // Leaves wrangler some of the machine.
      await sleep(5);
    }
  };
  const senders = [sender(), sender(), sender()];
  await current(["update", "updated", "--r2-bucket", behind, ...keys(), "--compression", "none", "--r2-prefix", "moved"]);
  await old(["update", "updated", "--batch-max-seconds", "1", "--shard-count", "3"]);
  sending = false;
  await Promise.all(senders);
  const changed = await get("updated");
  assert.deepEqual([changed.id, changed.endpoint, changed.version], [id, endpoint, 3]);
  assert.deepEqual(changed.metadata, { shards: 3 });
  await eventually("every acknowledged event", async () => {
    const files = [...(await outputs(before)), ...(await outputs(behind))];
    const found = new Set(files.flatMap((file) => file.lines.map((line) => (JSON.parse(line) as { n: number }).n)));
    const missing = acknowledged.filter((n) => !found.has(n));
    assert.deepEqual(missing.slice(0, 10), [], `${missing.length} events are missing`);
  });
  // The first version delivered what it had taken to its own sink, though its batch was not full.
  assert.ok((await world.keys(before)).every((key) => key.endsWith(".json.gz")));
  assert.ok((await world.keys(before)).length > 0);
  assert.ok((await world.keys(behind)).every((key) => /^moved\/event_date=.*\.json$/.test(key)));
});

test("[pipelines-49] a Worker binds a pipeline by name; GraphQL counts; wrangler labels it Legacy, shows and deletes it", async () => {
  const bucket = await world.bucket("legacy-binding");
  const { id, endpoint } = await create("my-pipeline-name", bucket, ["--batch-max-seconds", "1"]);
  const { url } = await deployWorker(platform, {
    files: {
      "index.js":
        "export default { async fetch(request, env) { await env.PIPELINE.send([{ url: request.url }]); return new Response(); } };",
    },
    config: { name: "legacy-binding", pipelines: [{ binding: "PIPELINE", pipeline: "my-pipeline-name" }] },
  });
  assert.equal((await platform.fetch(`${url}/visited`)).status, 200);
  const [file] = await filesOf(bucket, 1);
  assert.match(file?.lines[0] ?? "", /\/visited"/);

  // The queries of the older documentation; the sums are those of what was sent and of the file's size.
  const window = {
    datetimeStart: new Date(Date.now() - 3_600_000).toISOString(),
    datetimeEnd: new Date(Date.now() + 60_000).toISOString(),
  };
  const figures = async (dataset: string, fields: string): Promise<unknown> => {
    const query = `query Figures($accountTag: string!, $pipelineId: string!, $datetimeStart: Time!, $datetimeEnd: Time!) {
      viewer { accounts(filter: { accountTag: $accountTag }) {
        ${dataset}(limit: 10000, filter: { pipelineId: $pipelineId, datetime_geq: $datetimeStart, datetime_leq: $datetimeEnd }) { ${fields} }
      } }
    }`;
    const variables = { accountTag: platform.ready.account_id, pipelineId: id, ...window };
    const { data, errors } = await askAnalytics(platform, query, variables);
    assert.equal(errors, null);
    return data?.viewer.accounts[0]?.[dataset];
  };
  assert.deepEqual(await figures("pipelinesIngestionAdaptiveGroups", "count sum { ingestedBytes ingestedRecords }"), [
    // The brackets of the array go to no file, the newline was in no request.
    { count: 1, sum: { ingestedBytes: Number(file?.bytes) + 1, ingestedRecords: 1 } },
  ]);
  const stored = (await world.object(bucket, String(file?.key))).length;
  // Counted when the position moves, which is after the file can be seen.
  await eventually("the delivery", async () =>
    assert.deepEqual(await figures("pipelinesDeliveryAdaptiveGroups", "count sum { deliveredBytes }"), [
      { count: 1, sum: { deliveredBytes: stored } },
    ]),
  );

  assert.match((await current(["list"])).stdout, new RegExp(`│ my-pipeline-name\\s*│ ${id}\\s*│ N/A\\s*│ N/A\\s*│ N/A\\s*│ Legacy`));
  const shown = await current(["get", "my-pipeline-name"]);
  assert.match(shown.stderr + shown.stdout, /This is a legacy pipeline/);
  assert.match(shown.stdout, new RegExp(`Endpoint:\\s+${endpoint}`));
  assert.match((await current(["delete", "my-pipeline-name", "-y"])).stdout, /Successfully deleted legacy pipeline 'my-pipeline-name'/);
  assert.match((await current(["get", "my-pipeline-name"], { code: 1 })).stderr, /Pipeline "my-pipeline-name" not found/);
  assert.equal((await world.send(endpoint, "[]")).status, 404);
  assert.equal((await platform.fetch(url)).status, 500);
});
