/** The two roots of the route tree: everything, and everything that is for people who are signed in. */
import { createRootRoute, createRoute, Outlet } from "@tanstack/react-router";
import { Toasts } from "../components/toast.tsx";
import { NotFound, Unexpected } from "./failures.tsx";
import { Shell } from "./shell.tsx";

export const rootRoute = createRootRoute({
  component: () => (
    <Toasts>
      <Outlet />
    </Toasts>
  ),
  notFoundComponent: NotFound,
  errorComponent: Unexpected,
});

/** Parent of every product's routes. */
export const shellRoute = createRoute({ getParentRoute: () => rootRoute, id: "shell", component: Shell });
