/**
 * Images from elsewhere. A URL of the account's own domains is asked of the gateway, like a stranger's request; any other
 * of its server, and only on the public Internet unless the operator allows more: each redirect is looked at like the first
 * URL. Requests say by `Via` who asks, so that nobody transforms what is being transformed. Nothing of the client is sent on.
 */
import { Agent, type Dispatcher } from "undici";
import type { ContentStore, Zones } from "../../kernel/capabilities.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { PrivateAddressError, publicAgent } from "../../kernel/public-network.ts";
import { ImageError } from "./errors.ts";

export interface Source {
  readonly bytes: Buffer;
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
  readonly cacheControl: string | undefined;
  /** Milliseconds for which it may be used again, or undefined when it must not be kept. */
  readonly freshMs: number | undefined;
}

export interface Sources {
  /** Throws `ImageError` with the number for what went wrong. */
  fetch(url: URL, options: { readonly maxBytes: number; readonly headers?: Readonly<Record<string, string>> }): Promise<Source>;
  close(): Promise<void>;
}

/** Documented mark of our own requests. */
export const VIA = "1.1 image-resizing";
export const isOurs = (via: string | string[] | undefined): boolean => /image-resizing/.test(String(via ?? ""));

const REDIRECTS_MAX = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

export function openSources(kernel: KernelSlice, zones: Zones, cache: ContentStore): Sources {
  const allowed = kernel.config["runtime.outbound_allow"];
  const agent = publicAgent(allowed.includes("private") && allowed.includes("local"));
  // The gateway is on this machine, where `agent` would not go; its certificate is made for whatever name is asked for.
  const gateway = new Agent({ headersTimeout: 30_000, bodyTimeout: 30_000, connect: { rejectUnauthorized: false } });

  /** Whether the name is served here for everybody: of a zone, or one of the platform's public ones. */
  const isOwn = (host: string): boolean =>
    zones.ofHost(host) !== undefined ||
    ["workers", "r2dev", "imagedelivery"].some((name) => `.${host}`.endsWith(`.${name}.${kernel.urls.domain}`));

  async function ask(url: URL, headers: Readonly<Record<string, string>>): Promise<Dispatcher.ResponseData> {
    const own = isOwn(url.hostname);
    const door = kernel.urls.gateway(url.protocol === "https:" ? "https" : "http");
    try {
      return await (own ? gateway : agent).request({
        origin: own ? door : url.origin,
        path: `${url.pathname}${url.search}`,
        method: "GET",
        headers: { accept: "image/*,*/*;q=0.8", ...headers, host: url.host, via: VIA },
      });
    } catch (error) {
      throw unreachable(error);
    }
  }

  /** The answer at the end of all redirects. */
  async function follow(first: URL, headers: Readonly<Record<string, string>>): Promise<Dispatcher.ResponseData> {
    let url = first;
    let given = headers;
    for (let left = REDIRECTS_MAX; ; left--) {
      const answer = await ask(url, given);
      if (!REDIRECTS.has(answer.statusCode)) return answer;
      await answer.body.dump();
      if (left === 0) throw new ImageError(9421, "the server redirected too many times");
      const next = URL.parse(String(answer.headers.location ?? ""), url.href);
      if (next === null || !/^https?:$/.test(next.protocol)) throw new ImageError(9420, "the server redirected to an invalid URL");
      // What was meant for one server is no other's business.
      if (next.origin !== url.origin) given = {};
      url = next;
    }
  }

  return {
    async fetch(url, { maxBytes, headers = {} }) {
      const key = JSON.stringify(["source", url.href]);
      const kept = await cache.find(key);
      if (kept !== undefined) return { ...(JSON.parse(kept.headers.source as string) as Omit<Source, "bytes">), bytes: kept.bytes };
      const { username, password } = url;
      const credentials =
        username === "" ? {} : { authorization: `Basic ${btoa(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`)}` };
      const answer = await follow(url, { ...headers, ...credentials });
      if (answer.statusCode !== 200) {
        await answer.body.dump();
        // A Worker on the way has asked us for the image that we ask it for.
        if (answer.headers["cf-resized"] === "err=9403") throw new ImageError(9403, "a request loop: the image is transformed already");
        throw refused(answer.statusCode);
      }
      const header = (name: string): string | undefined => {
        const value = answer.headers[name];
        return Array.isArray(value) ? value.join(", ") : value;
      };
      const bytes = await bodyOf(answer, maxBytes);
      const names = new Map(Object.keys(answer.headers).map((name) => [name, header(name) ?? ""]));
      const freshMs = cache.lifetimeMs(200, names);
      const about = { etag: header("etag"), lastModified: header("last-modified"), cacheControl: header("cache-control"), freshMs };
      if (freshMs !== undefined && username === "")
        await cache.put(key, { headers: { source: JSON.stringify(about) }, bytes }, { url: url.href, forMs: freshMs });
      return { ...about, bytes };
    },
    async close() {
      await Promise.all([agent.destroy(), gateway.destroy()]);
    },
  };
}

async function bodyOf({ headers, body }: Dispatcher.ResponseData, maxBytes: number): Promise<Buffer> {
  const tooLarge = (): ImageError => new ImageError(9402, `the image is larger than ${maxBytes / 1024 / 1024} MB`);
  if (Number(headers["content-length"] ?? 0) > maxBytes) {
    body.destroy();
    throw tooLarge();
  }
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of body) {
      size += (chunk as Buffer).byteLength;
      if (size > maxBytes) throw tooLarge();
      chunks.push(chunk as Buffer);
    }
  } catch (cause) {
    throw cause instanceof ImageError ? cause : new ImageError(9402, "the connection was interrupted", { cause, status: 502 });
  }
  return Buffer.concat(chunks);
}

function refused(status: number): ImageError {
  const text = `Could not fetch the image — the server returned HTTP error ${status}`;
  if (status === 404) return new ImageError(9404, text);
  if (status >= 400 && status < 500) return new ImageError(9408, text, { status });
  return status >= 500 ? new ImageError(9509, text) : new ImageError(9412, `the server returned no image but the status ${status}`);
}

function unreachable(error: unknown): ImageError {
  const { cause, code } = error as { cause?: unknown; code?: string };
  if (error instanceof PrivateAddressError || cause instanceof PrivateAddressError)
    return new ImageError(9420, "the URL leads to an address that is not public", { cause: error, status: 403 });
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return new ImageError(9407, "the server's domain name does not resolve", { cause: error });
  if (code === "UND_ERR_CONNECT_TIMEOUT") return new ImageError(9504, "the server could not be contacted", { cause: error });
  if (code === "UND_ERR_HEADERS_TIMEOUT") return new ImageError(9505, "the server did not answer in time", { cause: error });
  return new ImageError(9510, "the server could not be contacted", { cause: error });
}
