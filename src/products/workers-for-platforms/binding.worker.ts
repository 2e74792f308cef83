/**
 * `env.NAME` of a dispatch_namespace binding. A fetcher is made without a question whether the Worker exists; the call says
 * so. What `get()` was given goes along with each request in a header, which the platform reads and takes away.
 */
interface Inner {
  readonly platform: Fetcher;
  /** Names of the outbound Worker's parameters. */
  readonly parameters: readonly string[];
}

interface Options {
  readonly limits?: { readonly cpuMs?: number; readonly subRequests?: number };
  readonly outbound?: Readonly<Record<string, unknown>>;
}

const CALL = "x-freehold-dispatch";
const FAILURE = "x-freehold-failure";

class UserWorker {
  readonly #platform: Fetcher;
  readonly #call: string;

  constructor(platform: Fetcher, call: object) {
    this.#platform = platform;
    this.#call = new TextEncoder().encode(JSON.stringify(call)).toBase64();
  }

  async fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    const request = new Request(input as RequestInfo, init);
    const headers = new Headers(request.headers);
    headers.set(CALL, this.#call);
    const response = await this.#platform.fetch(new Request(request, { headers }));
    const failure = response.headers.get(FAILURE);
    if (failure !== null) throw new Error(decodeURIComponent(failure));
    return response;
  }
}

class DispatchNamespace {
  readonly #inner: Inner;

  constructor(inner: Inner) {
    this.#inner = inner;
  }

  get(name: string, _args: object = {}, { limits = {}, outbound = {} }: Options = {}): UserWorker {
    if (typeof name !== "string")
      throw new TypeError("Failed to execute 'get' on 'DispatchNamespace': parameter 1 is not of type 'string'.");
    const { cpuMs, subRequests } = limits;
    for (const limit of [cpuMs, subRequests])
      if (limit !== undefined && !(Number.isFinite(limit) && limit >= 0))
        throw new TypeError("Limits must be numbers that are not negative.");
    const parameters = Object.fromEntries(this.#inner.parameters.flatMap((key) => (key in outbound ? [[key, outbound[key]]] : [])));
    return new UserWorker(this.#inner.platform, { worker: name, limits: { cpuMs, subRequests }, parameters });
  }
}

export default (inner: Inner): DispatchNamespace => new DispatchNamespace(inner);
