/** `wrangler pipelines setup` in a terminal, as the getting-started page leads through it, mistakes included. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { noPython } from "../../harness/python.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { keys, openTerminal, type Terminal } from "../../harness/terminal.ts";
import { pipelinesWorld } from "../pipelines-world.ts";

const platform = await startPlatform({ after });
const world = await pipelinesWorld(platform);
const cwd = await temporaryDirectory("freehold-setup-");

/** Answers prompts in their order: what is asked, and the keys that are typed. */
async function answer(terminal: Terminal, dialog: readonly (readonly [RegExp, string])[]): Promise<void> {
  for (const [asked, typed] of dialog) {
    await terminal.expect(asked);
    terminal.send(typed);
  }
}
const line = (text: string): string => `${text}${keys.enter}`;
/** The n-th choice of a list, from 0. */
const choice = (n: number): string => `${keys.down.repeat(n)}${keys.enter}`;
const again: readonly [RegExp, string] = [/Would you like to try again\?/, "y"];

async function find(kind: "streams" | "sinks" | "pipelines", name: string) {
  const { body } = await platform.rest("GET", `${world.base}/${kind}?name=${name}`);
  const found = (body.result as { id: string; name: string }[]).find((one) => one.name === name);
  assert.ok(found !== undefined, `${kind} has no ${name}`);
  return (await platform.rest("GET", `${world.base}/${kind}/${found.id}`)).body.result;
}

test("[pipelines-33] the simple wizard makes bucket, catalog, stream, sink and pipeline, and its curl command works", {
  skip: noPython,
}, async (t) => {
  const terminal = openTerminal(t, platform, ["wrangler", "pipelines", "setup", "--name", "ecommerce"], { cwd });
  await answer(terminal, [
    [/Enable HTTP endpoint/, "y"],
    [/Require authentication/, "n"],
    [/Configure custom CORS origins/, "n"],
    [/define the schema/, choice(0)],
    [/Name:/, keys.enter],
    [/Field name is required[\s\S]*Would you like to try again\?/, "y"],
    [/Name:/, line("user_id")],
    [/Type:/, choice(0)],
    [/Required\?/, "y"],
    [/Add field #2\?/, "y"],
    [/Name:/, line("event_type")],
    [/Type:/, choice(0)],
    [/Required\?/, "y"],
    [/Add field #3\?/, "y"],
    [/Name:/, line("amount")],
    [/Type:/, choice(4)],
    [/Required\?/, "n"],
    [/Add field #4\?/, "y"],
    [/Name:/, line("photo")],
    // "bytes" is what the wizard calls binary.
    [/Type:/, choice(8)],
    [/Required\?/, "n"],
    [/Add field #5\?/, "n"],
    [/Destination type:/, choice(1)],
    [/Setup mode:/, choice(0)],
    [/R2 bucket name/, line("No_Bucket")],
    [/The bucket name "No_Bucket" is invalid/, ""],
    again,
    [/R2 bucket name/, line("ecommerce-data")],
    [/Creating bucket "ecommerce-data"\.\.\. done[\s\S]*Enabling Basin Catalog\.\.\. done/, ""],
    [/Table name/, keys.enter],
    [/Table name is required/, ""],
    again,
    [/Table name/, line("ecommerce")],
    [/Catalog API token:/, line("not-a-token")],
    [/Validating token\.\.\. failed/, ""],
    again,
    [/Catalog API token:/, line(world.token.value)],
    [/Validating token\.\.\. done/, ""],
    [/Stream\s+ecommerce_stream[\s\S]*Sink\s+ecommerce_sink[\s\S]*Create resources\?/, "y"],
    [/Creating stream\.\.\. done[\s\S]*Creating sink\.\.\. done/, ""],
    [/Query:/, choice(0)],
    [/Validating\.\.\. done[\s\S]*Creating pipeline\.\.\. done/, ""],
  ]);
  const [shown] = await terminal.expect(/Setup complete[\s\S]*curl [\s\S]*\n\n/);
  assert.equal(await terminal.ended, 0);
  assert.match(shown, /env\.ECOMMERCE_STREAM\.send\(/);

  const stream = await find("streams", "ecommerce_stream");
  assert.deepEqual(
    stream.schema.fields.map(({ name, type, required }: { name: string; type: string; required: boolean }) => [name, type, required]),
    [
      ["user_id", "string", true],
      ["event_type", "string", true],
      ["amount", "float64", false],
      ["photo", "bytes", false],
    ],
  );
  const sink = await find("sinks", "ecommerce_sink");
  assert.deepEqual(
    [sink.type, sink.config.bucket, sink.config.namespace, sink.config.table_name],
    ["r2_data_catalog", "ecommerce-data", "default", "ecommerce"],
  );
  assert.match((await find("pipelines", "ecommerce")).sql, /^INSERT INTO ecommerce_sink SELECT \* FROM ecommerce_stream;$/);
  const catalog = await platform.rest("GET", `/accounts/${platform.ready.account_id}/r2-catalog/ecommerce-data`);
  assert.equal(catalog.body.result.status, "active");

  // Copied from the terminal as it stands there.
  const command = /^\s*(curl [\s\S]*?'\s*)$/m.exec(shown)?.[1] ?? "";
  assert.ok(command.includes(stream.endpoint), shown);
  const { stdout } = await platform.exec("sh", ["-c", command]);
  assert.match(stdout, /\{"success":true,"result":\{"committed":1\}\}/);
});

test("[pipelines-33] the advanced wizard asks for every option, and asks again after a mistake", { skip: noPython }, async (t) => {
  const terminal = openTerminal(t, platform, ["wrangler", "basin", "pipelines", "setup"], { cwd });
  await answer(terminal, [
    [/name your pipeline\?/, line("my-shop")],
    [/contain only letters, numbers, and underscores/, ""],
    again,
    [/name your pipeline\?/, line("shop")],
    [/Enable HTTP endpoint/, "y"],
    [/Require authentication/, "y"],
    [/Configure custom CORS origins/, "y"],
    [/CORS origins \(comma-separated/, line("https://a.example, https://b.example")],
    [/define the schema/, choice(2)],
    [/Destination type:/, choice(0)],
    [/Setup mode:/, choice(1)],
    [/R2 bucket name/, line("shop-data")],
    [/Creating bucket "shop-data"\.\.\. done/, ""],
    [/base prefix in your bucket/, line("raw")],
    [/Time partition pattern/, line("year=%Y/hour=%H")],
    [/Output format:/, choice(1)],
    [/Compression:/, choice(1)],
    [/Roll file when size reaches/, line("2")],
    [/File size must be a number >= 5/, ""],
    again,
    [/Roll file when size reaches/, line("5")],
    [/Roll file when time reaches \(seconds, minimum 10\)/, line("1")],
    [/Interval must be a number >= 10/, ""],
    again,
    [/Roll file when time reaches/, line("10")],
    [/Automatically generate credentials/, "n"],
    [/R2 Access Key ID:/, line(world.token.s3.accessKeyId)],
    [/R2 Secret Access Key:/, line("0".repeat(64))],
    [/Validating credentials\.\.\. failed/, ""],
    again,
    [/R2 Access Key ID:/, line(world.token.s3.accessKeyId)],
    [/R2 Secret Access Key:/, line(world.token.s3.secretAccessKey)],
    [/Validating credentials\.\.\. done/, ""],
    [/HTTP enabled \(auth required\), unstructured[\s\S]*R2 → shop-data, json \+ gzip[\s\S]*Create resources\?/, "y"],
    [/Creating stream\.\.\. done[\s\S]*Creating sink\.\.\. done/, ""],
    [/Query:/, choice(1)],
    [/SQL>/, line("INSERT INTO shop_sink SELECT nope FROM shop_stream")],
    [/\.\.\.>/, keys.enter],
    [/Validating\.\.\. failed[\s\S]*No field named nope[\s\S]*Retry with different SQL\?/, "y"],
    [/Query:/, choice(1)],
    [/SQL>/, line("INSERT INTO shop_sink")],
    [/\.\.\.>/, line("SELECT value FROM shop_stream")],
    [/\.\.\.>/, keys.enter],
    [/Validating\.\.\. done[\s\S]*Creating pipeline\.\.\. done[\s\S]*Setup complete/, ""],
  ]);
  assert.equal(await terminal.ended, 0);
  assert.match(terminal.text(), /Authorization: Bearer/);

  const stream = await find("streams", "shop_stream");
  assert.deepEqual(stream.http, { enabled: true, authentication: true, cors: { origins: ["https://a.example", "https://b.example"] } });
  const { type, format, config } = await find("sinks", "shop_sink");
  assert.deepEqual(
    [type, format, config],
    [
      "r2",
      { type: "json", compression: "gzip" },
      {
        account_id: platform.ready.account_id,
        bucket: "shop-data",
        path: "raw",
        partitioning: { time_pattern: "year=%Y/hour=%H" },
        rolling_policy: { file_size_bytes: 5 * 1024 * 1024, interval_seconds: 10 },
      },
    ],
  );
  assert.equal((await find("pipelines", "shop")).sql, "INSERT INTO shop_sink SELECT value FROM shop_stream");
});
