/** AI Search's pages. */
import { instanceRoute, overviewRoute } from "./instance.tsx";
import { instancesRoute } from "./instances.tsx";
import { jobsRoute } from "./jobs.tsx";
import { metricsRoute } from "./metrics.tsx";
import { playgroundRoute } from "./playground.tsx";
import { settingsRoute } from "./settings.tsx";

export const aiSearchRoutes = [
  instancesRoute,
  instanceRoute.addChildren([overviewRoute, jobsRoute, playgroundRoute, metricsRoute, settingsRoute]),
] as const;
