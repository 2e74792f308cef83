/** KV's pages. */
import { metricsRoute } from "./metrics.tsx";
import { namespacesRoute } from "./namespaces.tsx";
import { pairsRoute } from "./pairs.tsx";

export const kvRoutes = [namespacesRoute, pairsRoute, metricsRoute] as const;
