/**
 * Where fetch() of a Worker with routes, or with the flag global_fetch_strictly_public, goes: to the platform for images that
 * are to be transformed (`cf.image`), for host names of the zones that it has routes in, whose origins are asked as behind
 * the real service's proxy, and for the account's own Workers; to the Internet for all others. connect() passes by it. An
 * entrypoint of the dispatcher's Worker, so that it costs no isolate of its own.
 */
interface Env {
  readonly PLATFORM: Fetcher;
  /** Answers 204 for what is to be sent on as any other request. */
  readonly IMAGES: Fetcher;
  /** Domains. */
  readonly OWN: readonly string[];
}

export const Outbound = {
  async fetch(request: Request, env: Env): Promise<Response> {
    if ((request.cf as { image?: unknown } | undefined)?.image !== undefined && (request.method === "GET" || request.method === "HEAD")) {
      const transformed = await env.IMAGES.fetch(request);
      if (transformed.status !== 204) return transformed;
    }
    const { hostname } = new URL(request.url);
    const own = env.OWN.some((domain) => hostname === domain || hostname.endsWith(`.${domain}`));
    return own ? env.PLATFORM.fetch(request) : fetch(request);
  },
};
