/**
 * Files at URLs that users give. A URL of the account's own domains and of the platform's public hosts is asked of the
 * gateway, like a stranger's request; any other of its server, and only at public addresses unless the operator allows more.
 * Each redirect is looked at like the first URL. Nothing of the caller's request is sent on.
 */
import { createWriteStream } from "node:fs";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Agent, type Dispatcher } from "undici";
import type { Zones } from "../../kernel/capabilities.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { PrivateAddressError, publicAgent } from "../../kernel/public-network.ts";

/** Why there is no file, in the numbers of the error codes of transformations (docs: Transform videos, Troubleshooting). */
export class RemoteError extends Error {
  readonly number: 9402 | 9404 | 9406 | 9407 | 9408 | 9504 | 9509;

  constructor(number: RemoteError["number"], message: string, options: ErrorOptions = {}) {
    super(message, options);
    this.number = number;
  }
}

export interface Fetched {
  /** Bytes of the file. */
  readonly size: number;
  readonly type: string;
}

export interface Remote {
  /** Writes the file at a URL to a path. Throws `RemoteError`, or the signal's reason. */
  download(url: URL, path: string, limits: { readonly maxBytes: number; readonly signal?: AbortSignal }): Promise<Fetched>;
  /** POSTs a body and resolves with the status. Redirects are not followed. Throws `RemoteError`. */
  post(url: URL, body: string, headers: Readonly<Record<string, string>>): Promise<number>;
  close(): Promise<void>;
}

const REDIRECTS_MAX = 5;
const VIA = "1.1 stream";

export function openRemote(kernel: KernelSlice, zones: Zones): Remote {
  const agent = publicAgent(kernel.config["stream.private_addresses"]);
  // The gateway is on this machine, where `agent` would not go; its certificate is made for whatever name is asked for.
  const gateway = new Agent({ headersTimeout: 30_000, bodyTimeout: 30_000, connect: { rejectUnauthorized: false } });

  const isOwn = (host: string): boolean =>
    zones.ofHost(host) !== undefined ||
    ["workers", "r2dev", "imagedelivery", "cloudflarestream"].some((name) => `.${host}`.endsWith(`.${name}.${kernel.urls.domain}`));

  async function ask(
    url: URL,
    method: "GET" | "POST",
    body: string | null,
    headers: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ) {
    const own = isOwn(url.hostname);
    const door = kernel.urls.gateway(url.protocol === "https:" ? "https" : "http");
    const all = { ...headers, host: url.host, via: VIA };
    const path = `${url.pathname}${url.search}`;
    try {
      return await (own ? gateway : agent).request({
        origin: own ? door : url.origin,
        path,
        method,
        body,
        headers: all,
        ...(signal && { signal }),
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw unreachable(error);
    }
  }

  async function follow(first: URL, signal?: AbortSignal): Promise<Dispatcher.ResponseData> {
    let url = first;
    for (let left = REDIRECTS_MAX; ; left--) {
      const answer = await ask(url, "GET", null, { accept: "*/*" }, signal);
      if (answer.statusCode < 300 || answer.statusCode >= 400) return answer;
      await answer.body.dump();
      const next = URL.parse(String(answer.headers.location ?? ""), url.href);
      if (left === 0 || next === null || !/^https?:$/.test(next.protocol))
        throw new RemoteError(9402, "the server redirected where nothing can be fetched");
      url = next;
    }
  }

  return {
    async download(url, path, { maxBytes, signal }) {
      const answer = await follow(url, signal);
      if (answer.statusCode !== 200) {
        await answer.body.dump();
        throw refused(answer.statusCode);
      }
      let size = 0;
      const count = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          size += chunk.byteLength;
          if (size > maxBytes) done(new RemoteError(9402, `the file is larger than ${maxBytes} bytes`));
          else done(null, chunk);
        },
      });
      try {
        await pipeline(answer.body, count, createWriteStream(path, { flags: "w" }), { ...(signal && { signal }) });
      } catch (cause) {
        signal?.throwIfAborted();
        if (cause instanceof RemoteError || (cause as NodeJS.ErrnoException).syscall === "write") throw cause;
        throw new RemoteError(9402, "the connection was interrupted", { cause });
      }
      return { size, type: String(answer.headers["content-type"] ?? "") };
    },
    async post(url, body, headers) {
      const { statusCode, body: answer } = await ask(url, "POST", body, headers, AbortSignal.timeout(15_000));
      await answer.dump({ limit: 65_536 }).catch(() => undefined);
      return statusCode;
    },
    async close() {
      await Promise.all([agent.destroy(), gateway.destroy()]);
    },
  };
}

/** A URL of http or https without credentials, or undefined. */
export function fetchable(text: string): URL | undefined {
  const url = URL.parse(text);
  return url === null || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "" ? undefined : url;
}

function refused(status: number): RemoteError {
  const text = `the origin server answered ${status}`;
  if (status === 404 || status === 410) return new RemoteError(9404, text);
  if (status >= 400 && status < 500) return new RemoteError(9408, text);
  return new RemoteError(status >= 500 ? 9509 : 9402, text);
}

function unreachable(error: unknown): RemoteError {
  const { cause, code } = error as { cause?: unknown; code?: string };
  if (error instanceof PrivateAddressError || cause instanceof PrivateAddressError)
    return new RemoteError(9406, "the URL leads to an address that is not public", { cause: error });
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return new RemoteError(9407, "the server's domain name does not resolve", { cause: error });
  return new RemoteError(9504, "the origin server could not be contacted", { cause: error });
}
