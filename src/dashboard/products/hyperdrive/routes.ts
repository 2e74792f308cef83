/** Hyperdrive's pages. */
import { configRoute } from "./config.tsx";
import { configsRoute } from "./configs.tsx";

export const hyperdriveRoutes = [configsRoute, configRoute] as const;
