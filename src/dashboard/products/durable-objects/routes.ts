/** Durable Objects' pages. */
import { logsRoute } from "./logs.tsx";
import { metricsRoute } from "./metrics.tsx";
import { namespaceRoute, objectsRoute } from "./namespace.tsx";
import { namespacesRoute } from "./namespaces.tsx";
import { consoleRoute, objectRoute } from "./object.tsx";
import { tablesRoute } from "./tables.tsx";

export const durableObjectsRoutes = [
  namespacesRoute,
  namespaceRoute.addChildren([objectsRoute, metricsRoute, logsRoute]),
  objectRoute.addChildren([tablesRoute, consoleRoute]),
] as const;
