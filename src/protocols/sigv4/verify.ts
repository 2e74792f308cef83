/**
 * Verification of SigV4 in the `Authorization` header and in the query (presigned URLs). Two steps, because
 * the secret is looked up in between: `parseAuthentication` reads who claims to have signed and what, `verify`
 * proves it. Order and words of the refusals are R2's. Verifies no permission and no bodies: the payload part
 * of the answer says how the body must be checked while it streams.
 */
import { timingSafeEqual } from "node:crypto";
import {
  ALGORITHM,
  canonicalRequest,
  headerValue,
  hmacHex,
  queryPairs,
  type RawRequest,
  type Scope,
  scopeText,
  signingKey,
  stringToSign,
} from "./canonical.ts";
import { expiredRequest, invalidArgument, invalidRequest, requestTimeTooSkewed, signatureDoesNotMatch, unauthorized } from "./errors.ts";

/** How the body was signed. */
export type Payload =
  /** The client vouched for the body's hash. */
  | { readonly kind: "hash"; readonly sha256: string }
  | { readonly kind: "unsigned" }
  /** aws-chunked; `signed` chunks carry a chain of signatures that starts with the request's own. */
  | { readonly kind: "chunked"; readonly signed: boolean; readonly trailer: boolean };

export interface Authentication {
  readonly presigned: boolean;
  readonly accessKeyId: string;
  readonly scope: Scope;
  readonly amzDate: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  /** The third line from the end of the canonical request, as sent. */
  readonly payloadHash: string;
  readonly payload: Payload;
  readonly sessionToken: string | undefined;
}

/** What verification leaves behind for signed chunks. */
export interface VerifiedSignature {
  readonly key: Buffer;
  readonly scope: string;
  readonly amzDate: string;
  readonly signature: string;
}

const SKEW_MAX_MS = 15 * 60 * 1000;
const EXPIRES_MAX_S = 604_800;

/** A long header is not hashed before it is known to be one of ours. */
const SIGNED_HEADERS_MAX = 100;

/** True when the request carries SigV4 in one of its two places. */
export function isSigned(request: RawRequest): boolean {
  if (headerValue(request.rawHeaders, "authorization")?.startsWith(ALGORITHM)) return true;
  return /(?:^|&)X-Amz-(?:Algorithm|Credential)=/.test(request.query);
}

/** Reads the claim. Throws `SignatureError`. `now` is milliseconds since the epoch. */
export function parseAuthentication(request: RawRequest, now: number): Authentication {
  const authorization = headerValue(request.rawHeaders, "authorization");
  if (authorization !== undefined) return fromHeader(request, authorization, now);
  const query = new Map(queryPairs(request.query));
  if (query.has("X-Amz-Credential") || query.has("X-Amz-Algorithm")) return fromQuery(request, query, now);
  throw invalidArgument("Authorization");
}

function fromHeader(request: RawRequest, authorization: string, now: number): Authentication {
  const header = (name: string) => headerValue(request.rawHeaders, name);
  const payloadHash = header("x-amz-content-sha256");
  if (payloadHash === undefined) throw invalidRequest("Missing x-amz-content-sha256");

  const source = header("x-amz-date") === undefined ? "date" : "x-amz-date";
  const amzDate = header(source);
  if (amzDate === undefined) throw invalidArgument("No date provided in x-amz-date nor date header");
  const date = parseAmzDate(amzDate);
  if (date === undefined) throw invalidArgument(`Date provided in '${source}' header (${amzDate}) didn't parse successfully`);
  if (Math.abs(now - date) > SKEW_MAX_MS) throw requestTimeTooSkewed();

  const fields = new Map<string, string>();
  if (authorization.startsWith(`${ALGORITHM} `)) {
    for (const part of authorization.slice(ALGORITHM.length).split(",")) {
      const separator = part.indexOf("=");
      if (separator !== -1) fields.set(part.slice(0, separator).trim(), part.slice(separator + 1).trim());
    }
  }
  const [credential, signed, signature] = [fields.get("Credential"), fields.get("SignedHeaders"), fields.get("Signature")];
  if (credential === undefined || signed === undefined || signature === undefined) throw invalidRequest(`Please use ${ALGORITHM}`);
  return {
    presigned: false,
    ...parseCredential(credential, amzDate),
    amzDate,
    signedHeaders: parseSignedHeaders(signed),
    signature,
    payloadHash,
    payload: parsePayload(payloadHash),
    sessionToken: header("x-amz-security-token"),
  };
}

function fromQuery(request: RawRequest, query: ReadonlyMap<string, string>, now: number): Authentication {
  const required = ["X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires", "X-Amz-Credential"];
  const missing = required.filter((name) => !query.has(name));
  if (missing.length === 1) throw invalidArgument(`Required search parameter ${missing[0]} missing`);
  // Two spaces: as the real service writes it.
  if (missing.length > 1) throw invalidArgument(`Required search parameters ${missing.join(",  ")} missing`);
  const parameter = (name: string) => query.get(name) as string;
  if (parameter("X-Amz-Algorithm") !== ALGORITHM) throw invalidRequest(`Please use ${ALGORITHM}`);

  const amzDate = parameter("X-Amz-Date");
  const date = parseAmzDate(amzDate);
  if (date === undefined) throw invalidArgument(`Date provided in X-Amz-Date (${amzDate}) didn't parse successfully`);
  const credential = parseCredential(parameter("X-Amz-Credential"), amzDate);

  const text = parameter("X-Amz-Expires");
  const expires = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isNaN(expires)) throw invalidArgument("X-Amz-Expires should be a number");
  if (expires > EXPIRES_MAX_S) {
    throw invalidArgument(
      `X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than ${EXPIRES_MAX_S} seconds`,
    );
  }
  if (expires < 1 || now > date + expires * 1000) throw expiredRequest();
  // A URL from the future would outlive the longest expiry.
  if (date - now > SKEW_MAX_MS) throw requestTimeTooSkewed();

  const signedHeaders = parseSignedHeaders(parameter("X-Amz-SignedHeaders"));
  const signedHash = signedHeaders.includes("x-amz-content-sha256") ? headerValue(request.rawHeaders, "x-amz-content-sha256") : undefined;
  const payloadHash = signedHash ?? query.get("X-Amz-Content-Sha256") ?? "UNSIGNED-PAYLOAD";
  return {
    presigned: true,
    ...credential,
    amzDate,
    signedHeaders,
    signature: parameter("X-Amz-Signature"),
    payloadHash,
    payload: parsePayload(payloadHash),
    sessionToken: query.get("X-Amz-Security-Token"),
  };
}

/** Proves the claim with the key's secret; throws SignatureDoesNotMatch with what was computed, as R2 does. */
export function verify(request: RawRequest, authentication: Authentication, secretAccessKey: string): VerifiedSignature {
  const { scope, amzDate, signedHeaders, payloadHash, signature } = authentication;
  const key = signingKey(secretAccessKey, scope);
  const compute = (pathAsSent: boolean, headerBytes: boolean) => {
    const canonical = canonicalRequest(
      request,
      signedHeaders,
      payloadHash,
      { pathAsSent, headerBytes },
      authentication.presigned ? "X-Amz-Signature" : undefined,
    );
    return { canonical, toSign: stringToSign(amzDate, scope, canonical) };
  };
  // Each form binds method, path, query, headers and payload; they differ only in how the same bytes are written.
  const specified = compute(false, false);
  const forms = [specified, compute(true, false), compute(false, true), compute(true, true)];
  const seen = new Set<string>();
  for (const form of forms) {
    if (seen.has(form.canonical)) continue;
    seen.add(form.canonical);
    if (equal(hmacHex(key, form.toSign), signature)) return { key, scope: scopeText(scope), amzDate, signature };
  }
  throw signatureDoesNotMatch({
    StringToSign: specified.toSign,
    StringToSignBytes: bytesText(specified.toSign),
    CanonicalRequest: specified.canonical,
    CanonicalRequestBytes: bytesText(specified.canonical),
    SignatureProvided: signature,
  });
}

/** Compares without telling by its duration how much is right. */
export function equal(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}

const bytesText = (text: string): string =>
  Buffer.from(text)
    .toString("hex")
    .replace(/..(?=.)/g, "$& ");

/** Milliseconds of `20130524T000000Z`, or undefined: no other form is a date here. */
function parseAmzDate(text: string): number | undefined {
  const match = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [number, number, number, number, number, number];
  const time = Date.UTC(year, month - 1, day, hour, minute, second);
  // Date.UTC carries the 31st of June over into July; such a date was never meant.
  return new Date(time).toISOString().replace(/[-:]|\.000/g, "") === text ? time : undefined;
}

/** `<key>/<date>/<region>/s3/aws4_request`. The region is not checked: every name is served by the one region there is. */
function parseCredential(credential: string, amzDate: string): { accessKeyId: string; scope: Scope } {
  const parts = credential.split("/");
  if (parts.length < 5) {
    throw invalidArgument(`Credential sigv4 header should have at least 5 slash-separated parts, not ${parts.length}`);
  }
  const [date, region, service, terminator] = parts.slice(-4) as [string, string, string, string];
  if (service !== "s3") throw invalidArgument(`Credential service should be s3, not ${service}`);
  if (terminator !== "aws4_request") throw invalidArgument(`Credential termination string should be aws4_request, not ${terminator}`);
  // R2 names the header also when the date came by the query.
  if (date !== amzDate.slice(0, 8)) {
    throw invalidArgument(`Credential signed date ${date} does not match ${amzDate.slice(0, 8)} from 'x-amz-date' header`);
  }
  return { accessKeyId: parts.slice(0, -4).join("/"), scope: { date, region, service } };
}

function parseSignedHeaders(field: string): string[] {
  const names = field.split(";").map((name) => name.toLowerCase());
  if (!names.includes("host") || names.length > SIGNED_HEADERS_MAX) throw unauthorized();
  return names;
}

function parsePayload(hash: string): Payload {
  if (/^[0-9a-f]{64}$/.test(hash)) return { kind: "hash", sha256: hash };
  switch (hash) {
    case "UNSIGNED-PAYLOAD":
      return { kind: "unsigned" };
    case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
      return { kind: "chunked", signed: true, trailer: false };
    case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER":
      return { kind: "chunked", signed: true, trailer: true };
    case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
      return { kind: "chunked", signed: false, trailer: true };
    default:
      throw invalidArgument(`x-amz-content-sha256 must be UNSIGNED-PAYLOAD, or a valid sha256 value.`);
  }
}
