/**
 * Errors of the API. 2008 to 2016 are documented (docs: Hyperdrive, Troubleshoot and debug) and come from the test connection
 * (`origin-error.ts`), with the words that users of the real service report; the other codes are documented nowhere.
 */
import { defineErrors, PlatformError } from "../../kernel/errors.ts";
import type { OriginError } from "./origin-error.ts";

export const hyperdriveError = defineErrors("hyperdrive", {
  notFound: { status: 404, apiCode: 2001, message: "The Hyperdrive configuration was not found" },
  invalid: { status: 400, apiCode: 2002, message: "The Hyperdrive configuration is invalid" },
  tooMany: { status: 400, apiCode: 2003, message: "The account has as many Hyperdrive configurations as it may" },
  nameTaken: { status: 409, apiCode: 2017, message: "A Hyperdrive configuration with this name exists" },
  unsupported: { status: 501, apiCode: 10501, message: "Not implemented by this version of Freehold" },
  binding: { status: 400, apiCode: 10021, message: "The hyperdrive binding is invalid." },
});

export const connectionError = (cause: OriginError): PlatformError =>
  new PlatformError(
    "hyperdrive.connection",
    { status: 400, apiCode: cause.code, message: "Failed to connect to the provided database" },
    `Failed to connect to the provided database: ${cause.message}`,
    { cause },
  );
