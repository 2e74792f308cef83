/** Workers' pages, the editors of their code, and the query builder over their logs and traces. */
import { deploymentsRoute } from "./deployments.tsx";
import { playgroundRoute } from "./editor/playground.tsx";
import { quickEditorRoute } from "./editor/quick-editor.tsx";
import { logsRoute } from "./logs.tsx";
import { metricsRoute } from "./metrics.tsx";
import { overviewRoute } from "./overview.tsx";
import { queryBuilderRoute } from "./query-builder.tsx";
import { tracesRoute } from "./traces.tsx";
import { workerRoute } from "./worker.tsx";
import { workersRoute } from "./workers.tsx";

export const workersRoutes = [
  workersRoute,
  workerRoute.addChildren([overviewRoute, metricsRoute, deploymentsRoute, logsRoute, tracesRoute, quickEditorRoute]),
  playgroundRoute,
  queryBuilderRoute,
] as const;
