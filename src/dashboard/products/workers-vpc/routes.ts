/** Workers VPC's pages. */
import { sectionRoute } from "./section.tsx";
import { servicesRoute } from "./services.tsx";
import { tunnelRoute } from "./tunnel.tsx";
import { tunnelsRoute } from "./tunnels.tsx";

export const workersVpcRoutes = [sectionRoute.addChildren([servicesRoute, tunnelsRoute]), tunnelRoute] as const;
