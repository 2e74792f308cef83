/** What one invocation of a Worker did, as the runtime saw it. Times are milliseconds since the epoch. */
export interface InvocationRecord {
  /** What the Worker's sampling chose to keep of it. */
  readonly kept: { readonly logs: boolean; readonly traces: boolean };
  /** 32 hex digits; shared with the invocations of the same process that this one called. */
  readonly traceId: string;
  /** The span of the caller in the same trace. */
  readonly parentSpanId?: string;
  /** The span that is the invocation. */
  readonly spanId: string;
  readonly invocationId: string;
  readonly start: number;
  end: number;
  readonly executionModel: string;
  readonly entrypoint?: string;
  readonly durableObjectId?: string;
  /** What set it off: `{ type: "fetch", method, url, headers }`, `{ type: "scheduled", cron, … }`, … */
  readonly info: { readonly type: string; readonly [member: string]: unknown };
  readonly logs: { readonly time: number; readonly level: string; readonly message: unknown }[];
  readonly exceptions: { readonly time: number; readonly name: string; readonly message: string; readonly stack?: string }[];
  readonly channelEvents: { readonly time: number; readonly channel: string; readonly message: unknown }[];
  readonly spans: SpanRecord[];
  /** Attributes that code gave the invocation's own span. */
  readonly attributes: Record<string, unknown>;
  /** "ok", "exception", "canceled", … */
  outcome: string;
  statusCode?: number;
  /** It logged more than is kept. */
  truncated: boolean;
}

/** A call of the invocation, or a span of its own making. */
export interface SpanRecord {
  readonly id: string;
  readonly parentId: string;
  readonly name: string;
  readonly start: number;
  end: number;
  outcome?: string;
  readonly attributes: Record<string, unknown>;
}
