/**
 * Errors of Durable Object migrations, as the script upload API gives them; wrangler prints text and code.
 * Sources: https://developers.cloudflare.com/durable-objects/reference/durable-objects-migrations/ and public reports.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const durableObjectsError = defineErrors("durableObjects", {
  unknownClass: {
    status: 400,
    apiCode: 10061,
    message: "Cannot create binding for class that is not currently configured to implement Durable Objects.",
  },
  classStillExported: {
    status: 400,
    apiCode: 10064,
    message: "New version of script does not export a class which is depended on by existing Durable Objects.",
  },
  notExported: { status: 400, apiCode: 10070, message: "Cannot apply new-class migration to class that is not exported by script" },
  missingClass: { status: 400, apiCode: 10071, message: "Cannot apply migration to class that has no Durable Objects" },
  alreadyExists: {
    status: 400,
    apiCode: 10074,
    message: "Cannot apply new-class migration to class that is already depended on by existing Durable Objects",
  },
  deletedButBound: {
    status: 400,
    apiCode: 10075,
    message: "Cannot apply --delete-class migration to class without also removing the binding that references it",
  },
  tagMismatch: { status: 412, apiCode: 10079, message: "migration tag precondition failed" },
  invalidMigration: { status: 400, apiCode: 10021, message: "The migrations are invalid." },
  /** With the details that wrangler prints in `meta`. */
  reconciliation: { status: 400, apiCode: 100402, message: "Durable Object exports reconciliation failed." },
  queryFailed: { status: 400, apiCode: 10001, message: "Query failed" },
  misplaced: {
    status: 503,
    apiCode: 10013,
    message: "The Durable Objects are not where this deployment needs them. Try again, or deploy again.",
    retryable: true,
  },
  namespaceNotFound: { status: 404, apiCode: 10066, message: "Durable Object namespace not found." },
});
