/**
 * Errors of Email Routing. Those of `send()` are thrown in Worker code by their text alone, which wrangler's local
 * development shares (miniflare's `send_email` binding); the codes of the REST API are our own, except 2016, which wrangler knows.
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
  zoneNotFound: { status: 404, apiCode: 2009, message: "The zone was not found." },
  ruleNotFound: { status: 404, apiCode: 2010, message: "The rule was not found." },
  addressNotFound: { status: 404, apiCode: 2011, message: "The destination address was not found." },
  invalidAddress: { status: 400, apiCode: 2012, message: "The e-mail address is invalid." },
  invalidRule: { status: 400, apiCode: 2013, message: "The rule is invalid." },
  tooManyRules: { status: 400, apiCode: 2014, message: "The zone has as many rules as it may have." },
  tooManyAddresses: { status: 400, apiCode: 2015, message: "The account has as many destination addresses as it may have." },
  workerNotFound: { status: 404, apiCode: 2016, message: "worker not found" },
  verification: { status: 400, apiCode: 2017, message: "The link is wrong or too old: ask for a new one." },
  notDelivered: { status: 400, apiCode: 2018, message: "The message was not delivered." },
  invalidSubdomain: { status: 400, apiCode: 2019, message: "The name is not under the zone." },
});
