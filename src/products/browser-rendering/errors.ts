/**
 * Errors of Browser Rendering. The codes of what goes wrong with a page (2000, 5000 to 5011, 6000 to 6006) and their words are
 * those of the real service (`failure.ts` finds them by what Chromium says); the rest is our own.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const browserError = defineErrors("browserRendering", {
  badOptions: { status: 400, apiCode: 2001, message: "Invalid request" },
  rateLimited: { status: 429, apiCode: 2001, message: "Rate limit exceeded" },
  bodyTooLarge: { status: 413, apiCode: 2002, message: "request entity too large" },
  sessionNotFound: { status: 404, apiCode: 2003, message: "Session not found" },
  sessionBusy: { status: 409, apiCode: 2007, message: "The session has a connection already" },
  tooManySessions: { status: 429, apiCode: 2008, message: "Too many browsers are open" },
  targetNotFound: { status: 404, apiCode: 2009, message: "Target not found" },
  noRoute: { status: 404, apiCode: 2010, message: "Not found" },
  notJson: { status: 422, apiCode: 2011, message: "JSON Mode couldn't be met" },
  modelFailed: { status: 422, apiCode: 2012, message: "The model failed" },
  noChromium: { status: 501, apiCode: 2004, message: "No Chromium was found on this machine" },
  startFailed: { status: 503, apiCode: 2005, message: "Chromium did not start" },
  notImplemented: { status: 501, apiCode: 2006, message: "Not implemented by this version of Freehold" },
});
