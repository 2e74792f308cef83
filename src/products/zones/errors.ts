/** Errors of zones, with the codes of the real API where they are known. */
import { defineErrors } from "../../kernel/errors.ts";

export const zonesError = defineErrors("zones", {
  invalidName: { status: 400, apiCode: 1002, message: "Invalid domain: a zone needs a registrable host name." },
  exists: { status: 400, apiCode: 1061, message: "The zone already exists." },
  notFound: { status: 404, apiCode: 1001, message: "Invalid zone identifier" },
  tooMany: { status: 400, apiCode: 1118, message: "You have exceeded the limit for adding zones." },
  recordNotFound: { status: 404, apiCode: 81044, message: "Record does not exist." },
  recordExists: { status: 400, apiCode: 81058, message: "An identical record already exists." },
  recordConflict: { status: 400, apiCode: 81053, message: "An A, AAAA, or CNAME record with that host already exists." },
  invalidRecordName: { status: 400, apiCode: 9000, message: "DNS name is invalid." },
  invalidA: { status: 400, apiCode: 9005, message: "Content for A record must be a valid IPv4 address." },
  invalidAaaa: { status: 400, apiCode: 9006, message: "Content for AAAA record must be a valid IPv6 address." },
  invalidCname: { status: 400, apiCode: 9007, message: "Content for CNAME record is invalid." },
  invalidMx: { status: 400, apiCode: 9009, message: "Content for MX record must be a hostname." },
  invalidTxt: { status: 400, apiCode: 9021, message: "Content for TXT record is invalid." },
  managedRecord: { status: 400, apiCode: 890, message: "This record is locked by the product that manages it." },
  tooManyRecords: { status: 400, apiCode: 81045, message: "Record quota exceeded." },
});
