/** REST of the dashboard: what `freehold dash` asks for. */
import type { PlatformUrls, Route } from "../../kernel/product.ts";
import type { Sessions } from "./sessions.ts";

export function dashboardRoutes(sessions: Sessions, urls: PlatformUrls): Route[] {
  return [
    {
      op: "freehold.dashboard.link",
      method: "POST",
      path: "/freehold/dashboard/links",
      permission: [],
      async handle({ principal }) {
        const { code, expiresAt } = sessions.link(principal.tokenId);
        // In the fragment, which browsers send to nobody: no log and no preview of the link can use it up.
        return { url: `${urls.host("dash")}/sign-in#${code}`, expires_on: new Date(expiresAt).toISOString() };
      },
    },
  ];
}
