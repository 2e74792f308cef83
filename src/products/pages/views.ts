/** Projects and deployments as the API shows them (`cloudflare` SDK 7.3.0, `pages.projects`). */
import type { PlatformUrls } from "../../kernel/product.ts";
import { configView, variablesView } from "./deployment-config.ts";
import type { Domains } from "./domains.ts";
import type { Deployment, Project } from "./model.ts";
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

export function openViews(store: PagesStore, domains: Domains, urls: PlatformUrls): Views {
  async function deploymentView(project: Project, deployment: Deployment): Promise<Record<string, unknown>> {
    const { id, shortId, environment, branch, commit, createdOn, status } = deployment;
    const aliases = (await store.aliases(id)).map((alias) => urls.host(`${alias}.${project.name}.pages`));
    const on = iso(createdOn);
    const stage = (name: string, how: string) => ({ name, started_on: on, ended_on: on, status: how });
    const latest = stage("deploy", status);
    return {
      id,
      short_id: shortId,
      project_id: project.id,
      project_name: project.name,
      environment,
      url: urls.host(`${shortId}.${project.name}.pages`),
      created_on: on,
      modified_on: on,
      latest_stage: latest,
      stages: [...["queued", "initialize", "clone_repo", "build"].map((name) => stage(name, "success")), latest],
      deployment_trigger: {
        type: "ad_hoc",
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
