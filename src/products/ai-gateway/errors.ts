/**
 * Errors of AI Gateway. Codes below 2100 are those that clients of the real service know (`ai-gateway-provider`, the
 * documentation of guardrails and custom providers); the rest is our own.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const gatewayError = defineErrors("aiGateway", {
  invalidConfig: { status: 400, apiCode: 1001, message: "Invalid request" },
  baseUrl: { status: 400, apiCode: 1002, message: "base_url must be a valid HTTPS URL" },
  duplicateSlug: { status: 409, apiCode: 1003, message: "A custom provider with this slug already exists" },
  notFound: { status: 404, apiCode: 1004, message: "Custom provider not found" },
  // On the data plane.
  gatewayMissing: { status: 400, apiCode: 2001, message: "Please configure AI Gateway in the Cloudflare dashboard" },
  rateLimited: { status: 429, apiCode: 2003, message: "Rate limited" },
  providerUnknown: { status: 400, apiCode: 2008, message: "Invalid provider" },
  unauthorized: { status: 401, apiCode: 2009, message: "Unauthorized" },
  promptBlocked: { status: 400, apiCode: 2016, message: "Prompt blocked due to security configurations" },
  responseBlocked: { status: 400, apiCode: 2017, message: "Response blocked due to security configurations" },
  // Own codes.
  gatewayNotFound: { status: 404, apiCode: 7002, message: "Gateway not found" },
  gatewayExists: { status: 409, apiCode: 7003, message: "A gateway with this id already exists" },
  logNotFound: { status: 404, apiCode: 7004, message: "Log Not Found" },
  keyNotFound: { status: 404, apiCode: 7005, message: "Provider config not found" },
  keyExists: { status: 409, apiCode: 7006, message: "A provider config with this alias already exists" },
  tooMany: { status: 400, apiCode: 7007, message: "The account's limit is reached" },
  routeNotFound: { status: 404, apiCode: 7008, message: "Route not found" },
  routeExists: { status: 409, apiCode: 7009, message: "A route with this name already exists" },
  routeUnknown: { status: 400, apiCode: 2105, message: "There is no such dynamic route" },
  invalidRequest: { status: 400, apiCode: 2100, message: "Invalid request" },
  timeout: { status: 504, apiCode: 2101, message: "The provider did not answer in time" },
  unreachable: { status: 502, apiCode: 2102, message: "The provider could not be reached" },
  privateAddress: { status: 403, apiCode: 2103, message: "The provider's address is not public" },
  modelFailed: { status: 502, apiCode: 2106, message: "The model failed" },
  notImplemented: { status: 501, apiCode: 2104, message: "Not implemented by this version of Freehold" },
});
