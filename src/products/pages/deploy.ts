/**
 * From a form to a deployment. The order is: check, make the Worker of its Functions, then one transaction whose commit makes
 * the deployment visible and moves the site or the branch's alias to it. A crash in between leaves a Worker that no
 * deployment names; the next start removes it. What is wrong with the code makes a failed deployment with a log.
 */
import { randomUUID } from "node:crypto";
import type { OwnedWorkers } from "../../kernel/capabilities.ts";
import { PlatformError } from "../../kernel/errors.ts";
import { oneAtATime } from "../../kernel/one-at-a-time.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import type { Assets } from "./assets.ts";
import type { DeploymentConfig } from "./deployment-config.ts";
import type { DeploymentForm } from "./deployment-form.ts";
import type { Domains } from "./domains.ts";
import { pagesError } from "./errors.ts";
import { createFunctions, OWNER, partsOf, workerName } from "./functions.ts";
import type { Deployment, Environment, Project, ProjectSettings } from "./model.ts";
import type { Sites } from "./sites.ts";
import type { Manifest, PagesStore } from "./store.ts";

export interface Deployer {
  /** Throws the documented errors; a deployment that failed is an answer like any other. */
  deploy(project: Project, form: DeploymentForm): Promise<Deployment>;
  /** Changes the project; `change` is told what it is now. */
  change(project: Project, change: (now: Project) => Pick<Project, "productionBranch" | "settings">): Promise<Project>;
  /** Makes a production deployment the site. Throws `pages.rollback`. */
  rollBack(project: Project, deployment: Deployment): Promise<void>;
  /** Throws `pages.liveDeployment`, and `pages.aliasedDeployment` unless aliases may go, too. */
  remove(project: Project, deployment: Deployment, options: { force: boolean }): Promise<void>;
  removeProject(project: Project): Promise<void>;
  /** Removes Workers that no deployment names. */
  sweep(): Promise<void>;
}

/** Deployments that are read at a time when a project is removed. */
const PAGE = 100;

interface Parts {
  readonly store: PagesStore;
  readonly assets: Assets;
  readonly sites: Sites;
  readonly domains: Domains;
  readonly workers: OwnedWorkers;
}

export function createDeployer(kernel: KernelSlice, { store, assets, sites, domains, workers }: Parts): Deployer {
  const { clock } = kernel;
  /** One change of a project at a time. */
  const exclusively = oneAtATime();

  async function checkFiles(project: Project, manifest: Manifest): Promise<void> {
    const hashes = Object.values(manifest);
    const missing = await assets.missing(project.id, hashes);
    if (missing.length > 0)
      throw pagesError("missingAssets", `The manifest names files that were not uploaded: ${missing.slice(0, 10).join(", ")}`);
    // From now on they do not go until the deployment is there.
    await assets.touch(project.id, hashes);
  }

  function settingsAfter(project: Project, environment: Environment, config: DeploymentConfig, form: DeploymentForm): ProjectSettings {
    const { settings } = project;
    return {
      configs: { ...settings.configs, [environment]: config },
      build: { ...settings.build, ...(form.outputDirectory !== undefined && { destination_dir: form.outputDirectory }) },
    };
  }

  async function deploy(project: Project, form: DeploymentForm): Promise<Deployment> {
    const branch = form.branch ?? project.productionBranch;
    const environment: Environment = branch === project.productionBranch ? "production" : "preview";
    await checkFiles(project, form.manifest);
    const id = randomUUID();
    const name = workerName(project.name, id);
    const log: { ts: number; line: string }[] = [];
    const say = (line: string): void => void log.push({ ts: clock.now(), line });
    let config: DeploymentConfig = project.settings.configs[environment];
    let status: Deployment["status"] = "success";
    if (form.configHash !== undefined) config = { ...config, wrangler_config_hash: form.configHash };
    if (form.code !== undefined) {
      try {
        config = await createFunctions(kernel, workers, name, form.code, config);
        say("Uploaded Functions");
      } catch (error) {
        if (!(error instanceof PlatformError) || error.spec.status >= 500) throw error;
        status = "failure";
        say(`Error: Failed to publish your Function. Got error: ${error.message}`);
      }
    }
    if (status === "success") say(`Success: Deployed ${Object.keys(form.manifest).length} files`);
    const settings = form.configHash === undefined ? undefined : settingsAfter(project, environment, config, form);
    const { commit, headers, redirects, routes } = form;
    try {
      return await store.addDeployment(
        project,
        {
          ...{ id, projectId: project.id, shortId: id.slice(0, 8), environment, branch, status, commit, headers, redirects, routes, log },
          functions: form.code !== undefined && status === "success",
          config,
          build: project.settings.build,
          files: form.manifest,
        },
        settings,
      );
    } catch (error) {
      await workers.remove(name);
      throw error;
    }
  }

  async function* manifests(project: Project): AsyncGenerator<Manifest> {
    for (let offset = 0; ; offset += PAGE) {
      const page = await store.deployments(project, {}, PAGE, offset);
      for (const { id } of page) yield await store.files(id);
      if (page.length < PAGE) return;
    }
  }

  async function removeWorker(project: Project, deployment: Deployment): Promise<void> {
    sites.forget(deployment.id);
    if (deployment.functions) await workers.remove(workerName(project.name, deployment.id));
  }

  return {
    deploy: (project, form) => exclusively(project.id, () => deploy(store.require(project.name), form)),
    change: (project, change) =>
      exclusively(project.id, async () => {
        const now = store.require(project.name);
        return store.changeProject(now, change(now));
      }),
    rollBack: (project, deployment) =>
      exclusively(project.id, async () => {
        if (deployment.environment !== "production" || deployment.status !== "success") throw pagesError("rollback");
        await store.makeProduction(project, deployment);
      }),
    remove: (project, deployment, { force }) =>
      exclusively(project.id, async () => {
        if (store.require(project.name).productionDeployment === deployment.id) throw pagesError("liveDeployment");
        if (!force && (await store.aliases(deployment.id)).length > 0) throw pagesError("aliasedDeployment");
        await store.removeDeployment(project, deployment);
        await removeWorker(project, deployment);
        await assets.collect(project.id, manifests(project));
      }),
    removeProject: (project) =>
      exclusively(project.id, async () => {
        const deployments: Deployment[] = [];
        for (let offset = 0; ; offset += PAGE) {
          const page = await store.deployments(project, {}, PAGE, offset);
          deployments.push(...page);
          if (page.length < PAGE) break;
        }
        let discard: (() => Promise<void>) | undefined;
        await store.removeProject(project, async (tx) => {
          discard = await assets.removeAll(tx, project.id);
        });
        domains.forget(project);
        for (const deployment of deployments) await removeWorker(project, deployment);
        await discard?.();
      }),
    async sweep() {
      const named = new Set(await store.withFunctions());
      for (const name of workers.names(OWNER)) if (!named.has(partsOf(name).deployment)) await workers.remove(name);
    },
  };
}
