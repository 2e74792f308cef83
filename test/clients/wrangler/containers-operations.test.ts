/** Images, applications, rollouts and logs of containers by wrangler. Needs Docker. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { after, test } from "node:test";
import { launchBrowser, noBrowser } from "../../harness/browser.ts";
import { openDashboard } from "../../harness/dashboard.ts";
import { startDocker } from "../../harness/docker.ts";
import { launcher, startPlatform } from "../../harness/platform.ts";
import { rowsOf } from "../analytics.ts";
import { containerProject } from "../containers-world.ts";

const CODE = `
import { Container, getContainer } from "@cloudflare/containers";
export class Web extends Container {
  defaultPort = 8080;
  envVars = { EXIT_CODE: "7" };
  onStart() { console.log("hook: started"); }
  onStop({ exitCode, reason }) { console.log("hook: stopped", exitCode, reason); }
  onError(error) { console.log("hook: failed", String(error)); throw error; }
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/do/stop") { await this.stop(); return new Response("asked"); }
    if (pathname === "/do/break") {
      const startOptions = { entrypoint: ["/bin/sh", "-c", "exit 3"] };
      await this.startAndWaitForPorts({ ports: 8080, startOptions }).catch(() => undefined);
      return new Response("tried");
    }
    return super.fetch(request);
  }
}
export default {
  fetch(request, env) {
    const url = new URL(request.url);
    const [, name, ...rest] = url.pathname.split("/");
    url.pathname = "/" + rest.join("/");
    return getContainer(env.WEB, name).fetch(new Request(url, request));
  },
};
`;

const docker = await startDocker({ after });
const platform = await startPlatform({ after }, { config: { ...docker.config, "containers.rollout_step_s": 0.1 } });
const options = { name: "ops", code: CODE, classes: { Web: { name: "ops-web", max_instances: 15, instance_type: "basic" } } };
const manual = { rollout_kind: "full_manual", observability: { enabled: true } };
const project = await containerProject(platform, docker, options);
await project.configure(manual);
await project.deploy();
const containers = `/accounts/${platform.ready.account_id}/containers`;
const [{ id: application }] = (await platform.rest("GET", `${containers}/applications?name=ops-web`)).body.result;

const get = async (path: string): Promise<string> => (await platform.fetch(`${project.url}${path}`)).text();
const text = async (args: readonly string[]): Promise<string> => (await project.wrangler(["containers", ...args])).stdout;
const json = async (args: readonly string[]) => JSON.parse(await text([...args, "--json"]));

interface Seen {
  readonly id: string;
  readonly app_version: number;
  readonly created_at: string;
  readonly durable_object_id: string;
}
const live = async (): Promise<Seen[]> =>
  (await platform.rest("GET", `${containers}/dash/applications/${application}/instances`)).body.result.instances;

test("[containers-29, containers-31] an image is built and pushed, and a second push finds its layers there", async () => {
  const first = await project.wrangler(["containers", "build", "image", "-t", "extra:v1", "-p"]);
  assert.match(
    `${first.stdout}${first.stderr}`,
    /Image does not exist remotely, pushing: registry\.cloudflare\.com\/[0-9a-f]{32}\/extra:v1/,
  );
  await project.wrangler(["containers", "build", "image", "-t", "extra:v2"]);
  const second = await text(["push", "extra:v2"]);
  assert.match(second, /Layer already exists/);
  assert.doesNotMatch(second, /: Pushed/);
  assert.match(second, /Pushed image: registry\.cloudflare\.com\/[0-9a-f]{32}\/extra:v2/);
  const images = (await json(["images", "list"])) as { name: string; tags: string[] }[];
  assert.deepEqual(images.find(({ name }) => name === "extra")?.tags, ["v1", "v2"]);
});

test("[containers-28] a Worker is deployed with an image that is already in the registry", async () => {
  const other = await containerProject(platform, docker, { ...options, name: "by-uri", classes: { Web: { instance_type: "basic" } } });
  await other.configure({ image: `registry.cloudflare.com/${platform.ready.account_id}/extra:v2` });
  const { stdout } = await other.deploy();
  assert.doesNotMatch(stdout, /Building image/);
  const answer = await platform.fetch(`${other.url}/one/`);
  assert.match(await answer.text(), /^GET \/ from [0-9a-f]{64} version 1/);
  const named = (await json(["list"])) as { id: string; name: string }[];
  const { id } = named.find(({ name }) => name === "by-uri-web") as { id: string };
  // The application goes, and its instances with it.
  assert.match(await text(["delete", id]), /Your container has been deleted/);
  assert.deepEqual(
    ((await json(["list"])) as { name: string }[]).map(({ name }) => name),
    ["ops-web"],
  );
  const left = (await docker.api("GET", "/containers/json?all=true")) as unknown[];
  assert.deepEqual(left, []);
});

test("[containers-30] a deleted tag is gone from the list", async () => {
  assert.match(await text(["images", "delete", "extra:v1", "-y"]), /Deleted extra:v1 \(sha256:[0-9a-f]{64}\)/);
  const images = (await json(["images", "list"])) as { name: string; tags: string[] }[];
  assert.deepEqual(images.find(({ name }) => name === "extra")?.tags, ["v2"]);
});

test("[containers-33] the command line prints applications and their instances", async () => {
  await get("/shown/");
  const [listed] = await json(["list"]);
  assert.deepEqual([listed.id, listed.name, listed.state, listed.instances, listed.version], [application, "ops-web", "active", 1, 1]);
  const info = JSON.parse(await text(["info", application]));
  assert.deepEqual([info.configuration.vcpu, info.configuration.memory_mib, info.max_instances], [0.25, 1024, 15]);
  const [instance] = await live();
  const [row] = await json(["instances", application]);
  assert.deepEqual([row.id, row.state, row.version], [instance?.durable_object_id, "running", 1]);
  assert.match(await text(["instances", application]), new RegExp(String(instance?.durable_object_id)));
});

test("the dashboard shows applications, their configuration and the instances that run", { skip: noBrowser }, async (t) => {
  await get("/shown/");
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const { page, open, problems } = await openDashboard(platform, browser);
  const picture = async (name: string): Promise<void> => {
    const pictures = process.env.FREEHOLD_PICTURES;
    if (pictures !== undefined) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  };
  await open("/containers");
  const row = page.getByRole("table", { name: "Applications" }).getByRole("row", { name: /ops-web/ });
  await row.getByText("1 running").waitFor();
  await picture("containers-applications");
  await row.getByRole("link", { name: "ops-web" }).click();
  await page.getByText("0.25 vCPU, 1,024 MiB").waitFor();
  const [instance] = await live();
  const instances = page.getByRole("table", { name: "Instances" }).getByRole("row");
  await instances
    .filter({ hasText: instance?.durable_object_id as string })
    .getByText("running", { exact: true })
    .waitFor();
  await picture("containers-application");
  // One that stops is gone from the page by itself.
  await get("/shown/do/stop");
  await page.getByText("No instance runs").waitFor();
  assert.deepEqual(problems, []);
});

test("[containers-37, containers-45] what each instance used adds up: run time in steps of 10 ms, CPU, memory", async () => {
  await get("/metered/");
  const selection =
    "dimensions { instanceId durableObjectId } sum { uptimeMs cpuTimeMs memoryGibSeconds diskGbSeconds } max { memoryBytes }";
  const rows = () => rowsOf(platform, "containersMetricsAdaptiveGroups", `, applicationId: "${application}"`, "", selection);
  const seen = (await live()).at(-1) as Seen;
  type Row = { dimensions: { instanceId: string }; sum: Record<string, number>; max: { memoryBytes: number } };
  const of = async () => ((await rows()) as unknown as Row[]).find(({ dimensions }) => dimensions.instanceId === seen.id) as Row;
  const first = await of();
  assert.ok((first.sum.cpuTimeMs as number) > 0 && first.max.memoryBytes > 0, JSON.stringify(first));
  await get("/metered/do/stop");
  await until(async () => (await live()).every(({ id }) => id !== seen.id));
  const last = await of();
  const ranMs = Date.now() - Date.parse(seen.created_at);
  const uptimeMs = last.sum.uptimeMs as number;
  assert.ok(uptimeMs % 10 === 0 && uptimeMs > (first.sum.uptimeMs as number) && uptimeMs <= ranMs + 10, `${uptimeMs} ${ranMs}`);
  // The type "basic": 1 GiB and 4 GB, whatever of it is used.
  assert.equal(Math.round((last.sum.memoryGibSeconds as number) * 1000), uptimeMs);
  assert.equal(Math.round((last.sum.diskGbSeconds as number) * 1000), uptimeMs * 4);
  // What is over uses nothing more.
  assert.equal((await of()).sum.uptimeMs, uptimeMs);
});

test("[containers-35, containers-07] what instances and hooks print is in the logs and in wrangler tail", async (t) => {
  const command = ["exec", "--data", platform.dir, "--", "wrangler", "tail", "ops", "--format", "json"];
  const child = spawn(process.execPath, [launcher, ...command], { cwd: project.dir, env: { ...process.env, NO_COLOR: "1" } });
  let tailed = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (tailed += String(chunk)));
  t.after(async () => {
    const gone = once(child, "exit");
    child.kill("SIGINT");
    await gone;
  });
  const tails = `/accounts/${platform.ready.account_id}/workers/scripts/ops/tails`;
  await until(async () =>
    ((await platform.rest("GET", tails)).body.result as { connected?: number }[]).some(({ connected }) => connected === 1),
  );
  await get("/logged/log?hello-from-the-container");
  await get("/logged/do/stop");
  await get("/broken/do/break");
  const words = [
    "listening on 8080",
    "hello-from-the-container",
    "error hello-from-the-container",
    "got SIGTERM",
    "hook: started",
    '"hook: stopped"',
    "hook: failed",
  ];
  await until(
    async () => words.every((word) => tailed.includes(word)),
    () => `${words.filter((word) => !tailed.includes(word))} in ${tailed}`,
  );
  const query = {
    queryId: "adhoc",
    view: "events",
    timeframe: { from: Date.now() - 600_000, to: Date.now() + 60_000 },
    parameters: {
      filters: [
        { key: "$metadata.service", operation: "eq", type: "string", value: "ops" },
        { key: "$workers.eventType", operation: "eq", type: "string", value: "containers" },
      ],
    },
  };
  await until(async () => {
    const path = `/accounts/${platform.ready.account_id}/workers/observability/telemetry/query`;
    const { body } = await platform.rest("POST", path, query);
    const events = body.result.events.events as { source: { message: string; level: string }; $workers: Record<string, string> }[];
    const found = events.find(({ source }) => source.message === "error hello-from-the-container");
    return found?.source.level === "error" && found.$workers.containerApplicationId === application;
  });
});

test("[containers-25] a rollout replaces a tenth of the instances, then all of them", async () => {
  await Promise.all(Array.from({ length: 9 }, (_, i) => until(async () => (await get(`/roll-${i}/`)).includes("version 1"))));
  await project.image({ version: "2" });
  await project.configure({ ...manual, rollout_step_percentage: [10, 100] });
  await project.deploy();
  const before = await live();
  assert.deepEqual(new Set(before.map(({ app_version }) => app_version)), new Set([1]));
  const rollouts = `${containers}/applications/${application}/rollouts`;
  const [rollout] = (await platform.rest("GET", rollouts)).body.result;
  assert.deepEqual(
    rollout.steps.map(({ step_size }: { step_size: { percentage: number } }) => step_size.percentage),
    [10, 100],
  );
  const next = () => platform.rest("POST", `${rollouts}/${rollout.id}`, { action: "next" });
  const done = async () => (await platform.rest("GET", `${rollouts}/${rollout.id}`)).body.result.progress.current_step as number;
  await next();
  await until(async () => (await done()) === 1);
  assert.equal(
    (await live()).filter(({ id }) => before.some((old) => old.id === id)).length,
    before.length - Math.ceil(before.length / 10),
  );
  await next();
  await until(async () => (await done()) === 2);
  assert.deepEqual(
    (await live()).filter(({ id }) => before.some((old) => old.id === id)),
    [],
  );
  await until(async () => (await get("/roll-0/")).includes("version 2"));
});

test("[containers-26, containers-27] an immediate rollout replaces all at once, but none before its grace period is over", async () => {
  await until(async () => (await get("/graced/")).includes("version 2"));
  const before = await live();
  await project.image({ version: "3" });
  await project.configure({ observability: { enabled: true }, rollout_active_grace_period: 8 });
  await project.deploy(["--containers-rollout=immediate"]);
  const [rollout] = (await platform.rest("GET", `${containers}/applications/${application}/rollouts`)).body.result;
  assert.deepEqual([rollout.kind, rollout.steps.length], ["full_auto", 1]);
  const ended = new Map<string, number>();
  await until(async () => {
    const now = new Set((await live()).map(({ id }) => id));
    for (const { id } of before) if (!now.has(id) && !ended.has(id)) ended.set(id, Date.now());
    return ended.size === before.length;
  });
  for (const { id, created_at } of before) assert.ok((ended.get(id) as number) - Date.parse(created_at) >= 8_000, id);
  await until(async () => (await get("/graced/")).includes("version 3"));
});

test("a killed platform finds its instances again, and gives the engine images that it has lost", async () => {
  await until(async () => (await get("/kept/")).startsWith("GET / from"));
  const before = (await live()).map(({ id }) => id).sort();
  await platform.kill9();
  await platform.restart();
  assert.deepEqual((await live()).map(({ id }) => id).sort(), before);
  await until(async () => (await get("/kept/")).startsWith("GET / from"));
  assert.deepEqual((await live()).map(({ id }) => id).sort(), before);
  // The registry's address at the engine is another one now: this instance's image is pulled.
  await until(async () => (await get("/pulled/")).startsWith("GET / from"));
});

test("a Worker's way to the engine leads to its own objects' containers alone, and gives them nothing but what their type has", async () => {
  const [instance] = await live();
  const run = (await readFile(join(platform.dir, "run-directory"), "utf8")).trim();
  const configs = await Promise.all((await readdir(run)).map((name) => readFile(join(run, name, "config.capnp"), "utf8").catch(() => "")));
  const socketPath = configs.map((config) => /localDocker = \(socketPath = "unix:([^"]+)"/.exec(config)?.[1]).find(Boolean) as string;
  const key = /workerd-freehold-/;
  assert.match(`workerd-freehold-${instance?.id}`, key);
  const ask = (method: string, path: string, body?: unknown): Promise<number> =>
    new Promise((resolve, reject) => {
      const sent = request({ socketPath, method, path, agent: false }, (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      });
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  const foreign = `workerd-freehold-${"0".repeat(32)}-${"1".repeat(64)}`;
  assert.equal(await ask("GET", `/containers/${foreign}/json`), 404);
  assert.equal(await ask("POST", `/containers/create?name=${foreign}`, { Image: "x" }), 404);
  const [real] = (await docker.api("GET", "/containers/json")) as { Id: string; Names: string[] }[];
  for (const name of [real?.Id, real?.Names[0]?.slice(1)]) assert.equal(await ask("DELETE", `/containers/${name}?force=true`), 404);
  for (const [method, path] of [
    ["GET", "/containers/json"],
    ["GET", "/images/json"],
    ["GET", "/info"],
    ["POST", "/images/create?fromImage=x"],
    ["POST", "/volumes/create"],
    ["POST", "/commit?container=x"],
    ["POST", "/build"],
    ["GET", `/containers/${real?.Id}/archive?path=/`],
  ] as const)
    assert.ok([404, 501].includes(await ask(method, path)), `${method} ${path}`);
  // What a start asks of the host is not passed on.
  const { durable_object_id: object } = instance as Seen;
  const { namespace_id: namespace } = (await platform.rest("GET", `${containers}/applications/${application}`)).body.result.durable_objects;
  const own = `workerd-freehold-${namespace}-${"e".repeat(64)}`;
  assert.notEqual(object, "e".repeat(64));
  const create = { Image: "scratch", Env: [], HostConfig: { Privileged: true, Binds: ["/:/host"], PidMode: "host", NetworkMode: "host" } };
  assert.equal(await ask("POST", `/containers/create?name=${own}`, create), 201);
  assert.equal(await ask("POST", `/containers/${own}/start`), 204);
  const made = (await live()).find(({ durable_object_id }) => durable_object_id === "e".repeat(64)) as Seen;
  assert.ok(made !== undefined, platform.printed());
  const { HostConfig } = (await docker.api("GET", `/containers/freehold-${made.id}/json`)) as { HostConfig: Record<string, unknown> };
  assert.deepEqual([HostConfig.Privileged, HostConfig.Binds, HostConfig.PidMode, HostConfig.Memory], [false, null, "", 1024 ** 3]);
  assert.equal(await ask("DELETE", `/containers/${own}?force=true`), 204);
});

/** Looks again and again until it is so. */
async function until(isSo: () => Promise<boolean>, found: () => string = () => ""): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) if (await isSo()) return;
  assert.fail(`it did not come to be so: ${found()}`);
}
