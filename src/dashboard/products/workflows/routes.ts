/** Workflows' pages. */
import { instanceRoute } from "./instance.tsx";
import { instancesRoute, settingsRoute, workflowRoute } from "./workflow.tsx";
import { workflowsRoute } from "./workflows.tsx";

export const workflowsRoutes = [workflowsRoute, workflowRoute.addChildren([instancesRoute, settingsRoute]), instanceRoute] as const;
