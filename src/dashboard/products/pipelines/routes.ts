/** Pipelines' pages. */
import { errorsRoute } from "./errors.tsx";
import { listRoutes } from "./lists.tsx";
import { metricsRoute } from "./metrics.tsx";
import { overviewRoute, pipelineRoute } from "./pipeline.tsx";
import { streamRoute } from "./stream.tsx";
import { wizardRoute } from "./wizard.tsx";

export const pipelinesRoutes = [
  listRoutes,
  streamRoute,
  wizardRoute,
  pipelineRoute.addChildren([overviewRoute, metricsRoute, errorsRoute]),
] as const;
