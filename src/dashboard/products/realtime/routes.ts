/** Realtime's pages. */
import { appRoute, keyRoute } from "./item.tsx";
import { appsRoute, keysRoute } from "./items.tsx";

export const realtimeRoutes = [appsRoute, keysRoute, appRoute, keyRoute] as const;
