/**
 * Every documented error of KV. Bindings render status and message ("KV PUT failed: 413 Value length of …"), the
 * REST API the code and the message with its operation ("put: '…'"). Codes as clients of the real API report them;
 * those marked own are not documented anywhere and unused by it as far as known.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const kvError = defineErrors("kv", {
  keyNotFound: { status: 404, apiCode: 10009, message: "key not found" },
  namespaceId: { status: 400, apiCode: 10011, message: "could not parse UUID from request's namespace_id" },
  invalidBody: { status: 400, apiCode: 10012, message: "could not unmarshal request body" },
  namespaceNotFound: { status: 404, apiCode: 10013, message: "namespace not found" },
  titleTaken: { status: 400, apiCode: 10014, message: "a namespace with this account ID and title already exists" },
  titleMissing: { status: 400, apiCode: 10019, message: "request is missing a title definition" },
  nonTextValue: { status: 400, apiCode: 10029, message: "At least one of the requested keys corresponds to a non-json value" },
  invalidExpiration: { status: 400, apiCode: 10033, message: "Invalid expiration" },
  bindingNotFound: { status: 400, apiCode: 10041, message: "KV namespace not found." },
  bindingInvalid: { status: 400, apiCode: 10042, message: "KV namespace is not valid." },
  invalidMetadata: { status: 400, apiCode: 10147, message: "metadata must be valid json" },
  // Own codes.
  invalidKey: { status: 400, apiCode: 10160, message: "Key names must not be empty" },
  keyTooLong: { status: 414, apiCode: 10161, message: "key length limit exceeded" },
  valueTooLarge: { status: 413, apiCode: 10162, message: "value length limit exceeded" },
  metadataTooLarge: { status: 413, apiCode: 10163, message: "metadata length limit exceeded" },
  invalidCacheTtl: { status: 400, apiCode: 10164, message: "Invalid cache_ttl" },
  invalidLimit: { status: 400, apiCode: 10165, message: "Invalid key_count_limit" },
  invalidCursor: { status: 400, apiCode: 10166, message: "Invalid cursor." },
  invalidKeyEncoding: { status: 400, apiCode: 10167, message: "Invalid key encoding" },
  tooManyKeys: { status: 400, apiCode: 10168, message: "You can request a maximum of 100 keys" },
  noKeys: { status: 400, apiCode: 10169, message: "You must request a minimum of 1 key" },
  bulkTooLarge: { status: 413, apiCode: 10170, message: "Total size of request exceeds the limit of 25MB" },
  tooManyRequests: { status: 429, apiCode: 10171, message: "Too Many Requests", retryable: true },
  tooManyNamespaces: { status: 400, apiCode: 10172, message: "the account's limit of namespaces is reached" },
  titleTooLong: { status: 400, apiCode: 10173, message: "title is longer than 512 bytes" },
});
