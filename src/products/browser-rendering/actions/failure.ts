/**
 * What went wrong with an action, as the real service tells it: status 422 with a code and a text that are found by
 * Chromium's own words. What is not recognised is 2000.
 */
import { PlatformError } from "../../../kernel/errors.ts";

const CONTEXT =
  "The execution context was destroyed, most likely because of a navigation or page reload. Check gotoOptions/waitForSelector/waitForTimeout options.";
const TARGET = "The target closed. Check gotoOptions/waitForSelector/waitForTimeout options.";

/** The first that matches. */
const KNOWN: readonly (readonly [words: RegExp, code: number, text: string])[] = [
  [/_SSL_|_CERT_/, 5000, "Certificate and/or SSL error when attempting to load page"],
  [/net::ERR_ADDRESS_/, 5001, "Address unreachable error when attempting to load page"],
  [/net::ERR_ABORTED/, 5002, "Network connection aborted."],
  [/net::ERR_(NAME_NOT_RESOLVED|DNS_TIMED_OUT)/, 5005, "DNS resolution failed"],
  [/ERR_TIMED_OUT|net::ERR_CONNECTION_TIMED_OUT/, 5002, "Timeout when browsing to url"],
  [/net::ERR_TOO_MANY_REDIRECTS/, 5003, "Network error: Too many redirects"],
  [/net::ERR_HTTP2_PROTOCOL_ERROR/, 5004, "Network error: HTTP2 error"],
  [/net::ERR_(CONNECTION_CLOSED|CONNECTION_RESET|TUNNEL_CONNECTION_FAILED)/, 5006, "Network connection closed."],
  [/net::ERR_CONNECTION_REFUSED/, 5008, "Server refused connection."],
  [/net::ERR_(INVALID_URL|FILE_NOT_FOUND)/, 5010, "Invalid Url when attempting to load page"],
  [/net::ERR_EMPTY_RESPONSE/, 5011, "Empty response from server"],
  [/net::/, 5009, "Network error when attempting to load page"],
  [
    /timed out|Navigation timeout|Waiting failed: .* exceeded/,
    6002,
    "A timeout was reached. Check gotoOptions/waitForSelector/waitForTimeout/actionTimeout options.",
  ],
  [/Session with given id not found/, 6001, TARGET],
  [
    /Execution context was destroyed|Cannot find context with specified id|frame was detached|No (node|frame).* with given id/i,
    6000,
    CONTEXT,
  ],
  [
    /Page\.(captureScreenshot|printToPDF)/,
    6003,
    "Failed to capture screenshot or generate PDF. The page may be too large or in an invalid state.",
  ],
  [/'TrustedScript' assignment/, 6004, "Content Security Policy blocked script execution"],
  [/is not a valid selector/, 6005, "An invalid CSS selector was provided. Check your selector/waitForSelector/root syntax."],
  [
    /Could not load script|reading 'appendChild'/,
    6006,
    "Could not inject the requested script into the page. The target page may not support script injection (no <head>/<body>) or the script could not be loaded.",
  ],
  [/Target closed|the browser has ended/, 6001, TARGET],
];

/** The error that the caller gets. Never throws. */
export function failureOf(error: Error): PlatformError {
  if (error instanceof PlatformError) return error;
  const [, apiCode, text] = KNOWN.find(([words]) => words.test(error.message)) ?? [undefined, 2000, error.message];
  return new PlatformError("browserRendering.pageFailed", { status: 422, apiCode, message: text }, text, { cause: error });
}
