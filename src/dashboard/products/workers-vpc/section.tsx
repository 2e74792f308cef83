/** The frame of both lists: services and tunnels are tabs of one page. */
import { createRoute, Outlet } from "@tanstack/react-router";
import { Page, Tabs } from "../../components/page.tsx";
import { shellRoute } from "../../shell/root.tsx";

export const sectionRoute = createRoute({ getParentRoute: () => shellRoute, path: "/vpc", component: Section });

function Section() {
  return (
    <Page title="Workers VPC" lead="Services of private networks, which Workers reach by a binding and nobody else does.">
      <Tabs
        items={[
          { label: "VPC services", to: "/vpc", exact: true },
          { label: "Tunnels", to: "/vpc/tunnels" },
        ]}
      />
      <Outlet />
    </Page>
  );
}
