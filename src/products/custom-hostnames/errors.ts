/** Errors of custom hostnames, with the codes of the real API where they are known (1406, 1436, 1469). */
import { defineErrors } from "../../kernel/errors.ts";

export const hostnamesError = defineErrors("custom-hostnames", {
  zoneNotFound: { status: 404, apiCode: 1001, message: "Invalid zone identifier" },
  notFound: { status: 404, apiCode: 1436, message: "The custom hostname was not found." },
  duplicate: { status: 409, apiCode: 1406, message: "Duplicate custom hostname found." },
  invalidHostname: { status: 400, apiCode: 1407, message: "Invalid custom hostname." },
  zoneName: { status: 403, apiCode: 1413, message: "A custom hostname cannot be the name of its zone." },
  tooLong: {
    status: 400,
    apiCode: 1469,
    message: "A custom hostname of more than 64 characters needs `cloudflare_branding`, which puts another name into the certificate.",
  },
  metadata: { status: 400, apiCode: 1410, message: "Custom metadata is a JSON object of at most 4 KB." },
  tooMany: { status: 400, apiCode: 1405, message: "The zone has as many custom hostnames as it can have." },
  originNotFound: { status: 404, apiCode: 1551, message: "The zone has no fallback origin." },
  invalidOrigin: { status: 400, apiCode: 1434, message: "An origin is a host name; the fallback origin is one of the zone's." },
});
