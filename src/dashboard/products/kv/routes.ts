/** KV's pages. */
import { namespacesRoute } from "./namespaces.tsx";
import { pairsRoute } from "./pairs.tsx";

export const kvRoutes = [namespacesRoute, pairsRoute] as const;
