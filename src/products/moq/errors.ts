/** Errors of the MoQ API. 21013 and 21014 are the real codes of what they say; the others' are not documented and ours. */
import { defineErrors } from "../../kernel/errors.ts";

export const moqError = defineErrors("moq", {
  notFound: { status: 404, apiCode: 21001, message: "relay not found" },
  tooMany: { status: 400, apiCode: 21002, message: "the account has as many relays as it may" },
  tooManyTokens: { status: 400, apiCode: 21003, message: "a relay may hold up to 10 tokens" },
  invalid: { status: 400, apiCode: 21004, message: "invalid request" },
  badUpstream: { status: 400, apiCode: 21013, message: "upstreams are not supported by this version of Freehold" },
  configAtCreation: { status: 400, apiCode: 21014, message: "config cannot be set when a relay is created: use PUT" },
});
