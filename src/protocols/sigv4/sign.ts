/** Signs a request without a body, for S3-compatible servers that we are a client of. */
import { ALGORITHM, canonicalRequest, EMPTY_SHA256, hmacHex, type RawRequest, scopeText, signingKey, stringToSign } from "./canonical.ts";

export interface SigningKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

/** The headers to send: those given, the date, the payload's hash, and the signature. `time` is milliseconds since the epoch. */
export function signedHeaders(
  request: { readonly method: string; readonly host: string; readonly path: string },
  headers: Readonly<Record<string, string>>,
  keys: SigningKeys,
  time: number,
): Record<string, string> {
  const amzDate = new Date(time).toISOString().replace(/[-:]|\.\d+/g, "");
  const all: Record<string, string> = { ...headers, host: request.host, "x-amz-content-sha256": EMPTY_SHA256, "x-amz-date": amzDate };
  const names = Object.keys(all).sort();
  const scope = { date: amzDate.slice(0, 8), region: keys.region, service: "s3" };
  const raw: RawRequest = { method: request.method, path: request.path, query: "", rawHeaders: Object.entries(all).flat() };
  const canonical = canonicalRequest(raw, names, EMPTY_SHA256, { pathAsSent: true, headerBytes: false });
  const signature = hmacHex(signingKey(keys.secretAccessKey, scope), stringToSign(amzDate, scope, canonical));
  const credential = `${keys.accessKeyId}/${scopeText(scope)}`;
  return { ...all, authorization: `${ALGORITHM} Credential=${credential}, SignedHeaders=${names.join(";")}, Signature=${signature}` };
}
