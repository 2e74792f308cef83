/** Builds from Git, put together: repositories, their host, the queue and its steps, logs, the cache, and the daily sweep. */
import { join } from "node:path";
import type { HostRoute, KernelSlice, Route } from "../../../kernel/product.ts";
import type { Assets } from "../assets.ts";
import type { Deployer } from "../deploy.ts";
import type { Deployment, Project } from "../model.ts";
import type { PagesStore } from "../store.ts";
import type { Views } from "../views.ts";
import { buildRoutes } from "./build-routes.ts";
import { createBuilder } from "./builder.ts";
import { openBuildCache } from "./cache.ts";
import { openDeployHooks } from "./deploy-hooks.ts";
import { gitHost } from "./git-host.ts";
import { type BuildLogs, openBuildLogs } from "./logs.ts";
import { openPushes, type Pushes } from "./pushes.ts";
import { openRepositories, type Repositories } from "./repositories.ts";
import { openSteps } from "./steps.ts";

export interface Builds {
  readonly repositories: Repositories;
  readonly pushes: Pushes;
  readonly logs: BuildLogs;
  readonly host: HostRoute;
  routes(views: Views): Route[];
  onConnected(project: Project): Promise<void>;
  onRemoved(project: Project): void;
  stop(): Promise<void>;
}

const SWEEP_MS = 24 * 3600 * 1000;

interface Parts {
  readonly store: PagesStore;
  readonly assets: Assets;
  readonly deployer: Deployer;
  urlOf(project: Project, deployment: Deployment): string;
}

export async function openBuilds(kernel: KernelSlice, { store, assets, deployer, urlOf }: Parts): Promise<Builds> {
  const { clock, config, log, meta } = kernel;
  const repositories = await openRepositories(kernel);
  const logs = openBuildLogs(meta, clock, log);
  const cache = await openBuildCache(join(kernel.directory, "cache"), config["pages.build_cache_mb"] * 2 ** 20, clock);
  const steps = await openSteps(kernel, { repositories, assets, cache, urlOf });
  const builder = createBuilder(kernel, { store, deployer, logs, repositories, steps });
  const pushes = openPushes(kernel, store, repositories, builder);
  const hooks = openDeployHooks(kernel);

  const sweep = async (): Promise<void> => {
    await logs.sweep();
    await cache.sweep();
  };
  await sweep();
  const timer = setInterval(() => sweep().catch((error: unknown) => log.error("builds.sweep_failed", { error })), SWEEP_MS);
  timer.unref();
  let stopped = false;

  /** What was left over is begun once the platform serves, which builds need. */
  async function begin(): Promise<void> {
    if (repositories.all().length === 0) return;
    await steps.ready();
    if (stopped) return;
    await builder.start();
    await pushes.lookAtAll();
  }
  begin().catch((error: unknown) => log.error("builds.begin_failed", { error }));

  return {
    repositories,
    pushes,
    logs,
    host: gitHost(kernel, repositories, async (repository) => void (await pushes.look(repository))),
    routes: (views) => buildRoutes(kernel, { store, builder, pushes, hooks, cache, repositories, views }),
    async onConnected(project) {
      const repository = repositories.get(project.settings.source?.repository ?? "");
      if (repository === undefined) return;
      try {
        await pushes.look(repository);
        if (
          (await store.countDeployments(project, {})) === 0 &&
          (await repositories.head(repository, project.productionBranch)) !== undefined
        )
          await pushes.build(project, project.productionBranch, "ad_hoc");
      } catch (error) {
        // The project is there; its repository may be later.
        log.warn("project.first_build_failed", { project: project.name, error });
      }
    },
    onRemoved(project) {
      builder.abandon(project);
      void cache.clear(project.id).catch((error: unknown) => log.error("build_cache.clear_failed", { project: project.id, error }));
    },
    async stop() {
      if (stopped) return;
      stopped = true;
      clearInterval(timer);
      await builder.stop();
      await steps.stop();
      await repositories.stop();
    },
  };
}
