/** REST routes of deployments: `/accounts/{account}/pages/projects/{project}/deployments`. */
import { parseJson } from "../../kernel/api/body.ts";
import { page } from "../../kernel/api/envelope.ts";
import type { OwnedWorkers } from "../../kernel/capabilities.ts";
import type { KernelSlice, RequestContext, Route } from "../../kernel/product.ts";
import type { BuildLogs } from "./builds/logs.ts";
import type { Pushes } from "./builds/pushes.ts";
import type { Deployer } from "./deploy.ts";
import { branchAlone, readDeploymentForm } from "./deployment-form.ts";
import { pagesError } from "./errors.ts";
import { workerName } from "./functions.ts";
import type { Deployment, Project } from "./model.ts";
import { PROJECT, READ, WRITE } from "./rest.ts";
import type { PagesStore } from "./store.ts";
import type { Views } from "./views.ts";

const DEPLOYMENTS = `${PROJECT}/deployments`;
const DEPLOYMENT = `${DEPLOYMENTS}/:deployment`;
const PER_PAGE = 25;
/** Of the form beside the code: the manifest of 100,000 files, and files with rules. */
const FORM_OVERHEAD_BYTES = 32 * 1024 * 1024;

interface Parts {
  readonly store: PagesStore;
  readonly deployer: Deployer;
  readonly views: Views;
  readonly workers: OwnedWorkers;
  readonly pushes: Pushes;
  readonly logs: BuildLogs;
}

export function deploymentRoutes(kernel: KernelSlice, { store, deployer, views, workers, pushes, logs }: Parts): Route[] {
  const { config } = kernel;
  const named = (c: RequestContext): Project => store.require(c.params.project as string);

  async function one(c: RequestContext): Promise<{ project: Project; deployment: Deployment }> {
    const project = named(c);
    const deployment = await store.deployment(c.params.deployment as string);
    if (deployment === undefined || deployment.projectId !== project.id) throw pagesError("deploymentNotFound");
    return { project, deployment };
  }

  /** The Worker of a deployment, for tails. */
  async function workerOf(c: RequestContext): Promise<string> {
    const { project, deployment } = await one(c);
    if (!deployment.functions) throw pagesError("deploymentNotFound", "The deployment has no Functions.");
    return workerName(project.name, deployment.id);
  }

  const audited = (c: RequestContext, info: string, type: "create" | "update" | "delete", id: string): void =>
    c.audit({ info, type, resource: { type: "pages.deployment", id } });

  return [
    {
      op: "pages.deployments.list",
      method: "GET",
      path: DEPLOYMENTS,
      permission: READ,
      async handle(c) {
        const project = named(c);
        const environment = c.query.get("env") ?? undefined;
        const filter = environment === undefined ? {} : { environment };
        const perPage = within(c.query.get("per_page"), PER_PAGE, PER_PAGE);
        const number = within(c.query.get("page"), 1, 1_000_000);
        const found = await store.deployments(project, filter, perPage, (number - 1) * perPage);
        const total = await store.countDeployments(project, filter);
        const result = await Promise.all(found.map((deployment) => views.deployment(project, deployment)));
        return page(result, {
          page: number,
          per_page: perPage,
          count: result.length,
          total_count: total,
          total_pages: Math.ceil(total / perPage),
        });
      },
    },
    {
      op: "pages.deployments.create",
      method: "POST",
      path: DEPLOYMENTS,
      permission: WRITE,
      async handle(c) {
        const project = named(c);
        const body = await c.bytes(config["workers.script_max_bytes"] + FORM_OVERHEAD_BYTES);
        const branch = await branchAlone(c.headers.get("content-type") ?? "", body);
        if (project.settings.source !== undefined && branch !== undefined) {
          const queued = await pushes.build(project, branch || project.productionBranch, "ad_hoc");
          audited(c, "CreateDeployment", "create", queued.id);
          return views.deployment(project, queued);
        }
        const form = await readDeploymentForm(c.headers.get("content-type") ?? "", body, config["pages.files_max"]);
        const deployment = await deployer.deploy(project, form);
        audited(c, "CreateDeployment", "create", deployment.id);
        return views.deployment(store.require(project.name), deployment);
      },
    },
    {
      op: "pages.deployments.get",
      method: "GET",
      path: DEPLOYMENT,
      permission: READ,
      async handle(c) {
        const { project, deployment } = await one(c);
        return views.deployment(project, deployment);
      },
    },
    {
      op: "pages.deployments.delete",
      method: "DELETE",
      path: DEPLOYMENT,
      permission: WRITE,
      async handle(c) {
        const { project, deployment } = await one(c);
        if (deployment.status === "active") throw pagesError("retry", "Cancel the build first.");
        await deployer.remove(project, deployment, { force: c.query.get("force") === "true" });
        audited(c, "DeleteDeployment", "delete", deployment.id);
        return null;
      },
    },
    {
      op: "pages.deployments.rollback",
      method: "POST",
      path: `${DEPLOYMENT}/rollback`,
      permission: WRITE,
      async handle(c) {
        const { project, deployment } = await one(c);
        await deployer.rollBack(project, deployment);
        audited(c, "RollbackDeployment", "update", deployment.id);
        return views.deployment(store.require(project.name), deployment);
      },
    },
    {
      op: "pages.deployments.logs",
      method: "GET",
      path: `${DEPLOYMENT}/history/logs`,
      permission: READ,
      async handle(c) {
        const { deployment } = await one(c);
        const log = [...(deployment.run === undefined ? [] : await logs.read(deployment.id)), ...deployment.log];
        const data = log.map(({ ts, line }) => ({ ts: new Date(ts).toISOString(), line }));
        return { total: data.length, includes_container_logs: deployment.run !== undefined, data };
      },
    },
    {
      op: "pages.tails.create",
      method: "POST",
      path: `${DEPLOYMENT}/tails`,
      permission: READ,
      async handle(c) {
        const worker = await workerOf(c);
        const body = Buffer.from(await c.bytes(1024 * 1024)).toString("utf8");
        return workers.openTail(worker, body === "" ? {} : parseJson(body));
      },
    },
    {
      op: "pages.tails.delete",
      method: "DELETE",
      path: `${DEPLOYMENT}/tails/:tail`,
      permission: READ,
      async handle(c) {
        await workers.closeTail(await workerOf(c), c.params.tail as string);
        return null;
      },
    },
  ];
}

function within(text: string | null, fallback: number, max: number): number {
  const value = Number(text);
  return text !== null && Number.isInteger(value) && value >= 1 ? Math.min(value, max) : fallback;
}
