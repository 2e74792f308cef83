/** Errors of zones, with the codes of the real API where they are known. */
import { defineErrors } from "../../kernel/errors.ts";

export const zonesError = defineErrors("zones", {
  invalidName: { status: 400, apiCode: 1002, message: "Invalid domain: a zone needs a registrable host name." },
  exists: { status: 400, apiCode: 1061, message: "The zone already exists." },
  notFound: { status: 404, apiCode: 1001, message: "Invalid zone identifier" },
  tooMany: { status: 400, apiCode: 1118, message: "You have exceeded the limit for adding zones." },
});
