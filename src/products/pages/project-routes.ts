/** REST routes of projects: `/accounts/{account}/pages/projects`. */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import { platformError } from "../../kernel/errors.ts";
import type { KernelSlice, RequestContext, Route } from "../../kernel/product.ts";
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
  source: z.unknown().optional(),
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

export function projectRoutes(kernel: KernelSlice, store: PagesStore, deployer: Deployer, views: Views): Route[] {
  const named = (c: RequestContext): Project => store.require(c.params.project as string);

  function settingsAfter({ build, configs }: ProjectSettings, { build_config, deployment_configs }: Change): ProjectSettings {
    const config = (environment: Environment) => {
      const wanted: ConfigChange = deployment_configs?.[environment] ?? {};
      const large = oversized(wanted);
      if (large !== undefined) throw platformError("badRequest", `The variable '${large}' is too large. The limit is 5 KB.`);
      return changed(configs[environment], wanted, kernel);
    };
    return {
      build: { ...build, ...Object.fromEntries(Object.entries(build_config ?? {}).filter(([, value]) => value !== undefined)) },
      configs: { production: config("production"), preview: config("preview") },
    };
  }

  function refuseSource(wanted: Change): void {
    if (wanted.source != null) throw platformError("notImplemented", "Builds from Git are not implemented by this version of Freehold");
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
        refuseSource(wanted);
        if (store.projects().length >= kernel.config["pages.projects_max"]) throw pagesError("tooManyProjects");
        const fresh = defaultConfig(kernel.clock.now());
        const settings = settingsAfter({ build: NO_BUILD, configs: { production: fresh, preview: fresh } }, wanted);
        const project = await store.createProject(wanted.name, wanted.production_branch ?? "main", settings);
        c.audit({
          info: "CreateProject",
          type: "create",
          resource: { type: "pages.project", id: project.id },
          newValue: { name: project.name },
        });
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
        refuseSource(wanted);
        const edited = await deployer.change(project, (now) => ({
          productionBranch: wanted.production_branch ?? now.productionBranch,
          settings: settingsAfter(now.settings, wanted),
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
        await deployer.removeProject(project);
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
