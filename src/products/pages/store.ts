/**
 * Rows of projects, deployments and aliases. Projects are in memory, too: requests ask for them by name. The rows are the
 * truth, and this object is their only writer. One change of a project at a time: `deploy.ts` sees to that.
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import type { MetaStore, MetaTransaction, SqlValue } from "../../kernel/meta/meta.ts";
import { pagesError } from "./errors.ts";
import {
  aliasOf,
  type Deployment,
  type DeploymentContent,
  type Environment,
  type Project,
  type ProjectSettings,
  type Run,
} from "./model.ts";

type ProjectRow = {
  id: string;
  name: string;
  created_on: number;
  production_branch: string;
  production_deployment: string | null;
  settings: string;
};
type DeploymentRow = {
  id: string;
  project_id: string;
  number: number;
  short_id: string;
  created_on: number;
  environment: Environment;
  branch: string;
  status: Deployment["status"];
  content: string;
};

/** Without the files, which are many. */
const COLUMNS = "id, project_id, number, short_id, created_on, environment, branch, status, content";

/** Paths and the hashes of what they hold. */
export type Manifest = Readonly<Record<string, string>>;

export type NewDeployment = Omit<Deployment, "number" | "createdOn"> & { readonly files: Manifest };

export interface PagesStore {
  /** By name. */
  projects(): readonly Project[];
  project(name: string): Project | undefined;
  projectById(id: string): Project | undefined;
  /** Throws `pages.projectNotFound`. */
  require(name: string): Project;
  createProject(name: string, productionBranch: string, settings: ProjectSettings): Promise<Project>;
  changeProject(project: Project, change: Pick<Project, "productionBranch" | "settings">): Promise<Project>;
  /** With its deployments and aliases; files are the caller's to remove, in the same transaction. */
  removeProject(project: Project, alongside: (tx: MetaTransaction) => Promise<void>): Promise<void>;
  /** Newest first. */
  deployments(project: Project, filter: { environment?: string }, limit: number, offset?: number): Promise<Deployment[]>;
  countDeployments(project: Project, filter: { environment?: string }): Promise<number>;
  deployment(id: string): Promise<Deployment | undefined>;
  /** Id of the successful deployment with this short id or alias. */
  idAt(project: Project, label: string): Promise<string | undefined>;
  /** Aliases that lead to a deployment now. */
  aliases(deploymentId: string): Promise<string[]>;
  files(deploymentId: string): Promise<Manifest>;
  /** Inserts it and, when it is a success, makes it what its environment and branch show; `settings` of the project change with it. */
  addDeployment(project: Project, deployment: NewDeployment, settings?: ProjectSettings): Promise<Deployment>;
  /** Says how far a build is. */
  advance(deployment: Deployment, run: Run): Promise<void>;
  /** A build has ended: what it is now, shown as a new deployment is. Undefined when it was deleted meanwhile, or had ended. */
  finish(project: Project, deployment: NewDeployment, settings?: ProjectSettings): Promise<Deployment | undefined>;
  /** Builds that wait or run, the oldest first. */
  active(): Promise<Deployment[]>;
  makeProduction(project: Project, deployment: Deployment): Promise<void>;
  removeDeployment(project: Project, deployment: Deployment): Promise<void>;
  /** Ids of all deployments that have Functions. */
  withFunctions(): Promise<string[]>;
}

export async function openStore(meta: MetaStore, clock: Clock): Promise<PagesStore> {
  const byName = new Map<string, Project>();
  const byId = new Map<string, Project>();
  const remember = (project: Project): Project => {
    byName.set(project.name, project);
    byId.set(project.id, project);
    return project;
  };
  for (const row of await meta.all<ProjectRow>("SELECT * FROM pages_projects ORDER BY name LIMIT 100000")) remember(projectOf(row));

  /** The project as it is now: what a caller holds may be older. */
  const current = (project: Project): Project => {
    const found = byId.get(project.id);
    if (found === undefined) throw pagesError("projectNotFound");
    return found;
  };

  /** Makes a successful deployment what its environment and branch show; gives the project as it is once this is committed. */
  async function shown(
    tx: MetaTransaction,
    project: Project,
    { id, environment, branch, status }: Pick<Deployment, "id" | "environment" | "branch" | "status">,
    settings: ProjectSettings | undefined,
  ): Promise<Project> {
    const production = status === "success" && environment === "production";
    const next: Project = { ...project, ...(production && { productionDeployment: id }), ...(settings && { settings }) };
    const alias = aliasOf(branch);
    if (status === "success" && !production && alias !== "") {
      await tx.run(
        `INSERT INTO pages_aliases (project_id, alias, deployment_id) VALUES (?, ?, ?)
         ON CONFLICT (project_id, alias) DO UPDATE SET deployment_id = excluded.deployment_id`,
        ...[project.id, alias, id],
      );
    }
    // This row makes a production deployment the site.
    await tx.run(
      "UPDATE pages_projects SET production_deployment = ?, settings = ? WHERE id = ?",
      ...[next.productionDeployment, JSON.stringify(next.settings), project.id],
    );
    return next;
  }

  const environmentOf = ({ environment }: { environment?: string }): [string, SqlValue[]] =>
    environment === undefined ? ["", []] : [" AND environment = ?", [environment]];

  return {
    projects: () => [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    project: (name) => byName.get(name),
    projectById: (id) => byId.get(id),
    require(name) {
      const project = byName.get(name);
      if (project === undefined) throw pagesError("projectNotFound");
      return project;
    },
    async createProject(name, productionBranch, settings) {
      if (byName.has(name)) throw pagesError("projectExists");
      const project: Project = { id: randomUUID(), name, createdOn: clock.now(), productionBranch, productionDeployment: null, settings };
      const { changes } = await meta.run(
        `INSERT INTO pages_projects (id, name, created_on, production_branch, production_deployment, settings)
         VALUES (?, ?, ?, ?, NULL, ?) ON CONFLICT DO NOTHING`,
        project.id,
        name,
        project.createdOn,
        productionBranch,
        JSON.stringify(settings),
      );
      if (changes === 0) throw pagesError("projectExists");
      return remember(project);
    },
    async changeProject(project, change) {
      await meta.run(
        "UPDATE pages_projects SET production_branch = ?, settings = ? WHERE id = ?",
        change.productionBranch,
        JSON.stringify(change.settings),
        project.id,
      );
      return remember({ ...current(project), ...change });
    },
    async removeProject(project, alongside) {
      await meta.transaction(async (tx) => {
        await tx.run("DELETE FROM pages_aliases WHERE project_id = ?", project.id);
        await tx.run("DELETE FROM pages_domains WHERE project_id = ?", project.id);
        await tx.run("DELETE FROM pages_deploy_hooks WHERE project_id = ?", project.id);
        await tx.run(
          "DELETE FROM pages_build_logs WHERE deployment_id IN (SELECT id FROM pages_deployments WHERE project_id = ?)",
          project.id,
        );
        await tx.run("DELETE FROM pages_deployments WHERE project_id = ?", project.id);
        await tx.run("DELETE FROM pages_projects WHERE id = ?", project.id);
        await alongside(tx);
      });
      byName.delete(project.name);
      byId.delete(project.id);
    },
    async deployments(project, filter, limit, offset = 0) {
      const [where, params] = environmentOf(filter);
      const sql = `SELECT ${COLUMNS} FROM pages_deployments WHERE project_id = ?${where} ORDER BY number DESC LIMIT ? OFFSET ?`;
      return (await meta.all<DeploymentRow>(sql, project.id, ...params, limit, offset)).map(deploymentOf);
    },
    async countDeployments(project, filter) {
      const [where, params] = environmentOf(filter);
      const sql = `SELECT COUNT(*) AS n FROM pages_deployments WHERE project_id = ?${where}`;
      return (await meta.get<{ n: number }>(sql, project.id, ...params))?.n ?? 0;
    },
    async deployment(id) {
      const row = await meta.get<DeploymentRow>(`SELECT ${COLUMNS} FROM pages_deployments WHERE id = ?`, id);
      return row && deploymentOf(row);
    },
    async idAt(project, label) {
      const own = "SELECT id FROM pages_deployments WHERE project_id = ? AND short_id = ? AND status = 'success'";
      const alias = "SELECT deployment_id AS id FROM pages_aliases WHERE project_id = ? AND alias = ?";
      const row = (await meta.get<{ id: string }>(own, project.id, label)) ?? (await meta.get<{ id: string }>(alias, project.id, label));
      return row?.id;
    },
    async aliases(deploymentId) {
      const rows = await meta.all<{ alias: string }>("SELECT alias FROM pages_aliases WHERE deployment_id = ? LIMIT 100", deploymentId);
      return rows.map(({ alias }) => alias);
    },
    async files(deploymentId) {
      const row = await meta.get<{ files: string }>("SELECT files FROM pages_deployments WHERE id = ?", deploymentId);
      return row === undefined ? {} : (JSON.parse(row.files) as Manifest);
    },
    async addDeployment(project, { files, ...deployment }, settings) {
      const { id, shortId, environment, branch, status, projectId: _, ...content } = deployment;
      const createdOn = clock.now();
      let next = current(project);
      const number = await meta.transaction(async (tx) => {
        const row = await tx.get<{ n: number | null }>("SELECT MAX(number) AS n FROM pages_deployments WHERE project_id = ?", project.id);
        const number = (row?.n ?? 0) + 1;
        await tx.run(
          `INSERT INTO pages_deployments (${COLUMNS}, files) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          ...[id, project.id, number, shortId, createdOn, environment, branch, status, JSON.stringify(content satisfies DeploymentContent)],
          JSON.stringify(files),
        );
        next = await shown(tx, current(project), deployment, settings);
        return number;
      });
      remember(next);
      return { ...deployment, number, createdOn };
    },
    async advance({ id }, run) {
      await meta.run("UPDATE pages_deployments SET content = json_set(content, '$.run', json(?)) WHERE id = ?", JSON.stringify(run), id);
    },
    async finish(project, { files, ...deployment }, settings) {
      const { id, shortId: _s, environment: _e, branch: _b, status, projectId: _p, ...content } = deployment;
      let next = current(project);
      const row = await meta.transaction(async (tx) => {
        const { changes } = await tx.run(
          "UPDATE pages_deployments SET status = ?, content = ?, files = ? WHERE id = ? AND status = 'active'",
          ...[status, JSON.stringify(content satisfies DeploymentContent), JSON.stringify(files), id],
        );
        if (changes === 0) return undefined;
        next = await shown(tx, current(project), deployment, settings);
        return tx.get<DeploymentRow>(`SELECT ${COLUMNS} FROM pages_deployments WHERE id = ?`, id);
      });
      if (row === undefined) return undefined;
      remember(next);
      return deploymentOf(row);
    },
    async active() {
      const sql = `SELECT ${COLUMNS} FROM pages_deployments WHERE status = 'active' ORDER BY created_on, number LIMIT 100000`;
      return (await meta.all<DeploymentRow>(sql)).map(deploymentOf);
    },
    async makeProduction(project, deployment) {
      await meta.run("UPDATE pages_projects SET production_deployment = ? WHERE id = ?", deployment.id, project.id);
      remember({ ...current(project), productionDeployment: deployment.id });
    },
    async removeDeployment(project, deployment) {
      await meta.transaction(async (tx) => {
        await tx.run("DELETE FROM pages_aliases WHERE deployment_id = ?", deployment.id);
        await tx.run("DELETE FROM pages_build_logs WHERE deployment_id = ?", deployment.id);
        await tx.run("DELETE FROM pages_deployments WHERE id = ? AND project_id = ?", deployment.id, project.id);
      });
    },
    async withFunctions() {
      const rows = await meta.all<{ id: string }>(
        "SELECT id FROM pages_deployments WHERE json_extract(content, '$.functions') = 1 LIMIT 10000000",
      );
      return rows.map(({ id }) => id);
    },
  };
}

const projectOf = (row: ProjectRow): Project => ({
  id: row.id,
  name: row.name,
  createdOn: row.created_on,
  productionBranch: row.production_branch,
  productionDeployment: row.production_deployment,
  settings: JSON.parse(row.settings) as ProjectSettings,
});

const deploymentOf = (row: DeploymentRow): Deployment => ({
  ...(JSON.parse(row.content) as DeploymentContent),
  id: row.id,
  projectId: row.project_id,
  number: row.number,
  shortId: row.short_id,
  createdOn: row.created_on,
  environment: row.environment,
  branch: row.branch,
  status: row.status,
});
