/** Errors of AI Search. Its documentation names none: statuses are those that clients branch on, codes are ours from 7001 on. */
import { defineErrors } from "../../kernel/errors.ts";

export const searchError = defineErrors("aiSearch", {
  invalid: { status: 400, apiCode: 7001, message: "Invalid request" },
  instanceNotFound: { status: 404, apiCode: 7002, message: "ai_search_not_found" },
  instanceExists: { status: 409, apiCode: 7003, message: "An AI Search instance with this id already exists" },
  namespaceNotFound: { status: 404, apiCode: 7004, message: "The namespace does not exist" },
  namespaceExists: { status: 409, apiCode: 7005, message: "A namespace with this name already exists" },
  namespaceInUse: { status: 409, apiCode: 7006, message: "The namespace has instances" },
  tokenNotFound: { status: 404, apiCode: 7007, message: "The service API token does not exist" },
  tokenInUse: { status: 409, apiCode: 7008, message: "The service API token is used by an instance" },
  tokenInvalid: { status: 400, apiCode: 7009, message: "cf_api_key is not the value of the token cf_api_id" },
  tokenMissing: { status: 400, apiCode: 7010, message: "token_id is required: register a service API token first" },
  tokenRefused: {
    status: 401,
    apiCode: 7011,
    message: "The instance's service API token is not valid any more, or may not read the source",
  },
  bucketNotFound: { status: 400, apiCode: 7012, message: "The source bucket does not exist" },
  domain: { status: 400, apiCode: 7013, message: "The source must be in a domain of this account" },
  tooMany: { status: 400, apiCode: 7014, message: "The account's limit of instances is reached" },
  immutable: { status: 400, apiCode: 7015, message: "This cannot be changed after creation" },
  paused: { status: 400, apiCode: 7016, message: "The instance is paused" },
  cooldown: { status: 429, apiCode: 7020, message: "sync_in_cooldown" },
  jobNotFound: { status: 404, apiCode: 7021, message: "The job does not exist" },
  itemNotFound: { status: 404, apiCode: 7022, message: "The item does not exist" },
  notManaged: { status: 400, apiCode: 7023, message: "Files are uploaded to and deleted from instances with built-in storage only" },
  tooLarge: { status: 413, apiCode: 7024, message: "The file is larger than the limit" },
  busy: { status: 429, apiCode: 7025, message: "Too many requests wait for the index" },
  model: { status: 502, apiCode: 7026, message: "The model failed" },
  notImplemented: { status: 501, apiCode: 7027, message: "Not implemented by this version of Freehold" },
});
