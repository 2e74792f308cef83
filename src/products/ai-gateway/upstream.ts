/**
 * Requests to providers. Addresses that users name are reached on the public Internet alone, whatever their names resolve
 * to; those that the operator's configuration names are reached wherever they are. Redirects are not followed.
 */
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { Agent, type Dispatcher, request } from "undici";
import { PlatformError } from "../../kernel/errors.ts";
import { PrivateAddressError, publicAgent } from "../../kernel/public-network.ts";
import { gatewayError } from "./errors.ts";
import { retryDelay, type StepOptions } from "./options.ts";
import type { Provider } from "./providers.ts";

export interface UpstreamRequest {
  readonly provider: Provider;
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

export interface UpstreamResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readable;
}

export interface Upstreams {
  /**
   * Tries as often as the options say; resolves with the first answer that is no failure of the provider, or the last one.
   * Throws `aiGateway.timeout`, `aiGateway.unreachable`, `aiGateway.privateAddress`.
   */
  send(asked: UpstreamRequest, options: StepOptions, signal: AbortSignal): Promise<UpstreamResponse>;
  stop(): Promise<void>;
}

/** Headers that belong to one connection, and those that undici makes itself. */
const HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "host",
  "content-length",
  "expect",
]);

/** A provider may take its time before it answers, and between two pieces of its answer. */
const SILENCE_MAX_MS = 600_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** What a provider is told of the client's request: nothing that is meant for the gateway or says where the client is. */
export function forwardedHeaders(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const forwarded: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || HOP.has(name) || /^(cf-|x-forwarded-|x-real-ip$|forwarded$|true-client-ip$|cookie$)/.test(name)) continue;
    forwarded[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  // The answer is looked at on its way.
  forwarded["accept-encoding"] = "identity";
  return forwarded;
}

const isFailure = (status: number): boolean => status >= 500 || status === 429 || status === 408;

export function openUpstreams(): Upstreams {
  const trusted = new Agent({ connect: { timeout: CONNECT_TIMEOUT_MS } });
  const open = publicAgent(false);

  async function once(asked: UpstreamRequest, timeoutMs: number | undefined, signal: AbortSignal): Promise<UpstreamResponse> {
    const { provider, url, method, headers, body } = asked;
    const tooLate = new AbortController();
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => tooLate.abort(), timeoutMs);
    const ended = AbortSignal.any([signal, tooLate.signal]);
    try {
      if (provider.serve !== undefined) {
        const asked = { contentType: headers["content-type"] ?? "", body: body ?? Buffer.alloc(0) };
        const answer = await provider.serve(url, asked, ended);
        ended.throwIfAborted();
        return answer;
      }
      const answer = await request(url, {
        method: method as Dispatcher.HttpMethod,
        headers,
        ...(body !== undefined && body.byteLength > 0 && { body }),
        dispatcher: provider.trusted ? trusted : open,
        headersTimeout: SILENCE_MAX_MS,
        bodyTimeout: SILENCE_MAX_MS,
        signal: ended,
      });
      const kept: Record<string, string> = {};
      for (const [name, value] of Object.entries(answer.headers))
        if (value !== undefined && !HOP.has(name)) kept[name] = Array.isArray(value) ? value.join(", ") : value;
      return { status: answer.statusCode, headers: kept, body: answer.body };
    } catch (cause) {
      if (signal.aborted) throw cause;
      if (tooLate.signal.aborted) throw gatewayError("timeout", undefined, { cause });
      const error = cause as Error & { cause?: unknown };
      if (error instanceof PrivateAddressError || error.cause instanceof PrivateAddressError)
        throw gatewayError("privateAddress", undefined, { cause });
      throw gatewayError("unreachable", `The provider ${provider.slug} could not be reached`, { cause });
    } finally {
      // The first part has come: from here on there is no hurry.
      clearTimeout(timer);
    }
  }

  return {
    async send(asked, options, signal) {
      for (let attempt = 1; ; attempt++) {
        const last = attempt >= options.attempts;
        // Documented: the last of several attempts takes as long as it takes.
        const timeoutMs = last && options.attempts > 1 ? undefined : options.timeoutMs;
        try {
          const answer = await once(asked, timeoutMs, signal);
          if (last || !isFailure(answer.status)) return answer;
          // Read to its end, so that the connection serves the next attempt.
          answer.body.on("error", () => undefined).resume();
        } catch (error) {
          if (last || !(error instanceof PlatformError) || error.code === "aiGateway.privateAddress") throw error;
        }
        await delay(retryDelay(options, attempt), undefined, { signal });
      }
    },
    async stop() {
      await Promise.all([trusted.destroy(), open.destroy()]);
    },
  };
}
