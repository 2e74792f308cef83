/**
 * Containers: images in a registry of the account's own, and instances of them, each attached to one Durable Object.
 * README.md has the surface and the guarantees; this file puts the parts together.
 */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KernelSlice, Product, RunningProduct } from "../../kernel/product.ts";
import { openApplications } from "./applications.ts";
import { registryCredentials } from "./credentials.ts";
import { openDockerDoor } from "./docker-door.ts";
import { openEngine } from "./engine.ts";
import { openExecs } from "./execs.ts";
import { openImages } from "./images.ts";
import { openInstances } from "./instances.ts";
import { migrations } from "./migrations.ts";
import { SESSION } from "./object-key.ts";
import { readOutput } from "./output.ts";
import { openReferences, PUBLIC_REGISTRY } from "./references.ts";
import { openRegistry } from "./registry.ts";
import { rolloutRoutes } from "./rollout-routes.ts";
import { openRollouts } from "./rollouts.ts";
import { containerRoutes } from "./routes.ts";
import { openUsage } from "./usage.ts";
import { workerDoors } from "./worker-door.ts";

export const containers = {
  name: "containers",
  status: "beta",
  needs: ["dispatch", "durableObjects", "telemetry"],
  migrations,
  permissions: [
    { id: "cfd39eebc07c4e3ea849e4b3d2644637", name: "Workers Containers Read", scopes: ["com.cloudflare.api.account"] },
    { id: "bdbcd690c763475a985e8641dddc09f7", name: "Workers Containers Write", scopes: ["com.cloudflare.api.account"] },
  ],
  start,
} satisfies Product;

/** A new private directory, and a short one: a socket's path may have at most 107 bytes. That of a platform which was killed goes. */
async function socketDirectory(record: string): Promise<string> {
  if (existsSync(record)) await rm(await readFile(record, "utf8"), { recursive: true, force: true });
  const directory = await mkdtemp(join(tmpdir(), "freehold-containers-"));
  await writeFile(record, directory, { mode: 0o600 });
  return directory;
}

async function start(kernel: KernelSlice): Promise<RunningProduct> {
  const { meta, clock, log, config, accountId, urls } = kernel;
  const durableObjects = kernel.get("durableObjects");
  const dispatch = kernel.get("dispatch");
  const engine = openEngine(config["containers.docker_socket"]);
  const images = openImages(kernel);
  const credentials = registryCredentials(kernel.secrets.derive("containers-registry"), clock);
  const registry = openRegistry({ images, credentials, accountId, clock, log, layerMaxBytes: config["containers.layer_max_bytes"] });

  // The engine speaks plain HTTP to registries on the loopback interface alone, and the gateway may listen elsewhere.
  const listener = createServer({ requestTimeout: 0 }, (request, response) => void registry.handle(request, response));
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(0, "127.0.0.1", resolve);
  });
  const registryAddress = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
  const names = (): string[] => [PUBLIC_REGISTRY, `registry.${urls.domain}`, new URL(urls.host("registry")).host];

  const applications = await openApplications(meta, clock);
  const references = openReferences({
    images,
    engine,
    credentials,
    accountId,
    names: () => [...names(), registryAddress],
    registry: () => registryAddress,
  });
  const instances = openInstances({ kernel, engine, applications, prepareImage: references.prepare });

  const output = readOutput({ engine, instances, applications, dispatch, durableObjects, telemetry: kernel.get("telemetry"), clock, log });

  const usage = openUsage({ engine, instances, applications, meta, clock, log, everyMs: config["containers.metrics_s"] * 1000 });

  const directory = await socketDirectory(join(kernel.directory, "socket-directory"));
  const doors = workerDoors({
    directory,
    instances,
    execs: openExecs(engine),
    log,
    owns: async (scriptId, namespaceId) => (await durableObjects.namespace(namespaceId))?.scriptId === scriptId,
  });
  dispatch.extend(async ({ scriptId, containers: classes }) =>
    classes.length === 0
      ? undefined
      : { bindings: [], containers: { engine: { socketPath: await doors.open(scriptId), sessionId: SESSION }, classes } },
  );
  dispatch.keepAwake(instances.busy);

  const dockerSocket = join(directory, "docker.sock");
  const dockerDoor = await openDockerDoor({
    enginePath: config["containers.docker_socket"],
    path: dockerSocket,
    names,
    registry: registryAddress,
  });
  const found = await engine.version();
  const hasEngine = "version" in found;
  if (hasEngine) await instances.adopt();
  const rollouts = openRollouts(kernel, applications, instances);
  await rollouts.resume();

  return {
    routes: [
      ...containerRoutes({
        kernel,
        engine,
        applications,
        instances,
        references,
        credentials,
        rollouts,
        durableObjects,
        registryNames: names,
      }),
      ...rolloutRoutes({ applications, instances, references, rollouts }),
    ],
    hosts: [
      {
        name: "registry",
        patterns: ["registry"],
        publicHosts: [PUBLIC_REGISTRY],
        template: "/v2/",
        wholeHost: true,
        handle: (_params, request, response) => registry.handle(request, response),
      },
    ],
    datasets: usage.datasets,
    clientEnvironment: () => (hasEngine ? { DOCKER_HOST: `unix://${dockerSocket}`, WRANGLER_DOCKER_HOST: `unix://${dockerSocket}` } : {}),
    async check() {
      const now = await engine.version();
      const detail = "version" in now ? `engine ${now.version}, ${instances.live().length} instances` : "no container engine";
      return { ok: "version" in now || applications.list().length === 0, detail };
    },
    async stop() {
      await rollouts.stop();
      await instances.close();
      await output.stop();
      await usage.stop();
      doors.close();
      for (const server of [dockerDoor, listener]) {
        server.close();
        server.closeAllConnections();
      }
      await registry.stop();
      engine.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
