/** R2 by wrangler, against the platform as the remote. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { startPlatform } from "../../harness/platform.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";

const platform = await startPlatform({ after });
const dir = await temporaryDirectory("freehold-wrangler-r2-");

const base = `/accounts/${platform.ready.account_id}/r2/buckets`;

/** What has run and ended with 0. */
const ran: string[] = [];

/** Runs `wrangler r2 …`; the text that it printed. */
async function r2(args: string, code = 0, input?: string): Promise<string> {
  const { stdout, stderr } = await platform.wrangler(["r2", ...args.split(" ")], { cwd: dir, code, ...(input !== undefined && { input }) });
  if (code === 0) ran.push(args);
  return stdout + stderr;
}

const newBucket = async (name: string): Promise<string> => {
  assert.equal((await platform.rest("POST", base, { name })).status, 200);
  return name;
};

test("[r2-49] buckets are created, listed, described, changed and deleted", async () => {
  await r2("bucket create wrangler-life --location weur --storage-class Standard");
  assert.match(await r2("bucket create wrangler-life", 1), /already exists.*\[code: 10073\]/s);
  assert.match(await r2("bucket list"), /name:\s+wrangler-life\ncreation_date:\s+20/);
  const info = await r2("bucket info wrangler-life");
  assert.match(info, /location:\s+weur/);
  assert.match(info, /default_storage_class:\s+Standard/);
  await r2("bucket update storage-class wrangler-life --storage-class InfrequentAccess");
  assert.equal(
    JSON.parse((await platform.wrangler(["r2", "bucket", "info", "wrangler-life", "--json"])).stdout).default_storage_class,
    "InfrequentAccess",
  );
  await writeFile(join(dir, "three.txt"), "123");
  await r2("object put wrangler-life/three --remote --file three.txt");
  const counted = JSON.parse((await platform.wrangler(["r2", "bucket", "info", "wrangler-life", "--json"])).stdout);
  assert.deepEqual([counted.object_count, counted.bucket_size], ["1", "3 B"]);
  await r2("object delete wrangler-life/three --remote");
  await r2("bucket delete wrangler-life");
  assert.match(await r2("bucket info wrangler-life", 1), /The specified bucket does not exist\. \[code: 10006\]/);
});

test("objects are put, read and deleted, singly and in bulk", async () => {
  const bucket = await newBucket("wrangler-objects");
  const data = randomBytes(200_000);
  await writeFile(join(dir, "in.bin"), data);
  await r2(
    `object put ${bucket}/dir/a.bin --remote --file in.bin --content-type image/x-test --cache-control no-store --storage-class InfrequentAccess`,
  );
  await r2(`object get ${bucket}/dir/a.bin --remote --file out.bin`);
  assert.ok(data.equals(await readFile(join(dir, "out.bin"))));
  await r2(`object put ${bucket}/piped --remote --pipe`, 0, "by standard input");
  assert.match(await r2(`object get ${bucket}/piped --remote --pipe`), /by standard input/);

  const { body } = await platform.rest("GET", `${base}/${bucket}/objects`);
  const [first] = body.result as { key: string; http_metadata: object; storage_class: string }[];
  assert.deepEqual(
    [first?.key, first?.http_metadata, first?.storage_class],
    ["dir/a.bin", { contentType: "image/x-test", cacheControl: "no-store" }, "InfrequentAccess"],
  );

  await writeFile(join(dir, "bulk.json"), JSON.stringify([1, 2, 3].map((i) => ({ key: `bulk/${i}`, file: join(dir, "in.bin") }))));
  await r2(`bulk put ${bucket} --remote --filename bulk.json`);
  const bulk = await platform.rest("GET", `${base}/${bucket}/objects?prefix=bulk/`);
  assert.deepEqual(
    (bulk.body.result as { key: string; size: number }[]).map(({ key, size }) => [key, size]),
    [1, 2, 3].map((i) => [`bulk/${i}`, data.length]),
  );
  await r2(`object delete ${bucket}/piped --remote`);
  assert.match(await r2(`object get ${bucket}/piped --remote --pipe`, 1), /The specified key does not exist/);
  assert.match(await r2(`bucket delete ${bucket}`, 1), /The bucket you tried to delete \(wrangler-objects\) is not empty/);
});

test("CORS, lifecycle and lock rules are set, listed and removed", async () => {
  const bucket = await newBucket("wrangler-rules");
  const cors = { rules: [{ allowed: { origins: ["https://example.com"], methods: ["GET", "PUT"], headers: ["*"] }, maxAgeSeconds: 60 }] };
  await writeFile(join(dir, "cors.json"), JSON.stringify(cors));
  assert.match(await r2(`bucket cors list ${bucket}`), /There is no CORS configuration/);
  await r2(`bucket cors set ${bucket} --file cors.json --force`);
  assert.match(await r2(`bucket cors list ${bucket}`), /allowed_origins:\s+https:\/\/example\.com\nallowed_methods:\s+GET, PUT/);
  await r2(`bucket cors delete ${bucket} --force`);
  assert.match(await r2(`bucket cors list ${bucket}`), /There is no CORS configuration/);

  assert.match(await r2(`bucket lifecycle list ${bucket}`), /Default Multipart Abort Rule/);
  await r2(`bucket lifecycle add ${bucket} expire-logs logs/ --expire-days 30 --force`);
  assert.match(
    await r2(`bucket lifecycle list ${bucket}`),
    /name:\s+expire-logs\n.*\nprefix:\s+logs\/\naction:\s+Expire objects after 30 days/,
  );
  await r2(`bucket lifecycle remove ${bucket} --name expire-logs`);
  const lifecycle = {
    rules: [{ id: "all", enabled: true, conditions: {}, abortMultipartUploadsTransition: { condition: { type: "Age", maxAge: 86400 } } }],
  };
  await writeFile(join(dir, "lifecycle.json"), JSON.stringify(lifecycle));
  await r2(`bucket lifecycle set ${bucket} --file lifecycle.json --force`);
  const rules = await r2(`bucket lifecycle list ${bucket}`);
  assert.match(rules, /name:\s+all/);
  assert.doesNotMatch(rules, /expire-logs|Default/);

  await r2(`bucket lock add ${bucket} keep-logs logs/ --retention-days 7 --force`);
  assert.match(await r2(`bucket lock list ${bucket}`), /name:\s+keep-logs\nenabled:\s+Yes\nprefix:\s+logs\/\ncondition:\s+after 7 days/);
  await r2(`bucket lock remove ${bucket} --name keep-logs`);
  await writeFile(join(dir, "lock.json"), JSON.stringify({ rules: [{ id: "x", enabled: true, condition: { type: "Indefinite" } }] }));
  await r2(`bucket lock set ${bucket} --file lock.json --force`);
  assert.match(await r2(`bucket lock list ${bucket}`), /name:\s+x\n.*\n.*\ncondition:\s+indefinitely/);
});

test("[r2-44] development URL, custom domains and local uploads are turned on, shown and off", async () => {
  const bucket = await newBucket("wrangler-access");
  assert.match(await r2(`bucket dev-url get ${bucket}`), /is disabled/);
  assert.match(await r2(`bucket dev-url enable ${bucket} --force`), /Public access enabled at/);
  assert.match(await r2(`bucket dev-url get ${bucket}`), /Public access is enabled at/);
  await r2(`bucket dev-url disable ${bucket} --force`);
  assert.match(await r2(`bucket dev-url get ${bucket}`), /is disabled/);

  const zone = "0".repeat(32);
  await r2(`bucket domain add ${bucket} --domain files.example.com --zone-id ${zone} --min-tls 1.2 --force`);
  assert.match(await r2(`bucket domain list ${bucket}`), /domain:\s+files\.example\.com\nenabled:\s+Yes\nownership_status:\s+active/);
  assert.match(await r2(`bucket domain get ${bucket} --domain files.example.com`), /min_tls_version:\s+1\.2/);
  await r2(`bucket domain update ${bucket} --domain files.example.com --min-tls 1.1`);
  assert.match(await r2(`bucket domain get ${bucket} --domain files.example.com`), /min_tls_version:\s+1\.1/);
  await r2(`bucket domain remove ${bucket} --domain files.example.com --force`);
  assert.doesNotMatch(await r2(`bucket domain list ${bucket}`), /files\.example\.com/);

  assert.match(await r2(`bucket local-uploads get ${bucket}`), /disabled/);
  await r2(`bucket local-uploads enable ${bucket} --force`);
  assert.match(await r2(`bucket local-uploads get ${bucket}`), /enabled/);
  await r2(`bucket local-uploads disable ${bucket} --force`);
  assert.match(await r2(`bucket local-uploads get ${bucket}`), /disabled/);
});

test("event notifications and Sippy are set up, shown and ended", async () => {
  const bucket = await newBucket("wrangler-events");
  await platform.rest("POST", `/accounts/${platform.ready.account_id}/queues`, { queue_name: "wrangler-events" });
  await r2(`bucket notification create ${bucket} --event-types object-create object-delete --queue wrangler-events --prefix in/`);
  for (const list of ["list", "get"])
    assert.match(
      await r2(`bucket notification ${list} ${bucket}`),
      /queue_name: +wrangler-events\nprefix: +in\/\nsuffix: +\(all suffixes\)/,
    );
  await r2(`bucket notification delete ${bucket} --queue wrangler-events`);

  const { access_key_id, secret_access_key } = platform.ready.s3;
  const destination = `--r2-access-key-id ${access_key_id} --r2-secret-access-key ${secret_access_key}`;
  const aws = "--provider AWS --bucket source-bucket --region eu-central-1 --access-key-id key --secret-access-key secret";
  assert.match(await r2(`bucket sippy enable ${bucket} ${aws} ${destination}`), /Successfully enabled Sippy/);
  assert.match(await r2(`bucket sippy get ${bucket}`), /provider: 'aws',\s+bucket: 'source-bucket',\s+region: 'eu-central-1'/);
  await writeFile(join(dir, "google.json"), JSON.stringify({ client_email: "s@p.iam.gserviceaccount.com", private_key: "pem" }));
  const gcs = "--provider GCS --bucket google-bucket --service-account-key-file google.json";
  assert.match(await r2(`bucket sippy enable ${bucket} ${gcs} ${destination}`), /Successfully enabled Sippy/);
  assert.match(await r2(`bucket sippy disable ${bucket}`), /Successfully disabled Sippy/);
  assert.match(await r2(`bucket sippy get ${bucket}`), /enabled: false/);
});

test("[r2-40] every r2 command that wrangler has ended with 0 in the tests above", async () => {
  const cli = await readFile(new URL("wrangler-dist/cli.js", import.meta.resolve("wrangler/package.json")), "utf8");
  const known = [...new Set([...cli.matchAll(/command: "wrangler r2 ([^"]+)"/g)].map(([, command]) => command as string))];
  // The catalog's commands and SQL have files of their own.
  const commands = known.filter(
    (command) => !/^(bucket catalog|sql)\b/.test(command) && !known.some((other) => other.startsWith(`${command} `)),
  );
  assert.ok(commands.length >= 38, `wrangler names only ${commands}`);
  const missing = commands.filter((command) => !ran.some((args) => args.startsWith(`${command} `) || args === command));
  assert.deepEqual(missing, []);
});
