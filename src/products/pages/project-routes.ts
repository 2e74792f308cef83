/** REST routes of projects: `/accounts/{account}/pages/projects`. */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import { platformError } from "../../kernel/errors.ts";
import type { KernelSlice, RequestContext, Route } from "../../kernel/product.ts";
import type { Repositories } from "./builds/repositories.ts";
import { type Source, sourceAfter, sourceSchema } from "./builds/source.ts";
import type { Deployer } from "./deploy.ts";
import { type ConfigChange, changed, configChange, defaultConfig, oversized } from "./deployment-config.ts";
import { pagesError } from "./errors.ts";
import type { BuildConfig, Environment, Project, ProjectSettings } from "./model.ts";
import { PROJECT, PROJECTS, READ, WRITE } from "./rest.ts";
import type { PagesStore } from "./store.ts";
import type { Views } from "./views.ts";

const NAME = /^[a-z0-9]([a-z0-9-]{0,56}[a-z0-9])?$/;

const buildConfig = z.object({
  build_command: z.string().max(5_000).nullish(),
  destination_dir: z.string().max(1_000).nullish(),
  root_dir: z.string().max(1_000).nullish(),
  build_caching: z.boolean().nullish(),
  web_analytics_tag: z.string().max(100).nullish(),
  web_analytics_token: z.string().max(100).nullish(),
});

const change = z.object({
  production_branch: z.string().min(1).max(255).optional(),
  build_config: buildConfig.nullish(),
  deployment_configs: z.object({ production: configChange.nullish(), preview: configChange.nullish() }).nullish(),
  source: sourceSchema.nullish(),
  /** Freehold's own: the real service has a policy of Cloudflare Access. */
  preview_access: z.enum(["public", "members"]).optional(),
});
const creation = change.extend({ name: z.string() });
type Change = z.infer<typeof change>;

const NO_BUILD: BuildConfig = {
  build_command: null,
  destination_dir: null,
  root_dir: null,
  build_caching: null,
  web_analytics_tag: null,
  web_analytics_token: null,
};

/** Documented. */
const PROJECTS_OF_REPOSITORY_MAX = 5;

interface Parts {
  readonly store: PagesStore;
  readonly deployer: Deployer;
  readonly views: Views;
  readonly repositories: Repositories;
  /** A project was made that is built from a repository. */
  onConnected(project: Project): Promise<void>;
  /** A project is about to go. */
  onRemoved(project: Project): void;
}

export function projectRoutes(kernel: KernelSlice, { store, deployer, views, repositories, onConnected, onRemoved }: Parts): Route[] {
  const named = (c: RequestContext): Project => store.require(c.params.project as string);

  function settingsAfter(now: ProjectSettings, { build_config, deployment_configs, preview_access }: Change): ProjectSettings {
    const { build, configs } = now;
    const config = (environment: Environment) => {
      const wanted: ConfigChange = deployment_configs?.[environment] ?? {};
      const large = oversized(wanted);
      if (large !== undefined) throw platformError("badRequest", `The variable '${large}' is too large. The limit is 5 KB.`);
      return changed(configs[environment], wanted, kernel);
    };
    return {
      ...now,
      ...(preview_access && { previewAccess: preview_access }),
      build: { ...build, ...Object.fromEntries(Object.entries(build_config ?? {}).filter(([, value]) => value !== undefined)) },
      configs: { production: config("production"), preview: config("preview") },
    };
  }

  /** The repository that a new project is to be built from, which is made when there is none of that name. */
  async function connect({ source }: Change): Promise<Source | undefined> {
    if (source == null) return undefined;
    const { owner, repo_name, clone_url, webhook_secret } = source.config;
    const repository = await repositories.ensure(owner, repo_name, clone_url, webhook_secret);
    if (projectsOf(repository.id).length >= PROJECTS_OF_REPOSITORY_MAX) throw pagesError("tooManyProjectsOfRepository");
    return sourceAfter(undefined, source, repository.id);
  }

  const projectsOf = (repository: string): Project[] =>
    store.projects().filter(({ settings }) => settings.source?.repository === repository);

  /** The rules of a connected project change; what it is connected to does not. */
  async function reconnect(now: Project, { source }: Change): Promise<Source | undefined> {
    const before = now.settings.source;
    if (source == null) return before;
    const { owner, repo_name, clone_url, webhook_secret } = source.config;
    if (before === undefined || repositories.find(owner, repo_name)?.id !== before.repository) throw pagesError("connected");
    await repositories.ensure(owner, repo_name, clone_url, webhook_secret);
    return sourceAfter(before, source, before.repository);
  }

  return [
    {
      op: "pages.projects.list",
      method: "GET",
      path: PROJECTS,
      permission: READ,
      async handle(c) {
        const { result, resultInfo } = numberedPage(store.projects(), c.query, 100, 10);
        return { page: true, result: await Promise.all(result.map(views.project)), resultInfo };
      },
    },
    {
      op: "pages.projects.create",
      method: "POST",
      path: PROJECTS,
      permission: WRITE,
      async handle(c) {
        const wanted = await c.json(creation);
        if (!NAME.test(wanted.name)) throw pagesError("invalidName");
        if (store.project(wanted.name) !== undefined) throw pagesError("projectExists");
        if (store.projects().length >= kernel.config["pages.projects_max"]) throw pagesError("tooManyProjects");
        const fresh = defaultConfig(kernel.clock.now());
        const settings = settingsAfter({ build: NO_BUILD, configs: { production: fresh, preview: fresh } }, wanted);
        const source = await connect(wanted);
        const branch = wanted.production_branch ?? wanted.source?.config.production_branch ?? "main";
        const project = await store.createProject(wanted.name, branch, { ...settings, ...(source && { source }) });
        c.audit({
          info: "CreateProject",
          type: "create",
          resource: { type: "pages.project", id: project.id },
          newValue: { name: project.name },
        });
        if (source !== undefined) await onConnected(project);
        return views.project(project);
      },
    },
    { op: "pages.projects.get", method: "GET", path: PROJECT, permission: READ, handle: async (c) => views.project(named(c)) },
    {
      op: "pages.projects.edit",
      method: "PATCH",
      path: PROJECT,
      permission: WRITE,
      async handle(c) {
        const project = named(c);
        const wanted = await c.json(change);
        const source = await reconnect(project, wanted);
        const edited = await deployer.change(project, (now) => ({
          productionBranch: wanted.production_branch ?? wanted.source?.config.production_branch ?? now.productionBranch,
          settings: { ...settingsAfter(now.settings, wanted), ...(source && { source }) },
        }));
        c.audit({ info: "UpdateProject", type: "update", resource: { type: "pages.project", id: project.id } });
        return views.project(edited);
      },
    },
    {
      op: "pages.projects.delete",
      method: "DELETE",
      path: PROJECT,
      permission: WRITE,
      async handle(c) {
        const project = named(c);
        onRemoved(project);
        await deployer.removeProject(project);
        const repository = repositories.get(project.settings.source?.repository ?? "");
        if (repository !== undefined && projectsOf(repository.id).length === 0) await repositories.remove(repository);
        c.audit({
          info: "DeleteProject",
          type: "delete",
          resource: { type: "pages.project", id: project.id },
          oldValue: { name: project.name },
        });
        return null;
      },
    },
  ];
}
