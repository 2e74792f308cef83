/**
 * Errors of Workflows. 10200, 10208 and 10209 are the codes that wrangler tests for; texts with a word in parentheses are
 * what the binding throws (`@cloudflare/workflows-shared`). The other numbers are own: the real ones are not documented.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const workflowsError = defineErrors("workflows", {
  workflowNotFound: { status: 404, apiCode: 10200, message: "workflow.not_found" },
  invalidBody: { status: 400, apiCode: 10001, message: "Invalid request body" },
  invalidName: { status: 400, apiCode: 10201, message: "A workflow's name has 1 to 64 letters, digits, dashes and underscores" },
  scriptNotFound: { status: 404, apiCode: 10202, message: "The workflow's Worker does not exist" },
  classNotFound: { status: 400, apiCode: 10203, message: "The Worker does not export the workflow's class" },
  invalidCron: { status: 400, apiCode: 10204, message: "The schedule is no valid cron expression" },
  jurisdictionImmutable: { status: 400, apiCode: 10209, message: "workflow.jurisdiction_immutable" },
  versionNotFound: { status: 404, apiCode: 10210, message: "workflow.version_not_found" },
  instanceNotFound: { status: 404, apiCode: 10400, message: "(instance.not_found) Instance does not exist" },
  instanceExists: { status: 409, apiCode: 10401, message: "(instance.already_exists) Workflow instance already exists" },
  invalidInstanceId: { status: 400, apiCode: 10402, message: "Workflow instance has invalid id" },
  cannotTerminate: {
    status: 409,
    apiCode: 10403,
    message: "(instance.cannot_terminate) Cannot terminate instance since its on a finite state",
  },
  cannotPause: { status: 409, apiCode: 10404, message: "(instance.cannot_pause) Cannot pause instance" },
  cannotResume: { status: 409, apiCode: 10405, message: "(instance.cannot_resume) Cannot resume instance" },
  cannotRestart: { status: 409, apiCode: 10406, message: "(instance.cannot_restart) Cannot restart instance" },
  cannotReceive: { status: 409, apiCode: 10407, message: "(instance.cannot_receive_event) The instance has ended and takes no events" },
  stepNotFound: { status: 404, apiCode: 10408, message: "Step not found in execution history" },
  invalidEventType: {
    status: 400,
    apiCode: 10409,
    message: "An event's type has 1 to 100 letters, digits, dots, dashes and underscores, and starts with a letter, digit or underscore",
  },
  tooLarge: { status: 413, apiCode: 10410, message: "The payload is too large. Maximum allowed size is 1MiB." },
  batchTooLarge: { status: 400, apiCode: 10411, message: "A batch has 1 to 100 instances" },
  tooManyQueued: { status: 429, apiCode: 10412, message: "The workflow has too many queued instances", retryable: true },
  tooManyEvents: { status: 429, apiCode: 10413, message: "The instance has too many events that no step has taken", retryable: true },
  createRate: { status: 429, apiCode: 10414, message: "Too many instances are created", retryable: true },
  invalidRetention: { status: 400, apiCode: 10415, message: 'A retention is a number of milliseconds or a text such as "3 days"' },
});
