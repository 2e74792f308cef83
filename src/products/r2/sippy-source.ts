/**
 * The bucket that Sippy copies from: an S3-compatible server (AWS or any by URL) or Google Cloud Storage. Reads only.
 * Addresses come from users, so connections go to the public Internet unless the operator allows others, and redirects
 * are not followed. Only metadata under `x-amz-meta-` is kept (docs/r2/data-migration/sippy, "R2 API interactions").
 */
import { createSign } from "node:crypto";
import type { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import type { BlobRange } from "../../kernel/blobs/blobs.ts";
import type { Clock } from "../../kernel/clock.ts";
import { uriEncode } from "../../protocols/sigv4/index.ts";
import { signedHeaders } from "../../protocols/sigv4/sign.ts";

export type SourceConfig =
  | { readonly provider: "aws" | "s3"; readonly url: string; readonly region: string }
  | { readonly provider: "gcs"; readonly url: string; readonly tokenUrl: string; readonly clientEmail: string };

export interface SourceSecrets {
  readonly accessKeyId?: string | undefined;
  readonly secretAccessKey?: string | undefined;
  readonly privateKey?: string | undefined;
}

export interface SourceObject {
  readonly size: number;
  /** Without quotes. */
  readonly etag: string;
  /** Milliseconds since the epoch. */
  readonly modified: number;
  readonly custom: Readonly<Record<string, string>>;
}

export interface SippySource {
  /** Undefined when the source has no such object. */
  head(key: string): Promise<SourceObject | undefined>;
  get(key: string, range?: BlobRange): Promise<{ readonly object: SourceObject; readonly body: Readable } | undefined>;
  /** Rejects with a `SourceError` when the bucket cannot be reached with these credentials. */
  check(): Promise<void>;
}

/** The source answered something else than an object, or nothing. */
export class SourceError extends Error {}

const META = "x-amz-meta-";
const GCS_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only";
const TOKEN_LIFE_S = 3600;
const TOKEN_MARGIN_MS = 60_000;

/** `url` of the config is the bucket's, without a slash at its end. */
export function sippySource(config: SourceConfig, secrets: SourceSecrets, agent: Dispatcher, clock: Clock): SippySource {
  const { origin, host, pathname } = new URL(config.url);
  const base = pathname === "/" ? "" : pathname;
  const authorize = config.provider === "gcs" ? googleHeaders(config, secrets, agent, clock) : awsHeaders(config, secrets, clock);

  async function send(method: "GET" | "HEAD", path: string, headers: Record<string, string>): Promise<Dispatcher.ResponseData> {
    try {
      return await agent.request({ origin, path, method, headers: await authorize(method, host, path, headers) });
    } catch (cause) {
      if (cause instanceof SourceError) throw cause;
      throw new SourceError(`reach the source bucket: ${(cause as Error).message}`, { cause });
    }
  }

  async function ask(method: "GET" | "HEAD", key: string, range?: BlobRange) {
    const path = `${base}/${key.split("/").map(uriEncode).join("/")}`;
    const last = range && range.offset + range.length - 1;
    const answer = await send(method, path, range === undefined ? {} : { range: `bytes=${range.offset}-${last}` });
    if (answer.statusCode === (range === undefined ? 200 : 206)) return answer;
    await answer.body.dump();
    if (answer.statusCode === 404) return undefined;
    throw new SourceError(`the source bucket answered ${answer.statusCode}`);
  }

  function describe({ headers }: Dispatcher.ResponseData): SourceObject {
    const header = (name: string): string => String(headers[name] ?? "");
    const size = Number(header("content-length") || Number.NaN);
    if (!Number.isSafeInteger(size)) throw new SourceError("the source bucket does not say how large the object is");
    const modified = Date.parse(header("last-modified"));
    return {
      size,
      etag: header("etag").replace(/^(?:W\/)?"|"$/g, ""),
      modified: Number.isNaN(modified) ? clock.now() : modified,
      custom: Object.fromEntries(
        Object.keys(headers)
          .filter((name) => name.startsWith(META))
          .map((name) => [name.slice(META.length), Buffer.from(header(name), "latin1").toString("utf8")]),
      ),
    };
  }

  return {
    async head(key) {
      const answer = await ask("HEAD", key);
      if (answer === undefined) return undefined;
      await answer.body.dump();
      return describe(answer);
    },
    async get(key, range) {
      const answer = await ask("GET", key, range);
      if (answer === undefined) return undefined;
      // Giving a body up is an error to it; whoever reads it hears of every error all the same.
      answer.body.on("error", () => undefined);
      try {
        return { object: describe(answer), body: answer.body };
      } catch (error) {
        answer.body.destroy();
        throw error;
      }
    },
    async check() {
      const answer = await send("HEAD", base === "" ? "/" : base, {});
      await answer.body.dump();
      if (answer.statusCode >= 300) throw new SourceError(`the source bucket answered ${answer.statusCode}`);
    },
  };
}

type Authorize = (method: string, host: string, path: string, headers: Record<string, string>) => Promise<Record<string, string>>;

function awsHeaders({ region }: SourceConfig & { provider: "aws" | "s3" }, secrets: SourceSecrets, clock: Clock): Authorize {
  const keys = { accessKeyId: secrets.accessKeyId ?? "", secretAccessKey: secrets.secretAccessKey ?? "", region };
  return async (method, host, path, headers) => signedHeaders({ method, host, path }, headers, keys, clock.now());
}

/** A service account's key is exchanged for an access token, which is kept until shortly before its end. */
function googleHeaders(
  { clientEmail, tokenUrl }: SourceConfig & { provider: "gcs" },
  { privateKey = "" }: SourceSecrets,
  agent: Dispatcher,
  clock: Clock,
): Authorize {
  let token: { readonly value: string; readonly until: number } | undefined;
  async function fetchToken(): Promise<string> {
    const now = Math.floor(clock.now() / 1000);
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = { iss: clientEmail, scope: GCS_SCOPE, aud: tokenUrl, iat: now, exp: now + TOKEN_LIFE_S };
    const text = `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}`;
    const assertion = `${text}.${createSign("RSA-SHA256").update(text).sign(privateKey, "base64url")}`;
    const url = new URL(tokenUrl);
    const answer = await agent.request({
      origin: url.origin,
      path: url.pathname,
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion }).toString(),
    });
    if (answer.statusCode !== 200) {
      await answer.body.dump();
      throw new SourceError(`Google's token endpoint answered ${answer.statusCode}`);
    }
    const { access_token, expires_in } = (await answer.body.json()) as { access_token: string; expires_in: number };
    token = { value: access_token, until: clock.now() + expires_in * 1000 - TOKEN_MARGIN_MS };
    return access_token;
  }
  return async (_method, _host, _path, headers) => ({
    ...headers,
    authorization: `Bearer ${token !== undefined && token.until > clock.now() ? token.value : await fetchToken()}`,
  });
}
