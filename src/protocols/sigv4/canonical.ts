/**
 * Canonical requests of AWS Signature Version 4 as S3 forms them: the path is encoded once, query parameters
 * are sorted by their encoded names, header values are trimmed. Bytes on the wire are what is signed, so
 * everything here works on the raw request line and raw headers, never on parsed ones.
 */
import { createHash, createHmac } from "node:crypto";

export const ALGORITHM = "AWS4-HMAC-SHA256";

/** sha256 of no bytes. */
export const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** A request as it arrived. */
export interface RawRequest {
  readonly method: string;
  /** Path of the request line, still encoded, without the query. */
  readonly path: string;
  /** What follows "?" in the request line, still encoded; empty without. */
  readonly query: string;
  /** Names and values in turn, as `IncomingMessage.rawHeaders` has them. */
  readonly rawHeaders: readonly string[];
}

/** `<date>/<region>/<service>/aws4_request` of a credential. */
export interface Scope {
  readonly date: string;
  readonly region: string;
  readonly service: string;
}

export const scopeText = (scope: Scope): string => `${scope.date}/${scope.region}/${scope.service}/aws4_request`;

const sha256Hex = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");

const hmac = (key: string | Uint8Array, data: string): Buffer => createHmac("sha256", key).update(data).digest();

export const hmacHex = (key: Uint8Array, data: string): string => createHmac("sha256", key).update(data).digest("hex");

/** The key that signs everything of one scope. */
export function signingKey(secretAccessKey: string, scope: Scope): Buffer {
  return hmac(hmac(hmac(hmac(`AWS4${secretAccessKey}`, scope.date), scope.region), scope.service), "aws4_request");
}

/** Percent-encodes all but RFC 3986's unreserved characters, upper-case hex: AWS's `UriEncode`. */
export function uriEncode(value: string): string {
  return encodeURIComponent(value).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Undoes percent-encoding; a sequence that is not valid UTF-8 or not complete stays as it is. */
export function uriDecode(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    // A stray "%" is data for clients that do not encode; they signed "%25", which encoding it again gives.
    return value;
  }
}

/** Name and value pairs of a raw query, decoded; "+" is a space, as in forms. */
export function queryPairs(query: string): [string, string][] {
  if (query === "") return [];
  return query
    .split("&")
    .filter((part) => part !== "")
    .map((part) => {
      const separator = part.indexOf("=");
      const name = separator === -1 ? part : part.slice(0, separator);
      const value = separator === -1 ? "" : part.slice(separator + 1);
      return [uriDecode(name.replaceAll("+", " ")), uriDecode(value.replaceAll("+", " "))];
    });
}

function canonicalQuery(query: string, without: string | undefined): string {
  const encoded = queryPairs(query)
    .filter(([name]) => name !== without)
    .map(([name, value]) => [uriEncode(name), uriEncode(value)] as const);
  encoded.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0));
  return encoded.map(([name, value]) => `${name}=${value}`).join("&");
}

/** The path decoded and encoded again: equal to the path as sent for clients that encode as AWS does. */
const canonicalPath = (path: string): string =>
  path
    .split("/")
    .map((segment) => uriEncode(uriDecode(segment)))
    .join("/");

/** All values of a header, in the order sent, joined as SigV4 joins them. */
export function headerValue(rawHeaders: readonly string[], name: string): string | undefined {
  let found: string | undefined;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if ((rawHeaders[i] as string).toLowerCase() !== name) continue;
    const value = (rawHeaders[i + 1] as string).trim().replace(/ +/g, " ");
    found = found === undefined ? value : `${found},${value}`;
  }
  return found;
}

/** How a canonical request may be read where clients differ; the first form is the specification's. */
export interface CanonicalForm {
  /** The path exactly as sent instead of normalised. */
  readonly pathAsSent: boolean;
  /** Header bytes outside ASCII signed as they are on the wire instead of as UTF-8 of their Latin-1 text. */
  readonly headerBytes: boolean;
}

export function canonicalRequest(
  request: RawRequest,
  signedHeaders: readonly string[],
  payloadHash: string,
  form: CanonicalForm,
  withoutParameter?: string,
): string {
  let headers = "";
  for (const name of signedHeaders) {
    const value = headerValue(request.rawHeaders, name) ?? "";
    headers += `${name}:${form.headerBytes ? Buffer.from(value, "latin1").toString("utf8") : value}\n`;
  }
  return [
    request.method,
    form.pathAsSent ? request.path : canonicalPath(request.path),
    canonicalQuery(request.query, withoutParameter),
    headers,
    signedHeaders.join(";"),
    payloadHash,
  ].join("\n");
}

export function stringToSign(amzDate: string, scope: Scope, canonical: string): string {
  return [ALGORITHM, amzDate, scopeText(scope), sha256Hex(canonical)].join("\n");
}
