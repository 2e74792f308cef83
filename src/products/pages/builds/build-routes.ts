/** REST routes of builds: again, no more, deploy hooks, the cache, and what forges call when somebody has pushed. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import type { KernelSlice, RequestContext, Route } from "../../../kernel/product.ts";
import { pagesError } from "../errors.ts";
import type { Deployment, Project } from "../model.ts";
import { PROJECT, READ, WRITE } from "../rest.ts";
import type { PagesStore } from "../store.ts";
import type { Views } from "../views.ts";
import type { Builder } from "./builder.ts";
import type { BuildCache } from "./cache.ts";
import type { DeployHook, DeployHooks } from "./deploy-hooks.ts";
import type { Pushes } from "./pushes.ts";
import type { Repositories } from "./repositories.ts";

interface Parts {
  readonly store: PagesStore;
  readonly builder: Builder;
  readonly pushes: Pushes;
  readonly hooks: DeployHooks;
  readonly cache: BuildCache;
  readonly repositories: Repositories;
  readonly views: Views;
}

const hookSchema = z.object({ name: z.string().min(1).max(100), branch: z.string().min(1).max(255) });
const WEBHOOK_MAX_BYTES = 5 * 1024 * 1024;

export function buildRoutes(kernel: KernelSlice, { store, builder, pushes, hooks, cache, repositories, views }: Parts): Route[] {
  const named = (c: RequestContext): Project => store.require(c.params.project as string);

  async function one(c: RequestContext): Promise<{ project: Project; deployment: Deployment }> {
    const project = named(c);
    const deployment = await store.deployment(c.params.deployment as string);
    if (deployment === undefined || deployment.projectId !== project.id) throw pagesError("deploymentNotFound");
    return { project, deployment };
  }

  const hookView = ({ id, name, branch, createdOn }: DeployHook) => ({
    ...{ id, name, branch, created_on: new Date(createdOn).toISOString() },
    url: `${kernel.urls.gateway()}/client/v4/pages/webhooks/deploy_hooks/${id}`,
  });

  const noted = (c: RequestContext, info: string, type: "create" | "update" | "delete", resource: string, id: string): void =>
    c.audit({ info, type, resource: { type: resource, id } });

  return [
    {
      op: "pages.deployments.retry",
      method: "POST",
      path: `${PROJECT}/deployments/:deployment/retry`,
      permission: WRITE,
      async handle(c) {
        const { project, deployment } = await one(c);
        if (deployment.run === undefined) throw pagesError("noBuild", "The deployment was uploaded, not built.");
        if (deployment.status === "active") throw pagesError("retry");
        const again = await builder.queue(project, deployment.branch, deployment.commit, "ad_hoc");
        noted(c, "RetryDeployment", "create", "pages.deployment", again.id);
        return views.deployment(project, again);
      },
    },
    {
      op: "pages.deployments.cancel",
      method: "POST",
      path: `${PROJECT}/deployments/:deployment/cancel`,
      permission: WRITE,
      async handle(c) {
        const { project, deployment } = await one(c);
        const ended = await builder.cancel(project, deployment);
        noted(c, "CancelDeployment", "update", "pages.deployment", ended.id);
        return views.deployment(project, ended);
      },
    },
    {
      op: "pages.cache.purge",
      method: "POST",
      path: `${PROJECT}/purge_build_cache`,
      permission: WRITE,
      async handle(c) {
        const project = named(c);
        await cache.clear(project.id);
        noted(c, "PurgeBuildCache", "update", "pages.project", project.id);
        return null;
      },
    },
    {
      op: "pages.hooks.list",
      method: "GET",
      path: `${PROJECT}/deploy_hooks`,
      // Whoever has the URLs can build.
      permission: WRITE,
      handle: async (c) => (await hooks.of(named(c))).map(hookView),
    },
    {
      op: "pages.hooks.create",
      method: "POST",
      path: `${PROJECT}/deploy_hooks`,
      permission: WRITE,
      async handle(c) {
        const project = named(c);
        const { name, branch } = await c.json(hookSchema);
        if (project.settings.source === undefined) throw pagesError("noBuild");
        const hook = await hooks.add(project, name, branch);
        noted(c, "CreateDeployHook", "create", "pages.deployHook", hook.id);
        return hookView(hook);
      },
    },
    {
      op: "pages.hooks.delete",
      method: "DELETE",
      path: `${PROJECT}/deploy_hooks/:hook`,
      permission: WRITE,
      async handle(c) {
        await hooks.remove(named(c), c.params.hook as string);
        noted(c, "DeleteDeployHook", "delete", "pages.deployHook", c.params.hook as string);
        return null;
      },
    },
    {
      op: "pages.hooks.run",
      method: "POST",
      path: "/pages/webhooks/deploy_hooks/:hook",
      permission: "public",
      async handle(c) {
        const hook = await hooks.find(c.params.hook as string);
        const project = hook && store.projectById(hook.projectId);
        if (project === undefined) throw pagesError("hookNotFound");
        const { id } = await pushes.build(project, hook?.branch as string, "deploy_hook");
        return { id };
      },
    },
    {
      op: "pages.webhooks.push",
      method: "POST",
      path: "/pages/webhooks/git/:webhook",
      permission: "public",
      async handle(c) {
        const repository = repositories.byWebhook(c.params.webhook as string);
        if (repository === undefined) throw pagesError("webhookNotFound");
        const body = await c.bytes(WEBHOOK_MAX_BYTES);
        const secret = await repositories.webhookSecret(repository);
        if (secret !== undefined && !isSigned(c.headers, body, secret)) throw pagesError("webhookSignature");
        // What it says is not believed but looked at: every event may be a push.
        return { builds: (await pushes.look(repository)).map(({ id }) => id) };
      },
    },
    {
      op: "pages.presets.list",
      method: "GET",
      path: "/accounts/:account/pages/build_presets",
      permission: READ,
      handle: async () => PRESETS.map(([name, build_command, destination_dir]) => ({ name, build_command, destination_dir })),
    },
  ];
}

/** In the form of GitHub, of Gitea and Forgejo, or of GitLab. */
function isSigned(headers: Headers, body: Uint8Array, secret: string): boolean {
  const mac = createHmac("sha256", secret).update(body).digest("hex");
  const proofs = [
    [headers.get("x-hub-signature-256"), `sha256=${mac}`],
    [headers.get("x-gitea-signature") ?? headers.get("x-forgejo-signature") ?? headers.get("x-gogs-signature"), mac],
    [headers.get("x-gitlab-token"), secret],
  ] as const;
  return proofs.some(([given, wanted]) => given !== null && isEqual(given, wanted));
}

function isEqual(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length === other.length && timingSafeEqual(one, other);
}

/** Name, build command and directory: the documentation's page on build configuration. */
const PRESETS = [
  ["React (Vite)", "npm run build", "dist"],
  ["Gatsby", "npx gatsby build", "public"],
  ["Next.js", "npx @cloudflare/next-on-pages@1", ".vercel/output/static"],
  ["Next.js (Static HTML Export)", "npx next build", "out"],
  ["Nuxt.js", "npm run build", "dist"],
  ["Qwik", "npm run build", "dist"],
  ["Remix", "npm run build", "build/client"],
  ["Svelte", "npm run build", "public"],
  ["SvelteKit", "npm run build", ".svelte-kit/cloudflare"],
  ["Vue", "npm run build", "dist"],
  ["Analog", "npm run build", "dist/analog/public"],
  ["Astro", "npm run build", "dist"],
  ["Angular", "npm run build", "dist/cloudflare"],
  ["Brunch", "npx brunch build --production", "public"],
  ["Docusaurus", "npm run build", "build"],
  ["Elder.js", "npm run build", "public"],
  ["Eleventy", "npx @11ty/eleventy", "_site"],
  ["Ember.js", "npx ember-cli build", "dist"],
  ["GitBook", "npx gitbook-cli build", "_book"],
  ["Gridsome", "npx gridsome build", "dist"],
  ["Hugo", "hugo", "public"],
  ["Jekyll", "jekyll build", "_site"],
  ["MkDocs", "mkdocs build", "site"],
  ["Pelican", "pelican content", "output"],
  ["React Static", "react-static build", "dist"],
  ["Slate", "./deploy.sh", "build"],
  ["Umi", "npx umi build", "dist"],
  ["VitePress", "npx vitepress build", ".vitepress/dist"],
  ["Zola", "zola build", "public"],
] as const;
