/** Errors of Secrets Store. The words are documented where the SDK's reference names them, the codes nowhere. */
import { defineErrors } from "../../kernel/errors.ts";

export const secretsError = defineErrors("secretsStore", {
  storeNotFound: { status: 404, apiCode: 1001, message: "store_not_found" },
  secretNotFound: { status: 404, apiCode: 1002, message: "secret_not_found" },
  tooManyStores: { status: 400, apiCode: 1003, message: "maximum_stores_exceeded" },
  tooManySecrets: { status: 400, apiCode: 1004, message: "maximum_secrets_exceeded" },
  storeExists: { status: 409, apiCode: 1005, message: "store_name_already_exists" },
  secretExists: { status: 409, apiCode: 1006, message: "secret_name_already_exists" },
  storeNotEmpty: { status: 409, apiCode: 1007, message: "store_not_empty" },
  invalid: { status: 400, apiCode: 1008, message: "invalid_request" },
  binding: { status: 400, apiCode: 10021, message: "The secrets_store_secret binding is invalid." },
});
