/**
 * The three kinds of failure. A caller's mistake is a `PlatformError` with a documented code; an operating
 * failure is any error wrapped with a verb phrase and `cause`; a bug is a failed assertion. Each protocol
 * (v4 envelope, S3 XML, Iceberg JSON, binding) renders a `PlatformError` in its own encoder.
 */

/** One documented error of a product. `apiCode` is the numeric code that clients branch on. */
export interface ErrorSpec {
  readonly status: number;
  readonly apiCode: number;
  readonly message: string;
  readonly retryable?: boolean;
}

export class PlatformError extends Error {
  /** Stable and documented, for example "r2.noSuchKey"; what tests match on. */
  readonly code: string;
  readonly spec: ErrorSpec;
  /** More for clients that read it, as the REST API gives it beside code and message. */
  readonly meta: object | undefined;

  constructor(code: string, spec: ErrorSpec, message?: string, { meta, ...options }: PlatformErrorOptions = {}) {
    super(message ?? spec.message, options);
    this.name = "PlatformError";
    this.code = code;
    this.spec = spec;
    this.meta = meta;
  }
}

export interface PlatformErrorOptions extends ErrorOptions {
  readonly meta?: object;
}

export type ErrorFactory<T> = (key: keyof T & string, message?: string, options?: PlatformErrorOptions) => PlatformError;

/**
 * Turns a product's error table into a factory whose keys are checked by the compiler. `message` replaces
 * the table's text where the documented text names the resource.
 */
export function defineErrors<const T extends Readonly<Record<string, ErrorSpec>>>(scope: string, table: T): ErrorFactory<T> {
  return (key, message, options) => new PlatformError(`${scope}.${key}`, table[key] as ErrorSpec, message, options);
}

/** Errors that any surface may answer. Codes as Cloudflare's API gives them. */
export const platformError = defineErrors("platform", {
  authentication: { status: 401, apiCode: 10000, message: "Authentication error" },
  forbidden: { status: 403, apiCode: 10000, message: "Authentication error" },
  invalidToken: { status: 401, apiCode: 1000, message: "Invalid API Token" },
  malformedHeader: { status: 400, apiCode: 6003, message: "Invalid request headers" },
  noRoute: { status: 404, apiCode: 7003, message: "Could not route to the request path, perhaps your object identifier is invalid?" },
  accountNotFound: { status: 403, apiCode: 7403, message: "The given account is not valid or is not authorized to access this service" },
  methodNotAllowed: { status: 405, apiCode: 10405, message: "Method not allowed for this authentication scheme" },
  badRequest: { status: 400, apiCode: 10021, message: "Invalid request" },
  invalidJson: { status: 400, apiCode: 10026, message: "Invalid JSON in request body" },
  bodyTooLarge: { status: 413, apiCode: 10413, message: "Request body is too large" },
  unsupportedMediaType: { status: 415, apiCode: 10415, message: "Unsupported content type" },
  requestTimeout: { status: 408, apiCode: 10408, message: "Request body was not received in time" },
  notImplemented: { status: 501, apiCode: 10501, message: "Not implemented by this version of Freehold" },
  /** Nobody reads this answer; it keeps a client's going away apart from failures of ours. */
  clientGone: { status: 499, apiCode: 10499, message: "The client ended the connection before its request was complete" },
  storageFull: {
    status: 507,
    apiCode: 10507,
    message: "The data directory's disk is full; writes resume by themselves when space is freed",
  },
  /** The words are D1's documented ones for a failure that may be retried. */
  engineLost: {
    status: 503,
    apiCode: 10503,
    message: "Network connection lost. The engine that served this request was restarted; it is not known whether it took effect",
    retryable: true,
  },
  internal: { status: 500, apiCode: 10500, message: "Internal error" },
});
