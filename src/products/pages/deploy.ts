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
import { endedRun } from "./builds/run.ts";
import type { DeploymentConfig } from "./deployment-config.ts";
import type { DeploymentForm } from "./deployment-form.ts";
import type { Domains } from "./domains.ts";
import { pagesError } from "./errors.ts";
import { createFunctions, OWNER, partsOf, workerName } from "./functions.ts";
import type { Deployment, Environment, Project, ProjectSettings, Run } from "./model.ts";
import type { Notices } from "./notices.ts";
import type { Sites } from "./sites.ts";
import type { Manifest, PagesStore } from "./store.ts";

export interface Deployer {
  /** Throws the documented errors; a deployment that failed is an answer like any other. */
  deploy(project: Project, form: DeploymentForm): Promise<Deployment>;
  /** Puts a build of a commit into the queue of builds. */
  queue(project: Project, build: QueuedBuild): Promise<Deployment>;
  /** A build has ended: with what it made, or without. Undefined when the deployment is not waited for any more. */
  complete(project: Project, deployment: Deployment, outcome: BuildOutcome): Promise<Deployment | undefined>;
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

export interface QueuedBuild {
  readonly branch: string;
  readonly commit: Deployment["commit"];
  readonly run: Run;
}

export interface BuildOutcome {
  readonly run: Run;
  readonly status: "success" | "failure" | "canceled";
  /** What a successful build made. */
  readonly form?: DeploymentForm;
  /** Hears what is said about the deployment. */
  say?(line: string): void;
}

/** Deployments that are read at a time when a project is removed. */
const PAGE = 100;

const EVENTS = { active: "STARTED", success: "SUCCESS", failure: "FAILED" } as const;

/** Of a deployment that has nothing to serve. */
const NOTHING = { headers: null, redirects: null, routes: null, functions: false, files: {} } as const;

interface Parts {
  readonly store: PagesStore;
  readonly assets: Assets;
  readonly sites: Sites;
  readonly domains: Domains;
  readonly workers: OwnedWorkers;
  readonly notices: Notices;
}

export function createDeployer(kernel: KernelSlice, { store, assets, sites, domains, workers, notices }: Parts): Deployer {
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
      ...settings,
      configs: { ...settings.configs, [environment]: config },
      build: { ...settings.build, ...(form.outputDirectory !== undefined && { destination_dir: form.outputDirectory }) },
    };
  }

  const environmentOf = (project: Project, branch: string): Environment => (branch === project.productionBranch ? "production" : "preview");

  /** Makes the Worker of its Functions, where it has some, and tells what the deployment will be. */
  async function make(project: Project, id: string, environment: Environment, form: DeploymentForm, say: (line: string) => void) {
    const name = workerName(project.name, id);
    let config: DeploymentConfig = project.settings.configs[environment];
    let status: "success" | "failure" = "success";
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
    const { headers, redirects, routes, manifest: files } = form;
    return {
      made: { status, headers, redirects, routes, config, files, functions: form.code !== undefined && status === "success" },
      settings,
    };
  }

  async function deploy(project: Project, form: DeploymentForm): Promise<Deployment> {
    const branch = form.branch ?? project.productionBranch;
    const environment = environmentOf(project, branch);
    await checkFiles(project, form.manifest);
    const id = randomUUID();
    const log: { ts: number; line: string }[] = [];
    const { made, settings } = await make(project, id, environment, form, (line) => void log.push({ ts: clock.now(), line }));
    const identity = { id, projectId: project.id, shortId: id.slice(0, 8), environment, branch, commit: form.commit };
    try {
      return await store.addDeployment(project, { ...identity, ...made, log, build: project.settings.build }, settings);
    } catch (error) {
      await workers.remove(workerName(project.name, id));
      throw error;
    }
  }

  async function queue(project: Project, { branch, commit, run }: QueuedBuild): Promise<Deployment> {
    const id = randomUUID();
    const environment = environmentOf(project, branch);
    const { build, configs } = project.settings;
    return store.addDeployment(project, {
      ...{ id, projectId: project.id, shortId: id.slice(0, 8), environment, branch, commit, run, build, config: configs[environment] },
      ...{ status: "active", ...NOTHING, log: [] },
    });
  }

  async function complete(
    project: Project,
    deployment: Deployment,
    { run, status, form, say }: BuildOutcome,
  ): Promise<Deployment | undefined> {
    const { number: _, createdOn: _c, ...known } = deployment;
    if (form === undefined) return store.finish(project, { ...known, run, status, ...NOTHING });
    await checkFiles(project, form.manifest);
    const { made, settings } = await make(project, deployment.id, deployment.environment, form, say ?? (() => undefined));
    const failed = made.status === "failure";
    const finished = await store.finish(
      project,
      { ...known, ...made, run: failed ? endedRun(run, "failure", clock.now()) : run },
      settings,
    );
    if (finished === undefined) await workers.remove(workerName(project.name, deployment.id));
    return finished;
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

  function tell(project: Project, deployment: Deployment): Deployment {
    if (deployment.status !== "canceled") notices(project, deployment, EVENTS[deployment.status]);
    return deployment;
  }

  return {
    deploy: (project, form) => exclusively(project.id, async () => tell(project, await deploy(store.require(project.name), form))),
    queue: (project, build) => exclusively(project.id, async () => tell(project, await queue(store.require(project.name), build))),
    complete: (project, deployment, outcome) =>
      exclusively(project.id, async () => {
        const now = store.projectById(project.id);
        const finished = now && (await complete(now, deployment, outcome));
        return finished && tell(project, finished);
      }),
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
