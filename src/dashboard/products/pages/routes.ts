/** Pages' pages. */
import { deploymentRoute } from "./deployment.tsx";
import { metricsRoute } from "./metrics.tsx";
import { deploymentsRoute, projectRoute, settingsRoute } from "./project.tsx";
import { projectsRoute } from "./projects.tsx";

export const pagesRoutes = [
  projectsRoute,
  deploymentRoute,
  projectRoute.addChildren([deploymentsRoute, metricsRoute, settingsRoute]),
] as const;
