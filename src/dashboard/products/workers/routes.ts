/** Workers' pages. */
import { deploymentsRoute } from "./deployments.tsx";
import { overviewRoute } from "./overview.tsx";
import { workerRoute } from "./worker.tsx";
import { workersRoute } from "./workers.tsx";

export const workersRoutes = [workersRoute, workerRoute.addChildren([overviewRoute, deploymentsRoute])] as const;
