/** Projects and deployments as the API shows them (`cloudflare` SDK 7.3.0, `pages.projects`). */
import type { PlatformUrls } from "../../kernel/product.ts";
import type { Repositories } from "./builds/repositories.ts";
import { currentStage } from "./builds/run.ts";
import { configView, variablesView } from "./deployment-config.ts";
import type { Domains } from "./domains.ts";
import type { Deployment, Project, Stage, StageName } from "./model.ts";
import type { PagesStore } from "./store.ts";

const iso = (ms: number): string => new Date(ms).toISOString();

/** Host name and port of a project's site. */
export const subdomainOf = (project: Project, urls: PlatformUrls): string => new URL(urls.host(`${project.name}.pages`)).host;

/** What the analytics API calls the Functions of an environment. */
export const scriptNameOf = (project: Project, environment: string): string => `pages-worker--${project.id}-${environment}`;

export interface Views {
  project(project: Project): Promise<Record<string, unknown>>;
  deployment(project: Project, deployment: Deployment): Promise<Record<string, unknown>>;
}

const stageView = ({ name, startedOn, endedOn, status }: Stage) => ({
  ...{ name, started_on: startedOn === null ? null : iso(startedOn), ended_on: endedOn === null ? null : iso(endedOn), status },
});

export function openViews(store: PagesStore, domains: Domains, repositories: Repositories, urls: PlatformUrls): Views {
  /** The repository, with what clients need to push there, or to tell of a push. */
  function sourceView(project: Project): Record<string, unknown> | undefined {
    const { source } = project.settings;
    const repository = source && repositories.get(source.repository);
    if (source === undefined || repository === undefined) return undefined;
    const { type, repository: id, ...rules } = source;
    const { owner, name, remote, webhook } = repository;
    const production_branch = project.productionBranch;
    return {
      type,
      config: {
        ...{ owner, owner_id: owner, repo_name: name, repo_id: id, production_branch, ...rules },
        clone_url: remote ?? `${urls.host("git")}/${owner}/${name}.git`,
        ...(remote !== null && { webhook_url: `${urls.gateway()}/client/v4/pages/webhooks/git/${webhook}` }),
      },
    };
  }

  async function deploymentView(project: Project, deployment: Deployment): Promise<Record<string, unknown>> {
    const { id, shortId, environment, branch, commit, createdOn, status } = deployment;
    const aliases = (await store.aliases(id)).map((alias) => urls.host(`${alias}.${project.name}.pages`));
    const on = iso(createdOn);
    const uploaded = (name: StageName): Stage => ({
      name,
      startedOn: createdOn,
      endedOn: createdOn,
      status: name === "deploy" ? (status as "success") : "success",
    });
    const stages = deployment.run?.stages ?? (["queued", "initialize", "clone_repo", "build", "deploy"] as const).map(uploaded);
    const source = sourceView(project);
    return {
      id,
      short_id: shortId,
      project_id: project.id,
      project_name: project.name,
      environment,
      url: urls.host(`${shortId}.${project.name}.pages`),
      created_on: on,
      modified_on: iso(stages.reduce((last, { startedOn, endedOn }) => Math.max(last, startedOn ?? 0, endedOn ?? 0), createdOn)),
      latest_stage: stageView(deployment.run === undefined ? (stages.at(-1) as Stage) : currentStage(deployment.run)),
      stages: stages.map(stageView),
      ...(source && { source }),
      deployment_trigger: {
        type: deployment.run?.trigger === "push" ? "github:push" : (deployment.run?.trigger ?? "ad_hoc"),
        metadata: { branch, commit_hash: commit.hash, commit_message: commit.message, commit_dirty: commit.dirty },
      },
      build_config: deployment.build,
      env_vars: variablesView(deployment.config),
      aliases: aliases.length === 0 ? null : aliases,
      is_skipped: false,
      uses_functions: deployment.functions,
      production_branch: project.productionBranch,
    };
  }

  return {
    deployment: deploymentView,
    async project(project) {
      const [latest] = await store.deployments(project, {}, 1);
      const live = project.productionDeployment === null ? undefined : await store.deployment(project.productionDeployment);
      const subdomain = subdomainOf(project, urls);
      return {
        id: project.id,
        name: project.name,
        subdomain,
        domains: [subdomain, ...domains.of(project).map(({ name }) => name)],
        created_on: iso(project.createdOn),
        production_branch: project.productionBranch,
        production_script_name: scriptNameOf(project, "production"),
        preview_script_name: scriptNameOf(project, "preview"),
        framework: "",
        framework_version: "",
        uses_functions: latest?.functions ?? false,
        ...(project.settings.source && { source: sourceView(project) }),
        preview_access: project.settings.previewAccess ?? "public",
        build_config: project.settings.build,
        deployment_configs: {
          preview: configView(project.settings.configs.preview),
          production: configView(project.settings.configs.production),
        },
        latest_deployment: latest ? await deploymentView(project, latest) : null,
        canonical_deployment: live ? await deploymentView(project, live) : null,
      };
    },
  };
}
