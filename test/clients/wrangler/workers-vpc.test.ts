/**
 * Workers VPC: services by `wrangler vpc service`, tunnels by the SDK, and a Worker that reaches into a network which nothing
 * else reaches (test/harness/private-network.ts), through the connector that runs there.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import { fetch } from "undici";
import { launcher, projectRoot, type RunOptions, runProcess, startPlatform } from "../../harness/platform.ts";
import { noPrivateNetwork, openPrivateNetwork, PLATFORM_INSIDE, type PrivateNetwork } from "../../harness/private-network.ts";
import { noOpenssl } from "../../harness/programs.ts";
import { temporaryDirectory } from "../../harness/temporary-directory.ts";
import { openTerminal } from "../../harness/terminal.ts";
import { type WorkerProject, workerProject } from "../../harness/worker-project.ts";

const skip = noPrivateNetwork || noOpenssl;
const platform = await startPlatform({ after });
const { account_id, api_token: root } = platform.ready;
const sdk = platform.sdk();
const tunnels = sdk.zeroTrust.tunnels.cloudflared;
const services = sdk.connectivity.directory.services;
const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

let network: PrivateNetwork;
let tunnel: string;
let token: string;
let connector: Connector;
let project: WorkerProject;
let authority: string;
/** Where the Worker answers. */
let worker: string;
/** Ids by the names of the bindings. */
const bound: Record<string, string> = {};

interface Connector {
  readonly process: ChildProcess;
  /** Resolves with the next line that it prints and that fits. */
  says(pattern: RegExp): Promise<string>;
}

/** `freehold tunnel run` inside the private network. */
function startConnector(args: readonly string[] = ["--platform", PLATFORM_INSIDE.plain]): Connector {
  const running = network.run(process.execPath, [launcher, "tunnel", "run", "--token", token, ...args]);
  let text = "";
  let wake = (): void => undefined;
  running.stdout?.on("data", (chunk: Buffer) => {
    text += chunk;
    wake();
  });
  return {
    process: running,
    async says(pattern) {
      for (;;) {
        const found = pattern.exec(text);
        if (found !== null) {
          text = text.slice(found.index + found[0].length);
          return found[0];
        }
        assert.equal(running.exitCode, null, `the connector has ended, ${pattern} unsaid: ${text}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

async function all<T>(pages: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of pages) items.push(item);
  return items;
}

const CONNECTED = /^connected to .*$/m;
const status = async (): Promise<unknown> => (await tunnels.get(tunnel, { account_id })).status;

async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await holds())) assert.ok(Date.now() < deadline, what);
}

interface Told {
  readonly error?: string;
  readonly status?: number;
  readonly servedBy?: string;
  readonly redirected?: boolean;
  readonly text: string;
}

/** What the private server was asked. */
interface Asked {
  readonly at: string;
  readonly method: string;
  readonly url: string;
  readonly host: string;
  readonly rawHeaders: string[];
  readonly servername: string | null;
  readonly body: string;
}

async function ask<T = Told>(task: Readonly<Record<string, unknown>>, url = worker): Promise<T> {
  const response = await platform.fetch(url, { method: "POST", body: JSON.stringify(task) });
  return (await response.json()) as T;
}
const call = (binding: string, url: string, init: unknown = {}) => ask({ binding, url, init });
async function asked(binding: string, url: string, init: unknown = {}): Promise<Asked> {
  const { text, ...rest } = await call(binding, url, init);
  assert.equal(rest.status, 200, JSON.stringify(rest));
  return JSON.parse(text) as Asked;
}

const inTunnel = () => ({ network: { tunnel_id: tunnel } });
async function service(binding: string, given: Readonly<Record<string, unknown>>): Promise<void> {
  const made = await services.create({ account_id, type: "http", name: binding, ...given } as Parameters<typeof services.create>[0]);
  bound[binding] = made.service_id as string;
}

async function openWorld(): Promise<void> {
  const dir = await temporaryDirectory("freehold-vpc-");
  const names = "subjectAltName=DNS:localhost,DNS:pay.corp.test,IP:127.0.0.1";
  const files = ["-keyout", join(dir, "key.pem"), "-out", join(dir, "cert.pem")];
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=corp"];
  await runProcess("openssl", ["req", ...kind, "-addext", names, ...files]);
  const cert = readFileSync(join(dir, "cert.pem"), "utf8");
  network = await openPrivateNetwork({ after }, platform, { cert, key: readFileSync(join(dir, "key.pem"), "utf8") });
  const uploaded = await sdk.mtlsCertificates.create({ account_id, ca: true, certificates: cert, name: "corp" });
  authority = uploaded.id as string;
}
if (skip === false) await openWorld();

test("[workers-vpc-14] a connector that is started with the tunnel's token shows in the list as connected", { skip }, async () => {
  const made = await platform.wrangler(["tunnel", "create", "office"]);
  tunnel = UUID.exec(made.stdout)?.[0] as string;
  assert.equal(await status(), "inactive");
  token = String(await tunnels.token.get(tunnel, { account_id }));
  connector = startConnector();
  await connector.says(CONNECTED);
  const list = await all(tunnels.list({ account_id, is_deleted: false }));
  assert.deepEqual(
    list.map(({ id, name, status: state, connections }) => [id, name, state, connections?.length]),
    [[tunnel, "office", "healthy", 1]],
  );
  // What opens the private network lies nowhere readable on disk.
  const { s: secret } = JSON.parse(Buffer.from(token, "base64").toString()) as { s: string };
  for (const name of readdirSync(platform.dir).filter((one) => one.startsWith("meta")))
    for (const text of [secret, token, Buffer.from(secret, "base64")])
      assert.equal(readFileSync(join(platform.dir, name)).includes(text), false, name);
});

test("[workers-vpc-01, workers-vpc-02, workers-vpc-03] services by wrangler: create by name and by address, list, get, update, delete", {
  skip,
}, async () => {
  const vpc = (verb: string, ...args: string[]) => platform.wrangler(["vpc", "service", verb, ...args]);
  const at = ["--type", "http", "--tunnel-id", tunnel];
  const create = async (name: string, ...args: string[]) => UUID.exec((await vpc("create", name, ...at, ...args)).stdout)?.[0] as string;
  bound.NAMED = await create("named", "--hostname", "localhost");
  bound.API = await create("api", "--ipv4", "127.0.0.1", "--http-port", "8080");
  bound.SIX = await create("six", "--ipv6", "::1", "--http-port", "8080", "--https-port", "8443");
  const list = (await vpc("list")).stdout;
  for (const shown of [bound.NAMED, bound.API, bound.SIX, "HTTP:8080, HTTPS:8443"]) assert.ok(list.includes(shown), list);
  const { stdout } = await vpc("get", bound.API);
  assert.match(stdout, /Name: api\n\s+Type: http\n\s+HTTP Port: 8080\n\s+IPv4: 127\.0\.0\.1\n\s+Tunnel ID: /);
  await vpc("update", bound.SIX, "--name", "sixth", ...at, "--ipv6", "::1", "--http-port", "8081");
  const { name, host, ...changed } = (await services.get(bound.SIX, { account_id })) as { name: string; host: unknown; http_port: number };
  assert.deepEqual([name, host, changed.http_port], ["sixth", { ipv6: "::1", ...inTunnel() }, 8081]);
  assert.equal("https_port" in changed, false);
  const host6 = { ipv6: "::1", ...inTunnel() };
  await services.update(bound.SIX as string, { account_id, type: "http", name: "six", host: host6, http_port: 8080 });
  const resolver_network = { tunnel_id: tunnel };
  const hidden = await services.create({ account_id, type: "http", name: "gone", host: { hostname: "gone.corp.test", resolver_network } });
  const gone = hidden.service_id as string;
  await vpc("delete", gone);
  await assert.rejects(services.get(gone, { account_id }), /Connectivity service not found/);
  assert.equal((await all(services.list({ account_id }))).length, 3);
  // A second of the name, a tunnel that is none, and a host that is none.
  const given = { account_id, type: "http" as const, name: "api" };
  const refused = (params: object, code: number) =>
    assert.rejects(services.create({ ...given, ...params } as never), (error: Error) => error.message.includes(`"code":${code}`));
  await refused({ host: { ipv4: "127.0.0.1", ...inTunnel() } }, 5102);
  await refused({ name: "x", host: { ipv4: "127.0.0.1", network: { tunnel_id: "00000000-0000-4000-8000-000000000000" } } }, 5104);
  await refused({ name: "x", host: { hostname: "http://127.0.0.1/", resolver_network: { tunnel_id: tunnel } } }, 10021);
});

test("[workers-vpc-15] a token that may bind creates no service; without it a deploy with the binding is refused", { skip }, async () => {
  await service("OFF", { host: { ipv4: "127.0.0.1", ...inTunnel() }, http_port: 8081 });
  await service("WIKI", { host: { hostname: "wiki.corp.test", resolver_network: { tunnel_id: tunnel, resolver_ips: ["127.0.0.53"] } } });
  await service("NO_WIKI", { host: { hostname: "wiki.corp.test", resolver_network: { tunnel_id: tunnel } } });
  const tls = { cert_verification_mode: "verify_full", certificate_authority: authority };
  await service("PAY", { host: { ipv4: "127.0.0.1", ...inTunnel() }, tls_settings: tls });
  await service("PUBLIC_PAY", { host: { ipv4: "127.0.0.1", ...inTunnel() }, https_port: 443 });
  await service("S3", { host: { ipv4: "127.0.0.1", ...inTunnel() }, http_port: 7000 });
  await service("NEIGHBOUR", { host: { ipv4: "127.0.0.1", ...inTunnel() }, http_port: 9090 });
  project = await workerProject(platform, {
    files: {
      "index.js": readFileSync(join(projectRoot, "test/clients/vpc-worker.js")),
      "aws4fetch.js": readFileSync(join(projectRoot, "node_modules/aws4fetch/dist/aws4fetch.esm.mjs")),
    },
    config: {
      name: "vpc",
      vpc_services: Object.entries(bound).map(([binding, service_id]) => ({ binding, service_id, remote: true })),
    },
  });
  const scripts = ["Workers Scripts Read", "Workers Scripts Write"];
  const tokenOf = async (...permissions: string[]) => (await platform.token([...scripts, ...permissions])).value;
  const wrangler = (by: string, args: readonly string[], options: RunOptions) =>
    platform.exec("env", [`CLOUDFLARE_API_TOKEN=${by}`, "wrangler", ...args], { cwd: project.dir, ...options });
  const binder = await tokenOf("Connectivity Directory Bind");
  const refusal = await wrangler(await tokenOf("Connectivity Directory Read"), ["deploy"], { code: 1 });
  assert.match(
    refusal.stdout + refusal.stderr,
    /may not create the vpc_service binding "\w+": it needs the permission Connectivity Directory Bind/,
  );
  const create = ["vpc", "service", "create", "more", "--type", "http", "--tunnel-id", tunnel, "--hostname", "localhost"];
  const denied = await wrangler(binder, create, { code: 1 });
  assert.match(denied.stdout + denied.stderr, /Authentication error \[code: 10000\]/);
  const mine = platform.sdk(binder).connectivity.directory.services;
  const host = { ipv4: "127.0.0.1", ...inTunnel() };
  await assert.rejects(mine.update(bound.API as string, { account_id, type: "http", name: "api", host }), { status: 403 });
  await assert.rejects(mine.delete(bound.API as string, { account_id }), { status: 403 });
  assert.equal((await all(mine.list({ account_id }))).length, Object.keys(bound).length);
  // An administrator of the directory may create.
  const admin = platform.sdk(await tokenOf("Connectivity Directory Admin")).connectivity.directory.services;
  const { service_id } = await admin.create({ account_id, type: "http", name: "by the administrator", host });
  await admin.delete(service_id as string, { account_id });
  await wrangler(binder, ["deploy"], {});
  const { subdomain } = (await platform.rest("GET", `/accounts/${account_id}/workers/subdomain`)).body.result;
  worker = platform.host("workers", { worker: "vpc", subdomain });
});

test("[workers-vpc-04, workers-vpc-05, workers-vpc-06, workers-vpc-02] a Worker gets JSON of the private server, whatever host and port its URL has", {
  skip,
}, async () => {
  const first = await asked("API", "http://anything/items?q=a%20b", { headers: { "x-mine": "1" } });
  const { at, method, url, host } = first;
  assert.deepEqual({ at, method, url, host }, { at: "127.0.0.1:8080", method: "GET", url: "/items?q=a%20b", host: "anything" });
  assert.deepEqual([(await asked("API", "http://h:9999/")).at, (await asked("API", "http://h:9999/")).host], ["127.0.0.1:8080", "h:9999"]);
  // The server hears what the Worker said, and nothing of the platform's.
  const named = new Map(
    first.rawHeaders.flatMap((text, i, all) => (i % 2 === 0 ? [[text.toLowerCase(), all[i + 1]]] : [])) as [string, string][],
  );
  assert.equal(named.get("x-mine"), "1");
  assert.deepEqual(
    [...named.keys()].filter((name) => /freehold|capability/.test(name)),
    [],
  );
  assert.equal(
    (await asked("NAMED", "http://h/")).at,
    "127.0.0.1:80",
    "a name that the connector's own resolver knows, on the default port",
  );
  assert.equal((await asked("SIX", "http://h/")).at, "::1:8080");
  // From where the platform is, none of it can be reached.
  await assert.rejects(fetch("http://127.0.0.1:8080/"));
});

test("[workers-vpc-10] a binding reaches its service alone, whatever the Worker tries", { skip }, async () => {
  const stays = async (url: string, init: unknown = {}) => {
    const got = await asked("API", url, init);
    assert.equal(got.at, "127.0.0.1:8080", url);
    return got;
  };
  await stays("http://127.0.0.1:9090/");
  await stays("http://127.0.0.2:8080/");
  await stays("https://127.0.0.1:9090/");
  await stays("http://user:pass@127.0.0.1:9090/");
  assert.equal((await stays("http://h/http://127.0.0.1:9090/")).url, "/http://127.0.0.1:9090/");
  assert.equal((await stays("http://h//127.0.0.1:9090/")).url, "//127.0.0.1:9090/");
  for (const name of ["host", "x-forwarded-host", "forwarded", "x-freehold-resolvers", "x-freehold-vpc-scheme", "x-freehold-capability"])
    await stays("http://h/", { headers: { [name]: "127.0.0.1:9090" } });
  // The answer leads elsewhere: the fetch that follows stays as well.
  const followed = await call("API", "http://h/elsewhere");
  assert.deepEqual([followed.redirected, followed.servedBy], [true, "127.0.0.1:8080"]);
  assert.equal((JSON.parse(followed.text) as Asked).host, "127.0.0.1:9090");
  assert.equal((await call("API", "http://h/elsewhere", { redirect: "manual" })).status, 302);
  assert.match((await call("API", "http://h/", { method: "CONNECT" })).error ?? "", /Error/);
  assert.match((await ask({ task: "connect", binding: "API", address: "127.0.0.1:9090" })).error ?? "", /Error/);
  assert.deepEqual(
    network.lines.filter((line) => /neighbour/.test(line)),
    [],
  );
  // They are there, and the connector could: who has a binding of theirs gets in.
  assert.equal((await call("NEIGHBOUR", "http://h/")).text, "secret");
  await network.seen(/^the neighbour on another port was reached$/);
});

test("[workers-vpc-07] https is TLS to the service, with the name of the URL, checked against the service's authority", {
  skip,
}, async () => {
  const { at, servername, host } = await asked("PAY", "https://pay.corp.test/bill");
  assert.deepEqual({ at, servername, host }, { at: "127.0.0.1:443", servername: "pay.corp.test", host: "pay.corp.test" });
  assert.equal((await asked("PAY", "https://127.0.0.1/")).servername, false, "an address is no name");
  assert.equal((await asked("PAY", "http://pay.corp.test/")).at, "127.0.0.1:80", "both schemes, each on its own port");
  const LOST = "Error: Network connection lost.";
  assert.equal((await call("PAY", "https://other.corp.test/")).error, LOST, "a name that the certificate is not for");
  assert.equal((await call("PUBLIC_PAY", "https://pay.corp.test/")).error, LOST, "an authority that nobody knows");
  // The service has a port for https alone: no scheme gets around it. Then without checking.
  const bare = { host: { ipv4: "127.0.0.1", ...inTunnel() }, https_port: 443 };
  const given = { account_id, type: "http" as const, name: "PUBLIC_PAY", ...bare, tls_settings: { cert_verification_mode: "disabled" } };
  await services.update(bound.PUBLIC_PAY as string, given);
  assert.equal((await asked("PUBLIC_PAY", "http://other.corp.test/")).servername, "other.corp.test");
});

test("[workers-vpc-08] a streamed body goes and comes piece by piece, and an abort ends it at the service", { skip }, async () => {
  const posted = await asked("API", "http://h/", { method: "POST", body: "hello", headers: { "content-type": "text/x", "x-a": "b" } });
  assert.deepEqual([posted.method, posted.body], ["POST", "hello"]);
  for (const pair of [
    ["content-type", "text/x"],
    ["x-a", "b"],
  ])
    assert.ok(posted.rawHeaders.join("|").toLowerCase().includes(pair.join("|")));
  const pieces = ["one", "two".repeat(100_000), "three"];
  assert.deepEqual(await ask({ task: "conversation", binding: "API", pieces }), { heard: pieces, done: true });
  assert.deepEqual(await ask({ task: "abort", binding: "API" }), { first: "first", error: "AbortError" });
  await network.seen(/^the endless answer was broken off$/);
});

test("[workers-vpc-09, workers-vpc-13] one Worker before two services; one of them has a name that only its resolver knows", {
  skip,
}, async () => {
  const routed = async (path: string) => (await (await platform.fetch(`${worker}${path}`)).json()) as Asked;
  const [api, wiki] = [await routed("/api/x"), await routed("/wiki/y")];
  assert.deepEqual([api.at, api.url, api.host], ["127.0.0.1:8080", "/api/x", "api.internal"]);
  assert.deepEqual([wiki.at, wiki.url, wiki.host], ["127.0.0.3:80", "/wiki/y", "wiki.internal"]);
  assert.equal((await call("NO_WIKI", "http://wiki.corp.test/")).error, "Error: Network connection lost.");
});

test("[workers-vpc-11, workers-vpc-12] a relative URL is a TypeError; a service that has stopped makes fetch throw", { skip }, async () => {
  assert.match((await call("API", "/x")).error ?? "", /^TypeError: Invalid URL/);
  assert.equal((await asked("OFF", "http://h/")).at, "127.0.0.1:8081");
  network.tell("close 8081");
  await network.seen(/^close 8081$/);
  assert.equal((await call("OFF", "http://h/")).error, "Error: Network connection lost.");
  // An answer that breaks off is no shorter answer.
  assert.equal((await call("API", "http://h/cut")).error, "Error: Network connection lost.");
});

test("[workers-vpc-18] a signed GET of an object in a private bucket", { skip }, async () => {
  await platform.rest("POST", `/accounts/${account_id}/r2/buckets`, { name: "vault" });
  await platform.s3().send(new PutObjectCommand({ Bucket: "vault", Key: "plans/a b.txt", Body: "behind the wall" }));
  const { access_key_id: accessKeyId, secret_access_key: secretAccessKey } = platform.ready.s3;
  const get = (keys: object) => ask({ task: "signed", binding: "S3", url: "http://127.0.0.1:7000/vault/plans/a%20b.txt", keys });
  const { status: code, text } = await get({ accessKeyId, secretAccessKey });
  assert.deepEqual([code, text], [200, "behind the wall"]);
  assert.match((await get({ accessKeyId, secretAccessKey: "f".repeat(64) })).text, /SignatureDoesNotMatch/);
});

test("[workers-vpc-16] wrangler dev reaches the service by a remote binding", { skip }, async (t) => {
  const dev = ["wrangler", "dev", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0", "--show-interactive-dev-session=false"];
  const terminal = openTerminal(t, platform, dev, { cwd: project.dir });
  const [, port] = await terminal.expect(/Ready on http:\/\/\S+:(\d+)/);
  const response = await fetch(`http://127.0.0.1:${port}/`, {
    method: "POST",
    body: JSON.stringify({ binding: "API", url: "http://anything:9999/local", init: { method: "POST", body: "from here" } }),
  });
  const { text } = (await response.json()) as Told;
  const { at, url, body } = JSON.parse(text) as Asked;
  assert.deepEqual({ at, url, body }, { at: "127.0.0.1:8080", url: "/local", body: "from here" });
});

test("[workers-vpc-19] when a connector goes another serves, and they come again when the platform does", { skip }, async () => {
  const second = startConnector(["--platform", PLATFORM_INSIDE.tls, "--ca", platform.ready.ca_file]);
  await second.says(CONNECTED);
  const clients = (await all(tunnels.connections.get(tunnel, { account_id }))).map(({ id }) => id);
  assert.equal(new Set(clients).size, 2);
  second.process.kill("SIGKILL");
  await once(second.process, "exit");
  assert.equal((await asked("API", "http://h/")).at, "127.0.0.1:8080", "at once, by the first one");
  const third = startConnector(["--platform", PLATFORM_INSIDE.tls, "--ca", platform.ready.ca_file]);
  await third.says(CONNECTED);
  connector.process.kill("SIGTERM");
  const [code] = await once(connector.process, "exit");
  assert.equal(code, 0);
  assert.equal((await asked("API", "http://h/")).at, "127.0.0.1:8080");
  // The way out breaks; then the platform is gone for a while.
  network.cut();
  await third.says(/^the connection to the platform has ended$/m);
  await third.says(CONNECTED);
  assert.equal((await asked("API", "http://h/")).at, "127.0.0.1:8080");
  await platform.kill9();
  await third.says(/^cannot connect to /m);
  await platform.restart();
  await third.says(CONNECTED);
  await until(async () => (await status()) === "healthy", "the tunnel is not connected");
  assert.equal((await asked("API", "http://h/")).at, "127.0.0.1:8080");
  // A tunnel in use is deleted on purpose only. Then its token is none any more, and its services lead nowhere.
  await assert.rejects(tunnels.delete(tunnel, { account_id }), /Cannot delete tunnel because it has active connections/);
  const ended = once(third.process, "exit");
  const path = `/accounts/${account_id}/cfd_tunnel/${tunnel}?cascade=true`;
  assert.equal((await platform.rest("DELETE", path, undefined, root)).status, 200);
  assert.deepEqual(await ended, [1, null]);
  assert.equal((await call("API", "http://h/")).error, "Error: Network connection lost.");
  const late = startConnector();
  assert.deepEqual(await once(late.process, "exit"), [1, null]);
});
