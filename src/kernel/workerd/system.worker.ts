/**
 * The door of the system workerd. Verifies the capability that came with a request and hands the request to the
 * product's engine with the claims. Nothing that a caller sends can name a resource by itself: the MAC covers product
 * and claims.
 */
interface Env {
  /** HMAC key, shared with the Node side. */
  KEY: CryptoKey;
  [entry: `product:${string}`]: Fetcher;
}

interface Verified {
  readonly entry: Fetcher;
  readonly claims: string;
}

const CAPABILITY = "x-freehold-capability";
const CLAIMS = "x-freehold-claims";
// Bounded: a capability is at most a few hundred bytes, and each binding of each Worker has one.
const VERIFIED_MAX = 10_000;
const verified = new Map<string, Verified>();

async function verify(capability: string, env: Env): Promise<Verified | undefined> {
  const [product, claims, mac] = capability.split(".");
  if (product === undefined || claims === undefined || mac === undefined) return undefined;
  const entry = env[`product:${product}`];
  if (entry === undefined) return undefined;
  const signed = new TextEncoder().encode(`${product}.${claims}`);
  const bytes = Uint8Array.fromBase64(mac, { alphabet: "base64url" });
  if (!(await crypto.subtle.verify("HMAC", env.KEY, bytes, signed))) return undefined;
  return { entry, claims: new TextDecoder().decode(Uint8Array.fromBase64(claims, { alphabet: "base64url" })) };
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const capability = request.headers.get(CAPABILITY) ?? "";
    let known = verified.get(capability);
    if (known === undefined) {
      known = await verify(capability, env).catch(() => undefined);
      if (known === undefined) return new Response("This request carries no valid capability", { status: 403 });
      if (verified.size >= VERIFIED_MAX) verified.clear();
      verified.set(capability, known);
    }
    const inner = new Request(request);
    inner.headers.delete(CAPABILITY);
    inner.headers.set(CLAIMS, known.claims);
    return known.entry.fetch(inner);
  },
};
