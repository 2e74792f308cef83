/** The functions of Pipelines SQL: pipelines made by the `cloudflare` SDK, events by HTTP, rows read back from the bucket by S3. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { type Example, exampleEvent, exampleFields, examples, jsonExamples } from "../pipelines-examples.ts";
import { eventually, pipelinesWorld } from "../pipelines-world.ts";

const platform = await startPlatform({ after });
const world = await pipelinesWorld(platform);
const client = platform.sdk();
const account_id = platform.ready.account_id;
const stream = await world.stream("examples", exampleFields);
const bucket = await world.bucket("pipelines-sql");

/** A pipeline whose row has one column for each expression. */
async function pipeline(name: string, list: readonly Example[]): Promise<void> {
  await world.r2Sink(`${name}_sink`, bucket, { path: name }, { type: "json" });
  const select = list.map(([expression], i) => `${expression} AS e${i}`).join(",\n  ");
  await client.pipelines.createV1({ account_id, name, sql: `INSERT INTO ${name}_sink SELECT\n  ${select}\nFROM examples;` });
}

/** The only row of the pipeline's sink; integers that a number cannot hold as text. */
async function row(name: string): Promise<Record<string, unknown>> {
  return eventually(`a row of ${name}`, async () => {
    const [key, ...more] = (await world.keys(bucket)).filter((one) => one.startsWith(`${name}/`));
    assert.ok(key !== undefined && more.length === 0);
    const text = (await world.object(bucket, key)).toString();
    return JSON.parse(text, ((_key: string, value: unknown, { source }: { source: string }) =>
      Number.isInteger(value) && !Number.isSafeInteger(value) ? source : value) as never) as Record<string, unknown>;
  });
}

function compare(found: Record<string, unknown>, list: readonly Example[]): void {
  for (const [i, [expression, expected]] of list.entries()) assert.deepEqual(found[`e${i}`], expected, expression);
}

const operators: readonly Example[] = jsonExamples.filter(([expression]) => /->|\?/.test(expression));
for (const [group, list] of Object.entries(examples)) await pipeline(group, list);
await pipeline("json_values", jsonExamples);
await world.ingest(stream.endpoint, [exampleEvent]);

test("[pipelines-20] every documented example of every group of scalar functions arrives in the sink as documented", async () => {
  assert.deepEqual(Object.keys(examples).length, 12);
  for (const [group, list] of Object.entries(examples)) compare(await row(group), list);
});

test("[pipelines-21] the JSON operators ->, ->> and ? and the JSON functions give the documented results and defaults", async () => {
  assert.ok(operators.length > 15);
  compare(await row("json"), examples.json as readonly Example[]);
  compare(await row("json_values"), jsonExamples);
});

test("SQL that cannot run is refused by name and changes nothing", async () => {
  const create = (sql: string) => client.pipelines.createV1({ account_id, name: "refused", sql });
  const sink = "INSERT INTO json_sink SELECT";
  for (const [sql, pattern] of [
    [`${sink} no_such_function(word) AS a FROM examples`, /Invalid function 'no_such_function'/],
    [`${sink} regexp_like(word, '(a+)+(?=b)') AS a FROM examples`, /look-ahead/],
    [`${sink} ${"abs(".repeat(1000)}id${")".repeat(1000)} AS a FROM examples`, /nested too deeply|parser error/],
    [`${sink} '${"x".repeat(1_000_000)}' AS a FROM examples`, /longer than 100000 characters|too large/i],
    [`${sink} read_text('/etc/passwd') AS a FROM examples`, /Invalid function 'read_text'/],
  ] as const)
    await assert.rejects(create(sql), (error: Error & { status?: number }) => {
      assert.ok(error.status !== undefined && error.status >= 400 && error.status < 500, String(error));
      assert.match(error.message, pattern);
      return true;
    });
  const names: string[] = [];
  for await (const one of client.pipelines.listV1({ account_id })) names.push(one.name as string);
  assert.ok(!names.includes("refused"));
});

test("a pattern that would take other engines for ever is matched at once", async () => {
  await world.r2Sink("hostile_sink", bucket, { path: "hostile" }, { type: "json" });
  const sql = "INSERT INTO hostile_sink SELECT regexp_like(word, '^(a|a|aa)+$') AS matches, id FROM examples WHERE id < 0";
  await client.pipelines.createV1({ account_id, name: "hostile", sql });
  await world.ingest(stream.endpoint, [{ ...exampleEvent, id: -1, word: `${"a".repeat(500_000)}b` }]);
  assert.deepEqual(await row("hostile"), { matches: false, id: -1 });
});
