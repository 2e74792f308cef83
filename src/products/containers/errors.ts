/** Errors of Containers. Clients read the message alone: wrangler shows it as the reason of what failed. */
import { defineErrors } from "../../kernel/errors.ts";

export const containersError = defineErrors("containers", {
  applicationNotFound: { status: 404, apiCode: 1000, message: "APPLICATION_NOT_FOUND" },
  instanceNotFound: { status: 404, apiCode: 1001, message: "INSTANCE_NOT_FOUND" },
  rolloutNotFound: { status: 404, apiCode: 1002, message: "ROLLOUT_NOT_FOUND" },
  registryNotFound: { status: 404, apiCode: 1003, message: "IMAGE_REGISTRY_NOT_FOUND" },
  invalid: { status: 400, apiCode: 1004, message: "VALIDATE_INPUT" },
  nameTaken: { status: 409, apiCode: 1005, message: "APPLICATION_NAME_ALREADY_EXISTS" },
  surpassedLimits: { status: 400, apiCode: 1006, message: "SURPASSED_BASE_LIMITS" },
  rolloutActive: { status: 409, apiCode: 1007, message: "A rollout of this application is in progress" },
  noEngine: { status: 501, apiCode: 1008, message: "The platform has no container engine" },
});
