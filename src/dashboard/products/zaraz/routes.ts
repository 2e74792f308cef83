/** Zaraz's pages. */
import { configurationRoute } from "./configuration.tsx";
import { historyRoute } from "./history.tsx";
import { monitoringRoute } from "./monitoring.tsx";
import { toolsRoute, zoneRoute } from "./zone.tsx";
import { zonesRoute } from "./zones.tsx";

export const zarazRoutes = [zonesRoute, zoneRoute.addChildren([toolsRoute, configurationRoute, monitoringRoute, historyRoute])] as const;
