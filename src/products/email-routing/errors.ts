/**
 * Errors of Email Routing. Those of `send()` are thrown in Worker code by their text alone, which wrangler's local
 * development shares (miniflare's `send_email` binding); the codes of the REST API are our own.
 */
import { defineErrors } from "../../kernel/errors.ts";

export const emailError = defineErrors("emailRouting", {
  binding: { status: 400, apiCode: 10021, message: "The send_email binding is invalid." },
  recipient: { status: 400, apiCode: 2001, message: "email to this address is not allowed" },
  sender: { status: 400, apiCode: 2002, message: "email from this address is not allowed" },
  unparsable: { status: 400, apiCode: 2003, message: "could not parse email" },
  messageId: { status: 400, apiCode: 2004, message: "invalid message-id" },
  fromMismatch: { status: 400, apiCode: 2005, message: "From: header does not match mail from" },
  headers: { status: 400, apiCode: 2006, message: "invalid headers set" },
  tooLarge: { status: 413, apiCode: 2007, message: "email is larger than 25 MiB" },
  notFound: { status: 404, apiCode: 2008, message: "The message was not found." },
});
