/**
 * Verifies, inside the system workerd, the capability that workerd injected into a binding's request. Nothing that a
 * caller sends can name a resource by itself: the MAC covers product and claims.
 */
export type Claims = Readonly<Record<string, string | number | boolean | null>>;

const HEADER = "x-freehold-capability";
// Bounded: a capability is a few hundred bytes, and each binding of each Worker has one.
const VERIFIED_MAX = 10_000;
const verified = new Map<string, Claims>();

/** The claims that the request's capability grants for `product`, or undefined: then answer `refused()`. */
export function claimsOf(request: Request, key: CryptoKey, product: string): Claims | undefined | Promise<Claims | undefined> {
  const capability = request.headers.get(HEADER);
  if (capability === null) return undefined;
  return verified.get(capability) ?? verify(capability, key, product);
}

export const refused = (): Response => new Response("This request carries no valid capability", { status: 403 });

async function verify(capability: string, key: CryptoKey, product: string): Promise<Claims | undefined> {
  const [named, claims, mac, ...rest] = capability.split(".");
  if (named !== product || claims === undefined || mac === undefined || rest.length > 0) return undefined;
  let granted: Claims;
  try {
    const bytes = Uint8Array.fromBase64(mac, { alphabet: "base64url" });
    if (!(await crypto.subtle.verify("HMAC", key, bytes, new TextEncoder().encode(`${named}.${claims}`)))) return undefined;
    granted = JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(claims, { alphabet: "base64url" })));
  } catch {
    // Not base64, so not minted by us: the caller learns no more than from a wrong MAC.
    return undefined;
  }
  if (verified.size >= VERIFIED_MAX) verified.clear();
  verified.set(capability, granted);
  return granted;
}
