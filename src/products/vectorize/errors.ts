/**
 * Errors of Vectorize. The documentation names none; codes and texts from 3000 on and from 40006 to 40041 are those that
 * users of the real service report. From 40100 on they are our own.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const vectorizeError = defineErrors("vectorize", {
  indexNotFound: { status: 404, apiCode: 3000, message: "vectorize.index.not_found" },
  duplicateName: { status: 409, apiCode: 3002, message: "vectorize.index.duplicate_name" },
  queryDimensions: { status: 400, apiCode: 40006, message: "invalid query vector" },
  tooMany: { status: 400, apiCode: 40007, message: "too many vectors in payload" },
  idTooLong: { status: 400, apiCode: 40008, message: "id too long; max is 64 bytes" },
  namespaceTooLong: { status: 400, apiCode: 40009, message: "namespace too long; max is 64 bytes" },
  invalidVector: { status: 400, apiCode: 40012, message: "invalid vector" },
  metadataKey: { status: 400, apiCode: 40018, message: "invalid metadata key" },
  unparsable: { status: 400, apiCode: 40023, message: "failed to parse vectors request" },
  topK: { status: 400, apiCode: 40025, message: "invalid top K" },
  invalidBody: { status: 400, apiCode: 40026, message: "Failed to parse the request body as JSON" },
  tooManyRequests: { status: 429, apiCode: 40041, message: "Too Many Requests", retryable: true },
  // Own codes.
  invalidIndex: { status: 400, apiCode: 40100, message: "invalid index" },
  tooManyIndexes: { status: 400, apiCode: 40101, message: "the account's limit of indexes is reached" },
  metadataTooLarge: { status: 400, apiCode: 40102, message: "metadata too large; max is 10240 bytes" },
  invalidFilter: { status: 400, apiCode: 40103, message: "invalid query filter" },
  invalidCursor: { status: 400, apiCode: 40105, message: "invalid cursor" },
  cursorExpired: { status: 400, apiCode: 40106, message: "the cursor has expired; start a new list" },
  tooManyVectors: { status: 400, apiCode: 40107, message: "the index's limit of vectors is reached" },
  tooManyNamespaces: { status: 400, apiCode: 40108, message: "the index's limit of namespaces is reached" },
  invalidProperty: { status: 400, apiCode: 40109, message: "invalid metadata index" },
  propertyExists: { status: 409, apiCode: 40110, message: "a metadata index of this property exists" },
  propertyNotFound: { status: 404, apiCode: 40111, message: "there is no metadata index of this property" },
  tooManyProperties: { status: 400, apiCode: 40112, message: "an index has at most 10 metadata indexes" },
  emptyPayload: { status: 400, apiCode: 40113, message: "the payload has no vectors" },
  legacy: { status: 410, apiCode: 40114, message: "Vectorize V1 indexes cannot be created or used; use V2" },
});
