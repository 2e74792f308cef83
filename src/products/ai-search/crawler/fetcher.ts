/**
 * Requests of the crawler. They go by a proxy of the platform, which answers for the platform's names and the account's zones
 * and reaches public addresses besides, nothing else; each address, also one that a redirect leads to, must lie in the domain of
 * the source. Headers that a user has given go nowhere else.
 */
import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";
import { fetch, ProxyAgent } from "undici";
import type { KernelSlice } from "../../../kernel/product.ts";
import { USER_AGENT } from "./robots.ts";

const REDIRECTS_MAX = 5;
const TIMEOUT_MS = 30_000;

export interface Fetched {
  readonly url: string;
  readonly status: number;
  readonly type: string;
  readonly bytes: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly modified: number | undefined;
}

export interface FetchOptions {
  readonly maxBytes: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Whether an address may be asked. */
  allows(url: URL): boolean;
}

export interface Fetcher {
  /** Rejects with what to say in a log. */
  get(url: string, options: FetchOptions): Promise<Fetched>;
  stop(): Promise<void>;
}

export function openFetcher({ openProxy }: Pick<KernelSlice, "openProxy">): Fetcher {
  let opened: Promise<{ agent: ProxyAgent; close(): Promise<void> }> | undefined;

  async function open() {
    const proxy = await openProxy([]);
    const authority = await readFile(proxy.authorityFile, "utf8");
    const agent = new ProxyAgent({ uri: proxy.url, requestTls: { ca: [...rootCertificates, authority] } });
    return {
      agent,
      async close() {
        await agent.destroy();
        await proxy.close();
      },
    };
  }

  async function once(url: URL, { headers, maxBytes, signal }: FetchOptions): Promise<Fetched | URL> {
    opened ??= open();
    const { agent } = await opened;
    const response = await fetch(url, {
      dispatcher: agent,
      redirect: "manual",
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      headers: { ...headers, "user-agent": USER_AGENT },
    });
    const to = response.headers.get("location");
    if (response.status >= 300 && response.status < 400 && to !== null) {
      await response.body?.cancel();
      return new URL(to, url);
    }
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      size += chunk.byteLength;
      // Leaving the loop ends the request.
      if (size > maxBytes) throw new Error(`File size exceeds the limit of ${maxBytes / 1_000_000} MB`);
      chunks.push(chunk);
    }
    const modified = Date.parse(response.headers.get("last-modified") ?? "");
    return {
      ...{ url: url.href, status: response.status, type: response.headers.get("content-type") ?? "", bytes: Buffer.concat(chunks) },
      modified: Number.isNaN(modified) ? undefined : modified,
    };
  }

  return {
    async get(address, options) {
      let url = new URL(address);
      for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
        if (!options.allows(url)) throw new Error(`${url.host} is not in the domain of the source`);
        let fetched: Fetched | URL;
        try {
          fetched = await once(url, options);
        } catch (error) {
          const cause = (error as Error).cause;
          throw new Error(cause instanceof Error ? `${(error as Error).message}: ${cause.message}` : (error as Error).message, {
            cause: error,
          });
        }
        if (!(fetched instanceof URL)) return fetched;
        url = fetched;
      }
      throw new Error("Too many redirects");
    },
    async stop() {
      const current = await opened?.catch(() => undefined);
      await current?.close();
    },
  };
}
