/**
 * Gathers what each invocation of the process's Worker logged, threw and called, and passes it to the platform when the
 * invocation is over. Which invocations are kept is decided at their beginning, by the Worker's sampling rates; of the
 * others nothing is gathered. Records of one moment travel in one request.
 */
import type { InvocationRecord, SpanRecord } from "../../kernel/invocation-record.ts";
import { Outbox } from "./outbox.worker.ts";
import { isPlatformEntrypoint } from "./platform-entrypoint.worker.ts";

interface Env {
  readonly SINK: Fetcher;
  readonly RATES: { readonly logs: number; readonly traces: number };
}

interface TailEvent {
  readonly spanContext: { readonly traceId: string; readonly spanId?: string };
  readonly invocationId: string;
  readonly timestamp: Date;
  // biome-ignore lint/suspicious/noExplicitAny: workerd's own shapes, one for each type
  readonly event: { readonly type: string; readonly [member: string]: any };
}

/** Documented: what is logged past this size in one invocation is left out. */
const LOGS_MAX_BYTES = 256 * 1024;
const SPANS_MAX = 1_000;

const outbox = new Outbox();

export default {
  tailStream(onset: TailEvent, env: Env) {
    if (isPlatformEntrypoint(onset.event.entrypoint)) return undefined;
    const logs = Math.random() < env.RATES.logs;
    const traces = Math.random() < env.RATES.traces;
    if (!logs && !traces) return undefined;
    const invocation = new Invocation(onset, logs, traces);
    return (event: TailEvent) => {
      if (!invocation.add(event)) return undefined;
      outbox.add(invocation.text());
      return outbox.send(env.SINK);
    };
  },
};

class Invocation {
  readonly #record: InvocationRecord;
  readonly #open = new Map<string, SpanRecord>();
  #left = LOGS_MAX_BYTES;

  constructor({ spanContext, invocationId, timestamp, event }: TailEvent, logs: boolean, traces: boolean) {
    this.#record = {
      kept: { logs, traces },
      traceId: spanContext.traceId,
      ...(spanContext.spanId !== undefined && { parentSpanId: spanContext.spanId }),
      spanId: event.spanId,
      invocationId,
      start: Number(timestamp),
      end: Number(timestamp),
      executionModel: event.executionModel,
      ...(event.entrypoint !== undefined && { entrypoint: event.entrypoint }),
      ...(event.durableObjectId !== undefined && { durableObjectId: event.durableObjectId }),
      info: event.info ?? { type: "unknown" },
      logs: [],
      exceptions: [],
      channelEvents: [],
      spans: [],
      attributes: {},
      outcome: "unknown",
      truncated: false,
    };
  }

  /** True when the invocation is over. */
  add({ spanContext, timestamp, event }: TailEvent): boolean {
    const record = this.#record;
    const time = Number(timestamp);
    switch (event.type) {
      case "log":
        if (this.#fits(event.message)) record.logs.push({ time, level: event.level, message: event.message });
        return false;
      case "exception": {
        const { name, message, stack } = event;
        if (this.#fits([name, message, stack])) record.exceptions.push({ time, name, message, ...(stack !== undefined && { stack }) });
        return false;
      }
      case "diagnosticChannel":
        if (this.#fits(event.message)) record.channelEvents.push({ time, channel: event.channel, message: event.message });
        return false;
      case "spanOpen":
        this.#openSpan(event.spanId, spanContext.spanId ?? record.spanId, event.name, time);
        return false;
      case "attributes":
        this.#attributes(spanContext.spanId, event.info);
        return false;
      case "spanClose":
        this.#closeSpan(spanContext.spanId, event.outcome, time);
        return false;
      case "return":
        if (event.info?.statusCode !== undefined) record.statusCode = event.info.statusCode;
        return false;
      case "outcome":
        record.outcome = event.outcome;
        record.end = time;
        for (const span of this.#open.values()) span.end = time;
        return true;
      default:
        return false;
    }
  }

  /** The record as JSON; workerd's 64-bit integers become numbers. */
  text(): string {
    return JSON.stringify(this.#record, (_, value: unknown) => (typeof value === "bigint" ? Number(value) : value));
  }

  #fits(value: unknown): boolean {
    // A log's size is that of its JSON, which is what is stored.
    const size = JSON.stringify(value, (_, member: unknown) => (typeof member === "bigint" ? Number(member) : member))?.length ?? 0;
    this.#left -= size;
    if (this.#left < 0) this.#record.truncated = true;
    return this.#left >= 0;
  }

  #openSpan(id: string, parentId: string, name: string, time: number): void {
    const { spans, kept } = this.#record;
    if (!kept.traces || spans.length >= SPANS_MAX) return;
    const span: SpanRecord = { id, parentId, name, start: time, end: time, attributes: {} };
    spans.push(span);
    this.#open.set(id, span);
  }

  #attributes(spanId: string | undefined, info: readonly { readonly name: string; readonly value: unknown }[]): void {
    if (!this.#record.kept.traces) return;
    const attributes = spanId === this.#record.spanId ? this.#record.attributes : this.#open.get(spanId ?? "")?.attributes;
    if (attributes === undefined) return;
    for (const { name, value } of info) if (this.#fits(value)) attributes[name] = value;
  }

  #closeSpan(id: string | undefined, outcome: string, time: number): void {
    const span = this.#open.get(id ?? "");
    if (span === undefined) return;
    span.end = time;
    span.outcome = outcome;
    this.#open.delete(span.id);
  }
}
