/**
 * The dashboard: a web app for people at dash.<domain>. Here is the door alone, which serves the app's files, signs people
 * in and passes their requests to the REST API; everything that a page shows or does goes through that API. The app itself
 * is in src/dashboard.
 */
import { getRequestListener } from "@hono/node-server";
import type { Product } from "../../kernel/product.ts";
import { openApp } from "./app.ts";
import { createDoor } from "./door.ts";
import { migrations } from "./migrations.ts";
import { dashboardRoutes } from "./routes.ts";
import { openSessions } from "./sessions.ts";

export const dashboard = {
  name: "dashboard",
  status: "beta",
  migrations,
  async start(kernel) {
    const { meta, auth, clock, config, log, urls } = kernel;
    const sessions = openSessions(meta, auth, clock, config["dashboard.session_ttl_s"] * 1000);
    const app = openApp(log);
    const door = createDoor(kernel, sessions, app);
    const listener = getRequestListener((request) => door.fetch(request), { overrideGlobalObjects: false });
    return {
      routes: dashboardRoutes(sessions, urls),
      hosts: [
        {
          name: "dash",
          patterns: ["dash"],
          wholeHost: true,
          handle: (_params, request, response) => listener(request, response),
        },
      ],
      stop: () => app.stop(),
    };
  },
} satisfies Product;
