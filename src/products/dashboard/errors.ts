/** Refusals at the dashboard's own door. The real dashboard documents none, so the codes are ours. */
import { defineErrors } from "../../kernel/errors.ts";

export const dashboardError = defineErrors("dashboard", {
  foreignOrigin: { status: 403, apiCode: 10601, message: "Requests to the dashboard must come from its own pages" },
  badLink: {
    status: 401,
    apiCode: 10602,
    message: "This link was used already or is too old. Run `freehold dash` for a new one",
  },
  noCredentials: { status: 400, apiCode: 10603, message: "Sign in with an API token, or with the link that `freehold dash` prints" },
});
