/** Errors of the observability API. The real service documents statuses; texts are ours, codes the general ones. */
import { defineErrors } from "../../kernel/errors.ts";

export const observabilityError = defineErrors("observability", {
  invalidQuery: { status: 400, apiCode: 10021, message: "Invalid query" },
  queryNotFound: { status: 404, apiCode: 10007, message: "There is no saved query with this id" },
  queryTimeout: { status: 408, apiCode: 10408, message: "The query took too long: narrow its timeframe or its filters" },
  queryTooLarge: {
    status: 400,
    apiCode: 10022,
    message: "The query needs more memory than it may have: narrow its timeframe or its filters",
  },
  destinationNotFound: { status: 404, apiCode: 10007, message: "There is no destination with this name" },
  destinationExists: { status: 409, apiCode: 10009, message: "A destination with this name exists already" },
  destinationLimit: { status: 400, apiCode: 10023, message: "The account has as many destinations as it may have" },
  destinationRefused: { status: 400, apiCode: 10024, message: "The destination did not accept a test" },
});
