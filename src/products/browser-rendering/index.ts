/** Browser Rendering: headless Chromium for REST actions and for Workers. README.md has the surface and the guarantees. */
import type { Product } from "../../kernel/product.ts";
import { openDesk } from "./actions/desk.ts";
import { pageRenderer } from "./actions/renderer.ts";
import { actionRoutes } from "./actions/routes.ts";
import { browserBinding, connectBinding, serveBinding } from "./binding.ts";
import { openBotAuth } from "./bot-auth.ts";
import { HOW_TO_GET } from "./chromium.ts";
import { openLauncher } from "./launcher.ts";
import { migrations } from "./migrations.ts";
import { openDevtools } from "./sessions/devtools.ts";
import { openHistory } from "./sessions/history.ts";
import { openSessions } from "./sessions/sessions.ts";

export const browserRendering = {
  name: "browser-rendering",
  status: "beta",
  needs: ["models", "modelGateway"],
  provides: ["pageRenderer"],
  migrations,
  permissions: [
    // Cloudflare's ids of these groups are not known.
    { id: "b7c0a3f1d2e84c55a6f1900b7a1c0e01", name: "Browser Rendering Read", scopes: ["com.cloudflare.api.account"] },
    { id: "b7c0a3f1d2e84c55a6f1900b7a1c0e02", name: "Browser Rendering Write", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const launcher = await openLauncher(kernel);
    const desk = openDesk(kernel, launcher);
    const sessions = openSessions(kernel, launcher, await openHistory(kernel));
    const devtools = openDevtools(sessions);
    const botAuth = openBotAuth(kernel);
    return {
      routes: actionRoutes(kernel, desk, botAuth.headers),
      hosts: [botAuth.host],
      bindings: { browser: browserBinding(kernel.mint) },
      internal: (_claims, request, response) => serveBinding(sessions, devtools, request, response),
      internalUpgrade: (_claims, ...connection) => connectBinding(sessions, devtools, ...connection),
      offers: { pageRenderer: pageRenderer(desk) },
      check: async () => ({ ok: launcher.executable !== undefined, detail: launcher.executable ?? HOW_TO_GET }),
      async stop() {
        await Promise.all([desk.stop(), sessions.stop()]);
        await launcher.stop();
      },
    };
  },
} satisfies Product;
