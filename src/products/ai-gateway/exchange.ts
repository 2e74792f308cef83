/**
 * One request of a client carried out: its steps in order until one succeeds, each by cache or provider, and the answer
 * passed on as it comes. What went through is logged when it has ended; the body of an answer is kept beside only up to
 * what logs and cache take.
 */
import { Readable, type Writable } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import { PlatformError } from "../../kernel/errors.ts";
import { type CachedResponse, cacheKey, type ResponseCache } from "./cache.ts";
import { gatewayError } from "./errors.ts";
import type { Gateway } from "./gateways.ts";
import { answerIn, blocked, MODEL as GUARD_MODEL, type Guard, promptIn, type Side, type Verdict } from "./guardrails.ts";
import type { Limiter } from "./limiter.ts";
import { type LogEntry, type Logs, newLogId } from "./logs.ts";
import type { Metrics } from "./metrics.ts";
import type { StepOptions } from "./options.ts";
import type { Spans } from "./spans.ts";
import type { UpstreamRequest, UpstreamResponse, Upstreams } from "./upstream.ts";
import { costOf, usageOf } from "./usage.ts";

/** Documented: a log of more is not stored, a request of more is not cached. */
const LOG_MAX_BYTES = 10 * 1024 * 1024;
export const CACHEABLE_MAX_BYTES = 25 * 1024 * 1024;

export interface Step {
  readonly request: UpstreamRequest;
  readonly options: StepOptions;
  /** As the client asked for it, below the provider. */
  readonly path: string;
  readonly model: string;
  /** Hears what the request has cost. */
  readonly charge?: (cost: number) => void;
}

/** The steps of a request, each asked for when the one before has failed. */
export type Steps = () => Promise<Step | undefined>;

export interface Caller {
  readonly authenticated: boolean;
  readonly userAgent: string;
}

export interface ExchangeParts {
  readonly upstreams: Upstreams;
  readonly cache: ResponseCache;
  readonly limiter: Limiter;
  readonly logs: Logs;
  readonly metrics: Pick<Metrics, "count">;
  readonly spans: Pick<Spans, "send">;
  readonly guard: Guard;
  readonly clock: Clock;
}

interface Answer extends UpstreamResponse {
  readonly cached: boolean;
  /** Where the response is kept when it is whole. */
  readonly key: string | undefined;
}

/** Where an answer goes: the response of HTTP, or one that speaks as it does. */
export interface Sink extends Writable {
  readonly headersSent: boolean;
  writeHead(status: number, headers: Readonly<Record<string, string | number>>): unknown;
  flushHeaders(): void;
}

export type Exchange = ReturnType<typeof openExchange>;

export function openExchange({ upstreams, cache, limiter, logs, metrics, spans, guard, clock }: ExchangeParts) {
  function keyOf(gateway: Gateway, { request, options }: Step): string | undefined {
    if (options.cacheTtl === 0 || options.skipCache) return undefined;
    const { provider, url, method, headers, body = Buffer.alloc(0) } = request;
    if (options.cacheKey !== undefined) return cacheKey("key", gateway.id, provider.slug, options.cacheKey);
    if (method !== "POST" || body.byteLength > CACHEABLE_MAX_BYTES) return undefined;
    // Who has another key of the provider's gets an answer of its own.
    const secret = headers[provider.key.header] ?? headers.authorization ?? "";
    return cacheKey("request", gateway.id, provider.slug, url, secret, headers["content-type"] ?? "", body);
  }

  async function answerOf(gateway: Gateway, step: Step, signal: AbortSignal): Promise<Answer> {
    const key = keyOf(gateway, step);
    const found = key === undefined ? undefined : cache.get(key);
    if (found !== undefined) return { ...found, body: Readable.from([found.body]), cached: true, key: undefined };
    if (!limiter.take(gateway)) throw gatewayError("rateLimited");
    return { ...(await upstreams.send(step.request, step.options, signal)), cached: false, key };
  }

  /** An answer whose prompt, and which itself, may pass the gateway's guardrails. */
  async function guarded(gateway: Gateway, caller: Caller, step: Step, at: number, signal: AbortSignal): Promise<Answer> {
    const { guardrails } = gateway.settings;
    if (guardrails === undefined || guardrails === null) return answerOf(gateway, step, signal);
    async function look(side: Side, text: string): Promise<void> {
      const startedAt = clock.now();
      const verdict = await guard.look(guardrails, side, text, prompt, signal);
      if (verdict === undefined) return;
      noteVerdict(gateway, caller, step, at, startedAt, text, verdict);
      if (verdict.action === "BLOCK") throw blocked(side);
    }
    const prompt = promptIn(step.request.body);
    await look("prompt", prompt);
    const answer = await answerOf(gateway, step, signal);
    if (answer.status >= 400 || !(answer.headers["content-type"] ?? "").includes("json")) return answer;
    const whole = await wholeAnswer(answer);
    await look("response", answerIn(whole));
    return { ...answer, body: Readable.from([whole], { objectMode: false }) };
  }

  /** A look of the guardrails as a log of its own, under the event of the request that it belongs to. */
  function noteVerdict(gateway: Gateway, caller: Caller, step: Step, at: number, startedAt: number, text: string, verdict: Verdict): void {
    if (!step.options.collectLog) return;
    const { side, found, action } = verdict;
    const request = Buffer.from(JSON.stringify({ [side]: text }));
    const response = Buffer.from(JSON.stringify({ action, hazards: found ?? null }));
    const type = "application/json";
    logs.add(gateway, {
      id: newLogId(startedAt),
      eventId: step.options.eventId,
      createdAt: startedAt,
      provider: "workers-ai",
      model: GUARD_MODEL,
      path: `guardrails/${side}`,
      requestType: "guardrails",
      durationMs: clock.now() - startedAt,
      success: found !== undefined,
      statusCode: found === undefined ? 503 : 200,
      cached: false,
      step: at,
      tokensIn: null,
      tokensOut: null,
      cost: null,
      customCost: false,
      metadata: JSON.stringify({ guardrail: side, action, hazards: (found ?? []).join(",") }),
      authenticated: caller.authenticated,
      userAgent: caller.userAgent,
      requestContentType: type,
      responseContentType: type,
      requestSize: request.byteLength,
      responseSize: response.byteLength,
      bodies: { request, response },
    });
  }

  /** Notes what became of a step. */
  function note(gateway: Gateway, caller: Caller, step: Step, at: number, outcome: Outcome): void {
    const { options, request } = step;
    const contentType = outcome.headers["content-type"] ?? "";
    const requestBody = request.body ?? Buffer.alloc(0);
    const success = outcome.status < 400;
    const usage = usageOf(contentType, outcome.body ?? Buffer.alloc(0));
    const model = step.model || usage.model || "";
    const cost = success ? costOf({ ...usage, model: usage.model ?? step.model }, options.customCost, outcome.cached) : null;
    if (cost !== null) step.charge?.(cost);
    const entry: LogEntry = {
      id: outcome.logId,
      eventId: options.eventId,
      createdAt: outcome.startedAt,
      provider: request.provider.slug,
      model,
      path: step.path,
      requestType: /embeddings/.test(step.path) ? "embeddings" : /image/.test(step.path) ? "image" : "chat",
      durationMs: clock.now() - outcome.startedAt,
      success,
      statusCode: outcome.status,
      cached: outcome.cached,
      step: at,
      tokensIn: usage.tokensIn,
      tokensOut: usage.tokensOut,
      cost,
      customCost: options.customCost !== undefined && !outcome.cached,
      metadata: options.metadata,
      authenticated: caller.authenticated,
      userAgent: caller.userAgent,
      requestContentType: request.headers["content-type"] ?? "",
      responseContentType: contentType,
      requestSize: requestBody.byteLength,
      responseSize: outcome.size,
      bodies:
        outcome.body !== undefined && requestBody.byteLength + outcome.size <= LOG_MAX_BYTES
          ? { request: requestBody, response: outcome.body }
          : undefined,
    };
    metrics.count(gateway.id, entry);
    spans.send(gateway, entry, options.trace);
    if (options.collectLog) logs.add(gateway, entry);
  }

  /** Passes the answer on, piece by piece; resolves with its body when it is whole and not too large. */
  async function pass(answer: Answer, response: Sink): Promise<{ body: Buffer | undefined; size: number }> {
    let kept: Buffer[] | undefined = [];
    let size = 0;
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      size += chunk.byteLength;
      if (size > CACHEABLE_MAX_BYTES) kept = undefined;
      kept?.push(chunk);
      if (!response.write(chunk)) await drained(response);
      if (response.destroyed) throw new Error("the client has gone");
    }
    response.end();
    return { body: kept && Buffer.concat(kept), size };
  }

  return {
    /** `universal`: the answer tells which step it is of. */
    async run(gateway: Gateway, next: Steps, caller: Caller, response: Sink, universal = false): Promise<void> {
      const gone = new AbortController();
      response.once("close", () => gone.abort());
      let step = await next();
      if (step === undefined) throw gatewayError("invalidRequest", "The route ends before any model");
      for (let at = 0; ; at++) {
        const following: Step | undefined = await attempt(gateway, step, at, next, caller, response, universal, gone.signal);
        if (following === undefined) return;
        step = following;
      }
    },
  };

  /** Carries one step out; resolves with the next one when this one has failed and there is one. */
  async function attempt(
    gateway: Gateway,
    step: Step,
    at: number,
    next: Steps,
    caller: Caller,
    response: Sink,
    universal: boolean,
    signal: AbortSignal,
  ): Promise<Step | undefined> {
    const startedAt = clock.now();
    const logId = newLogId(startedAt);
    const marks: Record<string, string> = {
      "cf-aig-log-id": logId,
      "cf-aig-event-id": step.options.eventId,
      "cf-aig-model": step.model,
      "cf-aig-provider": step.request.provider.slug,
      ...(universal && { "cf-aig-step": String(at) }),
    };
    let answer: Answer;
    try {
      answer = await guarded(gateway, caller, step, at, signal);
    } catch (error) {
      if (!(error instanceof PlatformError)) {
        if (signal.aborted) return undefined;
        throw error;
      }
      const failure = Buffer.from(JSON.stringify(failureBody(error)));
      const headers = { "content-type": "application/json" };
      const { status } = error.spec;
      note(gateway, caller, step, at, { logId, startedAt, status, headers, body: failure, size: failure.byteLength, cached: false });
      // What is blocked is no failure of a model that another one would mend.
      const following = error.code.endsWith("Blocked") ? undefined : await next();
      if (following === undefined) {
        response.writeHead(status, { ...headers, ...marks, "content-length": failure.byteLength });
        response.end(failure);
      }
      return following;
    }
    const outcome = { logId, startedAt, status: answer.status, headers: answer.headers, cached: answer.cached };
    const following = answer.status >= 400 ? await next() : undefined;
    if (following !== undefined) {
      const body = await readAll(answer.body);
      note(gateway, caller, step, at, { ...outcome, body, size: body.byteLength });
      return following;
    }
    const cacheStatus = step.options.cacheTtl === 0 ? {} : { "cf-aig-cache-status": answer.cached ? "HIT" : "MISS" };
    response.writeHead(answer.status, { ...answer.headers, ...marks, ...cacheStatus });
    // The head goes out before the body's first piece.
    response.flushHeaders();
    let passed: Awaited<ReturnType<typeof pass>>;
    try {
      passed = await pass(answer, response);
    } catch {
      // Whichever side ended it: the client sees a response that is cut off.
      answer.body.destroy();
      response.destroy();
      note(gateway, caller, step, at, { ...outcome, status: 499, body: undefined, size: 0 });
      return undefined;
    }
    const { body, size } = passed;
    if (answer.key !== undefined && answer.status === 200 && body !== undefined) keep(gateway, step, answer, answer.key, body);
    note(gateway, caller, step, at, { ...outcome, body, size });
    return undefined;
  }

  function keep(gateway: Gateway, step: Step, answer: Answer, key: string, body: Buffer): void {
    const type = answer.headers["content-type"] ?? "";
    // Documented: text and images.
    if (!/json|^text\/|^image\//.test(type)) return;
    const entry: CachedResponse = { status: answer.status, headers: answer.headers, body };
    cache.put(key, { ...entry, gateway: gateway.id, provider: step.request.provider.slug }, step.options.cacheTtl);
  }
}

interface Outcome {
  readonly logId: string;
  readonly startedAt: number;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
  readonly size: number;
  readonly cached: boolean;
}

/** Both spellings that clients of the data plane read: `ai-gateway-provider` has `error`, the binding `errors`. */
export function failureBody({ message, spec }: PlatformError): Record<string, unknown> {
  const errors = [{ code: spec.apiCode, message }];
  return { success: false, result: [], messages: [], error: errors, errors };
}

/** The whole of an answer that is looked at before it is passed on. Throws `aiGateway.responseBlocked` for one too large for that. */
async function wholeAnswer({ body }: Answer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > CACHEABLE_MAX_BYTES) throw blocked("response");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The body of a failed step, as much of it as a log takes. */
async function readAll(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.byteLength;
      // Leaving the loop ends the rest: the next step does not wait for a failure that goes on and on.
      if (size > LOG_MAX_BYTES) break;
      chunks.push(chunk);
    }
  } catch {
    // It failed already; what came of its reason is enough.
  }
  return Buffer.concat(chunks);
}

function drained(response: Sink): Promise<void> {
  if (response.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.once("drain", done);
    response.once("close", done);
  });
}
