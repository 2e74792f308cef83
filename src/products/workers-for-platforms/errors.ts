/** Errors of dispatch namespaces. 100119 is what clients know for a missing one; the other codes are not documented. */
import { defineErrors } from "../../kernel/errors.ts";

export const platformsError = defineErrors("workers-for-platforms", {
  notFound: { status: 404, apiCode: 100119, message: "The dispatch namespace does not exist on your account." },
  exists: { status: 409, apiCode: 100120, message: "A dispatch namespace with this name already exists." },
  invalidName: {
    status: 400,
    apiCode: 100121,
    message: "The name of a dispatch namespace has 1 to 63 lower-case letters, digits, dashes and underscores.",
  },
  tooMany: { status: 400, apiCode: 100122, message: "The account has as many dispatch namespaces as it can have." },
  inUse: { status: 400, apiCode: 100123, message: "The dispatch namespace is bound by a Worker." },
  binding: { status: 400, apiCode: 10021, message: "The binding of the dispatch namespace is invalid." },
});
