/** Durable Objects' pages. */
import { namespaceRoute } from "./namespace.tsx";
import { namespacesRoute } from "./namespaces.tsx";
import { consoleRoute, objectRoute } from "./object.tsx";
import { tablesRoute } from "./tables.tsx";

export const durableObjectsRoutes = [namespacesRoute, namespaceRoute, objectRoute.addChildren([tablesRoute, consoleRoute])] as const;
