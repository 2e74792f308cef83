/** The operator's contract, kept by the command line as people and scripts use it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { projectRoot, type RunOptions, runProcess, startPlatform } from "../../harness/platform.ts";
import { noCurl } from "../../harness/programs.ts";
import { noPython, pythonInterpreter } from "../../harness/python.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";

const platform = await startPlatform({ after });
const launcher = join(projectRoot, "bin", "freehold.mjs");
const freehold = (args: readonly string[], options: RunOptions = {}) => runProcess(process.execPath, [launcher, ...args], options);
const onData = (command: string, ...args: string[]) => [...command.split(" "), "--data", platform.dir, ...args];

/** For every wait: what does not come by then does not come. */
const deadline = () => ({ signal: AbortSignal.timeout(30_000) });

/** One plain sentence, no stack trace, with this exit code. */
async function refused(args: readonly string[], code: number, message: RegExp, options: RunOptions = {}): Promise<void> {
  const { stderr, stdout } = await freehold(args, { code, ...options });
  assert.match(stderr, message);
  assert.match(stderr, /^freehold: [^\n]+\n$/, "one line");
  assert.equal(stdout, "");
}

test("the ready file holds what the contract says, readable by the owner alone, and everything in it serves", async (t) => {
  const dir = await temporaryDirectory("freehold-cli-");
  const own = await startPlatform(t, { flags: [] });
  const { ready } = own;
  assert.equal(ready.data_dir, own.dir);
  assert.match(ready.gateway, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.equal(ready.api, `${ready.gateway}/client/v4`);
  assert.match(ready.account_id, /^[0-9a-f]{32}$/);
  assert.equal((await own.rest("GET", "/user/tokens/verify")).body.result.status, "active");
  assert.match(await readFile(ready.ca_file, "utf8"), /^-----BEGIN CERTIFICATE-----/);
  assert.match(ready.s3.access_key_id, /^[0-9a-f]{32}$/);
  assert.match(ready.s3.secret_access_key, /^[0-9a-f]{64}$/);
  for (const url of Object.values(ready.hosts)) assert.ok(url.includes(`.${ready.domain}:${new URL(ready.gateway).port}`), url);
  for (const file of ["ready.json", "secret.key", "tls/ca.key"]) assert.equal((await stat(join(own.dir, file))).mode & 0o777, 0o600, file);
  assert.ok(dir);
});

test("account, token, S3 keys and addresses stay the same over a restart", async (t) => {
  const own = await startPlatform(t);
  const before = own.ready;
  await own.restart();
  for (const key of ["account_id", "api_token", "gateway", "proxy", "s3", "data_dir"] as const)
    assert.deepEqual(own.ready[key], before[key], key);
  assert.notEqual(own.ready.pid, before.pid);
});

test("after SIGKILL the next start takes the directory over", async (t) => {
  const own = await startPlatform(t);
  await own.kill9();
  await refused(["status", "--data", own.dir], 1, /No platform runs on .*start one with `freehold up/);
  await own.restart();
  assert.equal((await own.rest("GET", "/user/tokens/verify")).status, 200);
});

test("a second `up` on the same directory names the process that holds it", async () => {
  await refused(onData("up", "--port", "0"), 1, new RegExp(`in use by process ${platform.pid}; stop it first \\(kill ${platform.pid}\\)`));
});

test("of several `up` started at once on one directory exactly one wins", async (t) => {
  const dir = await temporaryDirectory("freehold-cli-");
  const contenders = Array.from({ length: 4 }, (_, i) =>
    spawn(process.execPath, [launcher, "up", "--data", join(dir, "data"), "--port", "0", "--ready-file", join(dir, `ready-${i}`)], {
      stdio: "ignore",
    }),
  );
  const exits = contenders.map(async (child) => (await once(child, "exit", deadline()))[0] as number);
  t.after(() => contenders.forEach((child) => void child.kill("SIGKILL")));
  const losers = new Set<number>();
  // The losers end by themselves, one after the other.
  while (losers.size < 3) {
    const open = exits.map((exit, i) => exit.then((code) => ({ i, code }))).filter((_, i) => !losers.has(i));
    const { i, code } = await Promise.race(open);
    assert.equal(code, 1);
    losers.add(i);
  }
  const winner = [0, 1, 2, 3].find((i) => !losers.has(i)) as number;
  contenders[winner]?.kill("SIGTERM");
  assert.equal(await exits[winner], 0);
});

test("a port in use is named, with its holder and the remedy", async (t) => {
  const dir = await temporaryDirectory("freehold-cli-");
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening", deadline());
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  await refused(
    ["up", "--data", join(dir, "data"), "--port", String(port)],
    1,
    new RegExp(`Port ${port} on 127.0.0.1 is in use by .*\\(process ${process.pid}\\); stop that program or choose another with --port`),
  );
  await refused(["up", "--data", join(dir, "data"), "--host", "192.0.2.1"], 1, /This machine has no address 192\.0\.2\.1/);
});

test("a data directory of a newer version is refused and not touched", async () => {
  const dir = await temporaryDirectory("freehold-cli-");
  await writeFile(join(dir, "format.json"), '{"format":999}');
  await refused(["up", "--data", dir, "--port", "0"], 1, /written by a newer version of Freehold \(format 999/);
  assert.equal(await readFile(join(dir, "format.json"), "utf8"), '{"format":999}');
  assert.equal(existsSync(join(dir, "meta.sqlite")), false);
});

test("mistakes get one sentence that names the nearest right word, and exit code 2", async () => {
  await refused(["upp"], 2, /Unknown command "upp"\. Did you mean `freehold up`\?/);
  await refused(["up", "--prot", "1"], 2, /Unknown flag --prot of `freehold up`\. Did you mean --port\?/);
  await refused(["up", "--port"], 2, /--port needs a value: --port PORT/);
  await refused(["up", "--port", "http"], 2, /--port http is not a port/);
  await refused(["up", "--port", "70000"], 2, /is not a port/);
  await refused(["up", "x"], 2, /takes no argument "x"/);
  await refused(["token"], 2, /needs one of: create, list, revoke/);
  await refused(["token", "lst"], 2, /Did you mean `freehold token list`\?/);
  await refused(["--data", "x", "up"], 2, /The command comes first/);
  await refused(["exec"], 2, /needs a command/);
  await refused(["status", "--json=1"], 2, /--json takes no value/);
});

test("mistakes in the configuration name the key", async () => {
  const dir = await temporaryDirectory("freehold-cli-");
  const file = join(dir, "config.json");
  await writeFile(file, '{"kv":{"namespace_max":1}}');
  await refused(
    ["up", "--data", join(dir, "d"), "--config", file],
    1,
    /unknown key "kv\.namespace_max"\. Did you mean "kv\.namespaces_max"\?/,
  );
  await writeFile(file, "{");
  await refused(["up", "--data", join(dir, "d"), "--config", file], 1, /cannot read the configuration/);
  await refused(["up", "--data", join(dir, "d"), "--config", join(dir, "none")], 1, /cannot read the configuration/);
  await refused(["up", "--data", join(file, "d"), "--port", "0"], 1, /Cannot create the data directory/);
  await refused(["up", "--data", join(dir, "d"), "--ready-file", join(dir, "no", "ready")], 2, /does not exist; create it first/);
});

test("help fits 80 columns and names every command", async () => {
  const { stdout } = await freehold(["--help"]);
  for (const name of ["up", "exec", "env", "status", "token create", "doctor"]) {
    assert.match(stdout, new RegExp(`^ {2}${name} `, "m"));
    const { stdout: own } = await freehold([...name.split(" "), "--help"]);
    for (const line of `${stdout}\n${own}`.split("\n")) assert.ok(line.length <= 88, line);
  }
  assert.match((await freehold(["--version"])).stdout, /^freehold \d+\.\d+\.\d+ \(Node \d+/);
});

test("SIGINT stops the platform with exit code 0", async (t) => {
  const dir = await temporaryDirectory("freehold-cli-");
  const readyFile = join(dir, "ready.json");
  const child = spawn(process.execPath, [launcher, "up", "--data", join(dir, "data"), "--port", "0", "--ready-file", readyFile], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  t.after(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data", deadline());
  assert.equal(existsSync(readyFile), true);
  child.kill("SIGINT");
  assert.deepEqual(await once(child, "exit", deadline()), [0, null]);
  assert.equal(existsSync(readyFile), false, "a ready file that exists means ready");
  assert.equal(existsSync(join(dir, "data", "ready.json")), false);
});

test("exec passes input, output and the exit code through", async () => {
  const { stdout, stderr } = await platform.exec("sh", ["-c", "cat; echo err >&2; exit 7"], { input: "in", code: 7 });
  assert.deepEqual([stdout, stderr], ["in", "err\n"]);
  await platform.exec("sh", ["-c", "kill -TERM $$"], { code: 128 + 15 });
  const { stdout: flags } = await freehold(onData("exec", "echo", "--help", "--data"));
  assert.equal(flags, "--help --data\n");
  await refused(onData("exec", "--", "no-such-program-anywhere"), 127, /Cannot find the command no-such-program-anywhere/);
});

test("exec passes signals through and waits for the command's own end", async (t) => {
  const child = spawn(
    process.execPath,
    [launcher, ...onData("exec"), "--", "sh", "-c", 'trap "echo caught; exit 3" TERM; echo ready; while :; do sleep 0.05; done'],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  t.after(() => void child.kill("SIGKILL"));
  let output = "";
  const ready = Promise.withResolvers<void>();
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk;
    if (output.includes("ready")) ready.resolve();
  });
  await Promise.race([ready.promise, once(child, "exit", deadline())]);
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "close", deadline()), [3, null]);
  assert.equal(output, "ready\ncaught\n");
});

test("exec leads clients here: addresses, credentials, trust, and no older ones", async () => {
  const { ready } = platform;
  const { stdout } = await freehold(onData("exec", "--", "env"), {
    env: {
      ...process.env,
      CLOUDFLARE_API_KEY: "old",
      CLOUDFLARE_EMAIL: "old",
      AWS_PROFILE: "old",
      NO_PROXY: "localhost,corp.example",
      SSL_CERT_FILE: undefined,
    },
  });
  const env = Object.fromEntries(stdout.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
  assert.equal(env.CLOUDFLARE_API_BASE_URL, ready.api);
  assert.equal(env.CLOUDFLARE_API_TOKEN, ready.api_token);
  assert.equal(env.CLOUDFLARE_ACCOUNT_ID, ready.account_id);
  assert.equal(env.HTTPS_PROXY, ready.proxy);
  assert.equal(env.https_proxy, ready.proxy);
  assert.equal(env.NO_PROXY, "127.0.0.1,::1,corp.example");
  assert.equal(env.AWS_ENDPOINT_URL_S3, ready.s3.endpoint);
  assert.equal(env.AWS_ACCESS_KEY_ID, ready.s3.access_key_id);
  for (const name of ["CLOUDFLARE_API_KEY", "CLOUDFLARE_EMAIL", "AWS_PROFILE"]) assert.equal(env[name], undefined, name);
  const bundle = await readFile(env.SSL_CERT_FILE as string, "utf8");
  assert.ok(bundle.endsWith(await readFile(ready.ca_file, "utf8")));
  assert.ok(bundle.split("BEGIN CERTIFICATE").length > 50, "what the system trusts stays trusted");
});

test("exec's proxy brings a built-in host name here, for curl too", { skip: noCurl }, async () => {
  const url = "https://api.cloudflare.com/client/v4/user/tokens/verify";
  const curl = await platform.exec("sh", ["-c", `curl -sS -H "Authorization: Bearer $CLOUDFLARE_API_TOKEN" ${url}`]);
  assert.equal(JSON.parse(curl.stdout).result.status, "active");
});

test("exec's proxy brings a built-in host name here, for Node", async () => {
  const url = "https://api.cloudflare.com/client/v4/user/tokens/verify";
  const get = (address: string): string =>
    `fetch(${address}, { headers: { authorization: "Bearer " + process.env.CLOUDFLARE_API_TOKEN } }).then((r) => r.text()).then(console.log)`;
  const node = await platform.exec("node", ["-e", get(JSON.stringify(url))]);
  assert.equal(JSON.parse(node.stdout).result.status, "active");
  // The platform's own names resolve through the proxy even where the system knows no *.localhost.
  const named = `http://x.${platform.ready.domain}:${new URL(platform.ready.gateway).port}/client/v4/user/tokens/verify`;
  assert.equal(JSON.parse((await platform.exec("node", ["-e", get(JSON.stringify(named))])).stdout).result.status, "active");
});

test("the AWS SDK for JavaScript with the real service's address built in comes here", async () => {
  const program = `
    import { ListBucketsCommand, S3Client } from "@aws-sdk/client-s3";
    const endpoint = "https://" + process.env.CLOUDFLARE_ACCOUNT_ID + ".r2.cloudflarestorage.com";
    const answer = await new S3Client({ endpoint, region: "auto", maxAttempts: 1 }).send(new ListBucketsCommand({}));
    console.log(answer.Owner.ID);`;
  const { stdout } = await platform.exec("node", ["--input-type=module", "-e", program], { cwd: projectRoot });
  assert.equal(stdout.trim(), platform.ready.account_id);
});

test("requests and boto3 come here, with the real services' addresses and without", { skip: noPython }, async () => {
  const program = `
import boto3, os, requests
url = "https://api.cloudflare.com/client/v4/user/tokens/verify"
print(requests.get(url, headers={"Authorization": "Bearer " + os.environ["CLOUDFLARE_API_TOKEN"]}).json()["result"]["status"])
for endpoint in (None, f"https://{os.environ['CLOUDFLARE_ACCOUNT_ID']}.r2.cloudflarestorage.com"):
    print(boto3.client("s3", endpoint_url=endpoint).list_buckets()["Owner"]["ID"])`;
  const { stdout } = await platform.exec(await pythonInterpreter(), ["-c", program]);
  assert.deepEqual(stdout.trim().split("\n"), ["active", platform.ready.account_id, platform.ready.account_id]);
});

test("an unchanged wrangler finds its account, quietly", async () => {
  const { stdout, stderr } = await platform.wrangler(["whoami"]);
  assert.match(stdout, new RegExp(platform.ready.account_id));
  assert.doesNotMatch(stdout + stderr, /update available/);
});

test("env prints exports that a shell takes, also from an awkward directory", async (t) => {
  const dir = join(await temporaryDirectory("freehold-cli-"), "it's $HOME `here`");
  await mkdir(dir);
  const own = await startPlatform(t, { dir: join(dir, "data") });
  const { stdout } = await runProcess(
    "sh",
    [
      "-c",
      'eval "$("$0" "$1" env --data "$2")" && printf "%s\\n%s\\n%s" "$CLOUDFLARE_ACCOUNT_ID" "$NODE_EXTRA_CA_CERTS" $CLOUDFLARE_API_KEY',
      process.execPath,
      launcher,
      own.dir,
    ],
    { env: { ...process.env, CLOUDFLARE_API_KEY: "old", NODE_EXTRA_CA_CERTS: undefined } },
  );
  assert.deepEqual(stdout.split("\n"), [own.ready.account_id, own.ready.ca_file, ""]);
});

test("status shows what runs; its JSON holds no credentials", async () => {
  const { stdout } = await freehold(onData("status"));
  assert.match(stdout, new RegExp(`process ${platform.pid}, up \\d+ (s|min)`));
  const json = (await freehold(onData("status", "--json"))).stdout;
  assert.equal(JSON.parse(json).pid, platform.pid);
  assert.equal(json.includes(platform.ready.api_token), false);
  assert.equal(json.includes(platform.ready.s3.secret_access_key), false);
});

test("whoever stops reading what a command prints leaves no stack trace behind", async () => {
  const child = spawn(process.execPath, [launcher, ...onData("status")], { stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.destroy();
  let stderr = "";
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const [code] = await once(child, "close", deadline());
  assert.deepEqual([code, stderr], [0, ""]);
});

test("a token made by the command line works, is listed, and ends when it is revoked", async () => {
  const made = JSON.parse(
    (await freehold(onData("token create", "--name", "ci", "--permission", "api tokens read", "--ttl", "1h", "--json"))).stdout,
  );
  const path = `/accounts/${platform.ready.account_id}/tokens`;
  assert.equal((await platform.rest("GET", path, undefined, made.value)).status, 200);
  assert.equal((await platform.rest("POST", path, {}, made.value)).status, 403);
  const list = (await freehold(onData("token list"))).stdout;
  assert.match(list, new RegExp(`${made.id} +ci +active +\\d{4}-.*API Tokens Read`));
  assert.equal(list.includes(made.value), false);
  await freehold(onData("token revoke", made.id));
  assert.equal((await platform.rest("GET", path, undefined, made.value)).status, 401);
  await refused(onData("token revoke", made.id), 1, /API token not found/);
  await refused(onData("token revoke", "x"), 1, /not a token's id/);
  await refused(onData("token create", "--name", "x", "--permission", "Api Token Read"), 2, /Did you mean "API Tokens Read"\?/);
  await refused(onData("token create", "--name", "x"), 2, /needs a name and a permission/);
  await refused(onData("token create", "--name", "x", "--permission", "API Tokens Read", "--ttl", "soon"), 2, /not a time/);
});

test("doctor checks the machine and finds the port's holder", async () => {
  const { port } = new URL(platform.ready.gateway);
  const findings = JSON.parse((await freehold(onData("doctor", "--port", port, "--json"), { code: "any" })).stdout) as {
    name: string;
    state: string;
    detail: string;
  }[];
  const by = Object.fromEntries(findings.map((finding) => [finding.name, finding]));
  for (const name of ["Node", "workerd", "DuckDB", "data directory", "disk sync", "clock"])
    assert.equal(by[name]?.state, "ok", JSON.stringify(by[name]));
  assert.match(by.port?.detail ?? "", new RegExp(`serves the platform on this data directory \\(process ${platform.pid}\\)`));
  const { stdout } = await freehold(["doctor", "--data", join(platform.dir, "none"), "--port", port], { code: 1 });
  assert.match(stdout, new RegExp(`✗ port +${port} is in use by .*process ${platform.pid}`));
});
