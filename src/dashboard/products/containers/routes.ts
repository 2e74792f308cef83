/** The pages of Containers. */
import { applicationRoute } from "./application.tsx";
import { applicationsRoute } from "./applications.tsx";

export const containersRoutes = [applicationsRoute, applicationRoute] as const;
