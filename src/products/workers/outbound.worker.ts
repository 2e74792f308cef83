/**
 * Where fetch() of a Worker with routes goes: to the origin for host names of the zones that it has routes in, as behind
 * the real service's proxy, and to the Internet for all others. connect() passes by it.
 */
interface Env {
  readonly ORIGINS: Fetcher;
  readonly ZONES: readonly string[];
}

export default {
  fetch(request: Request, env: Env): Promise<Response> {
    const { hostname } = new URL(request.url);
    const own = env.ZONES.some((zone) => hostname === zone || hostname.endsWith(`.${zone}`));
    return own ? env.ORIGINS.fetch(request) : fetch(request);
  },
};
