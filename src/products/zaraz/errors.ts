/** Errors of Zaraz's REST operations. The real service's codes are not documented; the texts say what to change. */
import { defineErrors } from "../../kernel/errors.ts";

export const zarazError = defineErrors("zaraz", {
  zoneNotFound: { status: 404, apiCode: 1001, message: "Invalid zone identifier" },
  invalidConfig: { status: 400, apiCode: 10400, message: "The Zaraz configuration is not valid." },
  variableInUse: { status: 400, apiCode: 10401, message: "A variable that is in use cannot be deleted." },
  historyNotFound: { status: 404, apiCode: 10404, message: "There is no configuration with this id in the zone's history." },
  unknownComponent: {
    status: 501,
    apiCode: 10501,
    message: "There is no such component here: switch the tool off, or make it a custom component.",
  },
});
