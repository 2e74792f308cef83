/** Needs Docker. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { after, test } from "node:test";
import { startDocker } from "../../harness/docker.ts";
import { startPlatform } from "../../harness/platform.ts";
import { containerProject } from "../containers-world.ts";

const CODE = `
import { Container, getContainer, getRandom } from "@cloudflare/containers";
import { DurableObject } from "cloudflare:workers";

export class Web extends Container {
  defaultPort = 8080;
  sleepAfter = "5m";
  envVars = { FROM_CLASS: "class", SECRET: this.env.SECRET, EXIT_CODE: "7" };
  onStart() { console.log("hook: started"); }
  onStop({ exitCode, reason }) { console.log("hook: stopped", exitCode, reason); this.ctx.storage.kv.put("stopped", { exitCode, reason }); }
  onError(error) { console.log("hook: failed", String(error)); throw error; }
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/do/stop") { await this.stop(); return new Response("asked"); }
    if (pathname === "/do/stopped") return Response.json(this.ctx.storage.kv.get("stopped") ?? {});
    return super.fetch(request);
  }
}

export class Sleepy extends Container {
  defaultPort = 8080;
  requiredPorts = [8080, 9090];
  sleepAfter = "4s";
  envVars = { SECOND_PORT: "9090" };
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/do/state") return Response.json(await this.getState());
    if (pathname === "/do/second") return this.containerFetch(request, 9090);
    return super.fetch(request);
  }
}

export class Slow extends Container {
  defaultPort = 8080;
  envVars = { STARTS_AFTER: "1" };
}

export class Raw extends DurableObject {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const { container } = this.ctx;
    if (pathname === "/start") {
      container.start(JSON.parse(searchParams.get("options") ?? "{}"));
      this.ended = container.monitor().then(() => "resolved", (error) => "rejected: " + (error.message ?? error));
      return Response.json({ running: container.running });
    }
    if (pathname === "/redis") {
      for (;;) {
        try {
          const socket = container.getTcpPort(6379).connect("10.0.0.1:6379");
          const writer = socket.writable.getWriter();
          await writer.write(new TextEncoder().encode("SET greeting hello\\r\\nGET greeting\\r\\nQUIT\\r\\n"));
          return new Response(await new Response(socket.readable).text());
        } catch (error) {
          if (!container.running) return new Response("failed: " + error.message, { status: 500 });
          await scheduler.wait(50);
        }
      }
    }
    if (pathname === "/id") return Response.json({ id: this.ctx.id.toString() });
    if (pathname === "/running") return Response.json({ running: container.running });
    if (pathname === "/ended") return new Response(await this.ended);
    if (pathname === "/signal") { container.signal(Number(searchParams.get("n"))); return new Response("sent"); }
    if (pathname === "/destroy") { await container.destroy(searchParams.get("why")); return Response.json({ running: container.running }); }
    for (let attempt = 0; ; attempt++) {
      try {
        return await container.getTcpPort(8080).fetch("http://container" + pathname + new URL(request.url).search, { signal: AbortSignal.timeout(10_000) });
      } catch (error) {
        if (attempt > 100 || !container.running) return new Response("failed: " + error.message, { status: 500 });
        await scheduler.wait(50);
      }
    }
  }
}

export default {
  async fetch(request, env) {
    const [, kind, name, ...rest] = new URL(request.url).pathname.split("/");
    const url = new URL(request.url);
    url.pathname = "/" + rest.join("/");
    if (kind === "lb") return (await getRandom(env.WEB, 3)).fetch(new Request(url, request));
    if (kind === "sleepy") return getContainer(env.SLEEPY, name).fetch(new Request(url, request));
    if (kind === "slow") return getContainer(env.SLOW, name).fetch(new Request(url, request));
    if (kind === "web") return getContainer(env.WEB, name).fetch(new Request(url, request));
    return env.RAW.get(env.RAW.idFromName(name)).fetch(new Request(url, request));
  },
};
`;

const docker = await startDocker({ after });
const platform = await startPlatform({ after }, { config: docker.config });
const project = await containerProject(platform, docker, {
  name: "contained",
  code: CODE,
  classes: {
    Web: { max_instances: 8, instance_type: "basic" },
    Raw: { max_instances: 4, instance_type: "basic" },
    Slow: {},
    Sleepy: { instance_type: "basic" },
  },
  image: { programs: { "usr/bin/redis-server": "/usr/bin/redis-check-rdb" } },
  config: { vars: { SECRET: "top secret" } },
});
const deployed = await project.deploy();

const get = async (path: string): Promise<string> => {
  const response = await platform.fetch(`${project.url}${path}`);
  return response.text();
};

const json = async <T>(path: string): Promise<T> => JSON.parse(await get(path)) as T;
const start = (name: string, options: object = {}): Promise<unknown> =>
  json(`/raw/${name}/start?options=${encodeURIComponent(JSON.stringify(options))}`);
const account = (): string => `/accounts/${platform.ready.account_id}/containers`;

test("[containers-01] wrangler deploy builds the image, pushes it to the registry and creates the applications", async () => {
  assert.match(deployed.stdout, /Image does not exist remotely, pushing: registry\.cloudflare\.com\/[0-9a-f]{32}\/contained-web:/);
  assert.match(deployed.stdout, /Created application contained-web/);
  const { body } = await platform.rest("GET", `${account()}/applications`);
  const [raw, , , web] = body.result;
  assert.deepEqual([raw.name, web.name, web.max_instances, web.version], ["contained-raw", "contained-web", 8, 1]);
  assert.match(web.configuration.image, /^registry\.cloudflare\.com\/[0-9a-f]{32}\/contained-web@sha256:[0-9a-f]{64}$/);
  // Two applications with one image: the second push finds its layers there.
  assert.match(deployed.stdout, /Layer already exists/);
});

test("[containers-02, containers-03] objects are answered by instances of their own, and the first request waits for a slow server", async () => {
  const answers = await Promise.all([get("/web/1/container/1"), get("/web/2/container/2")]);
  const objects = answers.map((answer) => /from ([0-9a-f]{64}) version 1/.exec(answer)?.[1]);
  assert.ok(objects[0] !== undefined && objects[1] !== undefined && objects[0] !== objects[1], answers.join("\n"));
  assert.equal(await get("/web/1/container/1"), answers[0]);
  assert.match(await get("/slow/one/"), /^GET \/ from/);
});

test("[containers-04] a WebSocket goes through the Worker to the container and back", async () => {
  const socket = platform.webSocket(`${project.url.replace("http", "ws")}/web/1/socket`);
  await once(socket, "open");
  socket.send("hello container");
  const [message] = await once(socket, "message");
  assert.equal(String(message), "hello container");
  socket.close();
});

test("[containers-08, containers-09] the container sees the class's, the start's and the platform's variables", async () => {
  const web = variables(await get("/web/1/env"));
  assert.deepEqual([web.FROM_CLASS, web.SECRET], ["class", "top secret"]);
  await start("env", { env: { GREETING: "per start", CLOUDFLARE_DURABLE_OBJECT_ID: "forged" } });
  const raw = variables(await get("/raw/env/env"));
  const { id } = await json<{ id: string }>("/raw/env/id");
  assert.deepEqual([raw.GREETING, raw.CLOUDFLARE_DURABLE_OBJECT_ID], ["per start", id]);
  const { body } = await platform.rest("GET", `${account()}/applications?name=contained-raw`);
  assert.equal(raw.CLOUDFLARE_APPLICATION_ID, body.result[0].id);
  for (const name of ["COUNTRY_A2", "LOCATION", "REGION", "DEPLOYMENT_ID"]) assert.ok(raw[`CLOUDFLARE_${name}`], name);
  await get("/raw/env/destroy");
});

test("[containers-13, containers-19, containers-12] running is false, true, false, and monitor() tells the end", async () => {
  assert.deepEqual(await json("/raw/life/running"), { running: false });
  assert.deepEqual(await start("life"), { running: true });
  assert.match(await get("/raw/life/"), /^GET \/ from/);
  assert.deepEqual(await json("/raw/life/running"), { running: true });
  // The program ends by itself with code 0.
  await get("/raw/life/exit");
  assert.equal(await get("/raw/life/ended"), "resolved");
  assert.deepEqual(await json("/raw/life/running"), { running: false });
  await start("life");
  await get("/raw/life/exit?kill");
  assert.equal(await get("/raw/life/ended"), "rejected: Container exited with unexpected exit code: 137");
  await start("life");
  await get("/raw/life/");
  assert.deepEqual(await json("/raw/life/destroy?why=enough"), { running: false });
  assert.equal(await get("/raw/life/ended"), "rejected: enough");
});

test("[containers-10, containers-15] an entrypoint replaces the image's, and nothing on the disk outlives a stop", async () => {
  await start("disk");
  assert.equal(await get("/raw/disk/write?kept"), "written\n");
  assert.equal(await get("/raw/disk/read"), "kept");
  await get("/raw/disk/destroy");
  await start("disk", { entrypoint: ["/bin/sh", "-c", "IMAGE_VERSION=entrypoint exec /usr/bin/perl /server.pl"] });
  assert.match(await get("/raw/disk/"), /version entrypoint/);
  assert.equal(await get("/raw/disk/read"), "nothing\n");
  await get("/raw/disk/destroy");
});

test("[containers-20] an instance has the memory and the CPU share of its type", async () => {
  const [memory, quota, period] = (await get("/web/1/limits")).split(" ");
  assert.equal(Number(memory), 1024 * 1024 * 1024);
  assert.equal(Number(quota) / Number(period), 1 / 4);
  const [lite, liteQuota, litePeriod] = (await get("/slow/one/limits")).split(" ");
  assert.equal(Number(lite), 256 * 1024 * 1024);
  assert.equal(Number(liteQuota) / Number(litePeriod), 1 / 16);
});

test("[containers-24] a start past max_instances fails", async () => {
  for (const name of ["full-1", "full-2", "full-3", "full-4"]) await start(name);
  await start("full-5");
  assert.match(await get("/raw/full-5/ended"), /^rejected: .*there is no container instance that can be provided to this Durable Object/);
  await get("/raw/full-1/destroy");
  await start("full-5");
  assert.match(await get("/raw/full-5/"), /^GET \/ from/);
  for (const name of ["full-2", "full-3", "full-4", "full-5"]) await get(`/raw/${name}/destroy`);
});

test("[containers-06] stop() sends SIGTERM, whose handler runs, and onStop hears the exit code", async () => {
  await get("/web/hooks/");
  assert.equal(await get("/web/hooks/do/stop"), "asked");
  await until(async () => (await json<{ exitCode?: number }>("/web/hooks/do/stopped")).exitCode === 7);
});

test("[containers-05, containers-16] two ports are served, and an idle instance sleeps until the next request", async () => {
  const first = await deploymentOf("/sleepy/one");
  assert.match(await get("/sleepy/one/do/second"), /^GET \/do\/second from [0-9a-f]{64} version 1 port 9090$/m);
  await until(async () => (await json<{ status: string }>("/sleepy/one/do/state")).status.startsWith("stopped"));
  assert.notEqual(await deploymentOf("/sleepy/one"), first);
});

test("[containers-11] a Worker speaks raw TCP to Redis in the container", async () => {
  await start("redis", { entrypoint: ["/usr/bin/redis-server", "--protected-mode", "no", "--save", ""] });
  assert.equal(await get("/raw/redis/redis"), "+OK\r\n$5\r\nhello\r\n+OK\r\n");
  await get("/raw/redis/destroy");
});

test("[containers-14] only with enableInternet the container reaches the host's network", async () => {
  const server = createServer((_request, response) => response.end("host")).listen(0, "0.0.0.0");
  after(() => server.close());
  await once(server, "listening");
  const [address] = Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).filter(({ family, internal }) => family === "IPv4" && !internal),
  );
  const dial = `/dial?${address?.address}:${(server.address() as AddressInfo).port}`;
  await start("closed", { enableInternet: false });
  assert.match(await get(`/raw/closed${dial}`), /^failed: .*(unreachable|timeout|timed out)/);
  await start("open", { enableInternet: true });
  assert.match(await get(`/raw/open${dial}`), /^connected: HTTP\/1\.1 200 OK/);
  for (const name of ["closed", "open"]) await get(`/raw/${name}/destroy`);
});

test("[containers-23] a process past the instance's memory is killed, and the next request finds a new instance", async () => {
  const before = await deploymentOf("/slow/oom");
  assert.notEqual((await platform.fetch(`${project.url}/slow/oom/hog?400`)).status, 200);
  await until(async () => (await deploymentOf("/slow/oom")) !== before);
});

test("[containers-17] getRandom spreads requests over its instances", async () => {
  const seen = new Set<string>();
  await until(async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => get("/lb/any/")));
    for (const answer of answers) if (answer.startsWith("GET / from ")) seen.add(answer.split(" ")[3] as string);
    return seen.size === 3;
  });
});

test("[containers-21] a custom type with too little memory for its CPU is refused", async () => {
  await project.configure({ instance_type: { vcpu: 1, memory_mib: 2048, disk_mb: 2000 } });
  const { stdout, stderr } = await project.wrangler(["deploy"], { code: 1 });
  assert.match(`${stdout}${stderr}`, /memory_mib must be at least 3072 for each vCPU/);
});

/** Id of the instance that answers; one that is being started may take longer than a request waits. */
async function deploymentOf(path: string): Promise<string> {
  let found: string | undefined;
  await until(async () => {
    found = variables(await get(`${path}/env`)).CLOUDFLARE_DEPLOYMENT_ID;
    return found !== undefined;
  });
  return found as string;
}

function variables(text: string): Record<string, string> {
  return Object.fromEntries(text.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
}

/** Looks again and again until it is so. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 30_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) if (await isSo()) return;
  assert.fail("it did not come to be so");
}
