/** Errors of Notifications. The codes of the real service are not documented. */
import { defineErrors } from "../../kernel/errors.ts";

export const notificationsError = defineErrors("notifications", {
  webhookNotFound: { status: 404, apiCode: 17001, message: "webhook not found" },
  policyNotFound: { status: 404, apiCode: 17002, message: "policy not found" },
  invalid: { status: 400, apiCode: 17003, message: "invalid request" },
  tooMany: { status: 400, apiCode: 17004, message: "the account has as many of these as it may" },
  webhookInUse: { status: 409, apiCode: 17005, message: "a policy sends to this webhook" },
});
