/** The one list of pages: the shell's own and each product's. */
import { createRouter } from "@tanstack/react-router";
import { aiSearchRoutes } from "./products/ai-search/routes.ts";
import { containersRoutes } from "./products/containers/routes.ts";
import { d1Routes } from "./products/d1/routes.ts";
import { durableObjectsRoutes } from "./products/durable-objects/routes.ts";
import { hyperdriveRoutes } from "./products/hyperdrive/routes.ts";
import { kvRoutes } from "./products/kv/routes.ts";
import { pagesRoutes } from "./products/pages/routes.ts";
import { pipelinesRoutes } from "./products/pipelines/routes.ts";
import { queuesRoutes } from "./products/queues/routes.ts";
import { r2Routes } from "./products/r2/routes.ts";
import { realtimeRoutes } from "./products/realtime/routes.ts";
import { streamRoutes } from "./products/stream/routes.ts";
import { workersRoutes } from "./products/workers/routes.ts";
import { workersVpcRoutes } from "./products/workers-vpc/routes.ts";
import { workflowsRoutes } from "./products/workflows/routes.ts";
import { zarazRoutes } from "./products/zaraz/routes.ts";
import { overviewRoute } from "./shell/overview.tsx";
import { rootRoute, shellRoute } from "./shell/root.tsx";
import { signInRoute } from "./shell/sign-in.tsx";

const routeTree = rootRoute.addChildren([
  signInRoute,
  shellRoute.addChildren([
    overviewRoute,
    ...aiSearchRoutes,
    ...containersRoutes,
    ...d1Routes,
    ...hyperdriveRoutes,
    ...durableObjectsRoutes,
    ...kvRoutes,
    ...pagesRoutes,
    ...pipelinesRoutes,
    ...queuesRoutes,
    ...r2Routes,
    ...realtimeRoutes,
    ...streamRoutes,
    ...workersRoutes,
    ...workersVpcRoutes,
    ...workflowsRoutes,
    ...zarazRoutes,
  ]),
]);

export const router = createRouter({ routeTree, scrollRestoration: true });

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
