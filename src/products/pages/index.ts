/**
 * Pages: projects whose deployments are static files, with Functions or a Worker in front of them. README.md has the surface
 * and the guarantees; this file puts the parts together.
 */
import type { Product } from "../../kernel/product.ts";
import { openGate } from "./access/gate.ts";
import { signInHost } from "./access/sign-in.ts";
import { openAssets } from "./assets.ts";
import { openBuilds } from "./builds/builds.ts";
import { createDeployer } from "./deploy.ts";
import { deploymentRoutes } from "./deployment-routes.ts";
import { domainRoutes } from "./domain-routes.ts";
import { openDomains } from "./domains.ts";
import { assetsBinding, internalDoor } from "./functions.ts";
import { pagesFront } from "./hosts.ts";
import { functionsDataset } from "./metrics.ts";
import { migrations } from "./migrations.ts";
import type { Deployment, Project } from "./model.ts";
import { deploymentNotices } from "./notices.ts";
import { projectRoutes } from "./project-routes.ts";
import { openSites } from "./sites.ts";
import { openStore } from "./store.ts";
import { uploadRoutes } from "./upload-routes.ts";
import { openViews } from "./views.ts";

export const pages = {
  name: "pages",
  status: "beta",
  needs: ["notifier", "ownedWorkers", "zones"],
  migrations,
  permissions: [
    { id: "8d28297797f24fb8a0c332fe0866ec89", name: "Pages Write", scopes: ["com.cloudflare.api.account"] },
    { id: "e247aedd66bd41cc9193af0213416666", name: "Pages Read", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const workers = kernel.get("ownedWorkers");
    const store = await openStore(kernel.meta, kernel.clock);
    const assets = openAssets(kernel);
    const domains = await openDomains(kernel, store, kernel.get("zones"));
    const sites = openSites(store, assets, kernel.log);
    const urlOf = (project: Project, { shortId }: Deployment): string => kernel.urls.host(`${shortId}.${project.name}.pages`);
    const notices = deploymentNotices(kernel.get("notifier"), kernel.log, urlOf);
    const deployer = createDeployer(kernel, { store, assets, sites, domains, workers, notices });
    await deployer.sweep();
    const gate = openGate(kernel);
    const front = pagesFront(kernel, { store, sites, workers, domains, gate });
    const builds = await openBuilds(kernel, { store, assets, deployer, urlOf });
    const { repositories, pushes, logs } = builds;
    const views = openViews(store, domains, repositories, kernel.urls);
    return {
      routes: [
        ...projectRoutes(kernel, { store, deployer, views, repositories, onConnected: builds.onConnected, onRemoved: builds.onRemoved }),
        ...deploymentRoutes(kernel, { store, deployer, views, workers, pushes, logs }),
        ...uploadRoutes(store, assets),
        ...domainRoutes(store, domains),
        ...builds.routes(views),
      ],
      hosts: [front.host, builds.host, signInHost(kernel, gate, front.previewOf)],
      bindings: assetsBinding(kernel),
      datasets: { pagesFunctionsInvocationsAdaptiveGroups: functionsDataset(store, workers) },
      internal: internalDoor(front.assets),
      check: async () => ({ ok: true, detail: `${store.projects().length} projects` }),
      stop: builds.stop,
    };
  },
} satisfies Product;
