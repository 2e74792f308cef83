/** D1's pages. */
import { consoleRoute } from "./console.tsx";
import { databaseRoute, settingsRoute } from "./database.tsx";
import { databasesRoute } from "./databases.tsx";
import { metricsRoute } from "./metrics.tsx";
import { tablesRoute } from "./tables.tsx";

export const d1Routes = [databasesRoute, databaseRoute.addChildren([tablesRoute, consoleRoute, metricsRoute, settingsRoute])] as const;
