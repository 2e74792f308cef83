/**
 * Destination addresses of the account: mail is forwarded to nobody who has not followed the link in a message of ours. In
 * memory and as rows; of a link's token only the hash is kept.
 * https://developers.cloudflare.com/email-routing/setup/email-routing-addresses/
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { KernelSlice } from "../../kernel/product.ts";
import { normalAddress } from "./addresses.ts";
import { emailError } from "./errors.ts";

export interface Destination {
  readonly id: string;
  readonly email: string;
  /** Milliseconds since the epoch; null until then. */
  readonly verified: number | null;
  readonly created: number;
  readonly modified: number;
  readonly token_hash: string;
  readonly token_expires: number;
}

export interface Destinations {
  list(): Destination[];
  /** Throws `emailRouting.addressNotFound`. */
  require(id: string): Destination;
  /** Whether mail may be forwarded to the address. */
  verified(email: string): boolean;
  /** Adds the address, or gives one that still waits a new token. A verified one has none. */
  add(email: string): Promise<{ destination: Destination; token?: string }>;
  /** Throws `emailRouting.verification` for a wrong or old token. */
  verify(id: string, token: string): Promise<Destination>;
  setVerified(id: string, verified: boolean): Promise<Destination>;
  remove(id: string): Promise<Destination>;
}

const TOKEN_TTL_MS = 7 * 24 * 3600 * 1000;
const hash = (token: string): string => createHash("sha256").update(token).digest("hex");

export async function openDestinations({ meta, clock, config }: KernelSlice): Promise<Destinations> {
  const max = config["email_routing.addresses_max"];
  const byId = new Map<string, Destination>();
  for (const row of await meta.all<Destination & Record<string, never>>(
    "SELECT * FROM email_routing_addresses ORDER BY created, id LIMIT 100000",
  ))
    byId.set(row.id, row);
  const byEmail = (email: string): Destination | undefined => [...byId.values()].find((one) => one.email === email);

  async function write(one: Destination): Promise<Destination> {
    await meta.run(
      `INSERT OR REPLACE INTO email_routing_addresses (id, email, verified, created, modified, token_hash, token_expires)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
      ...[one.id, one.email, one.verified, one.created, one.modified, one.token_hash, one.token_expires],
    );
    byId.set(one.id, one);
    return one;
  }

  function require(id: string): Destination {
    const one = byId.get(id);
    if (one === undefined) throw emailError("addressNotFound");
    return one;
  }

  return {
    list: () => [...byId.values()],
    require,
    verified(email) {
      const normal = normalAddress(email);
      return normal !== undefined && byEmail(normal)?.verified != null;
    },
    async add(given) {
      const email = normalAddress(given);
      if (email === undefined) throw emailError("invalidAddress", `"${given}" is no e-mail address.`);
      const old = byEmail(email);
      if (old !== undefined && old.verified !== null) return { destination: old };
      if (old === undefined && byId.size >= max)
        throw emailError("tooManyAddresses", `The account has ${max} destination addresses already.`);
      const token = randomBytes(32).toString("base64url");
      const now = clock.now();
      const fresh = { id: randomBytes(16).toString("hex"), email, verified: null, created: now };
      const destination = await write({
        ...(old ?? fresh),
        modified: now,
        token_hash: hash(token),
        token_expires: now + TOKEN_TTL_MS,
      });
      return { destination, token };
    },
    async verify(id, token) {
      const one = byId.get(id);
      const right = one !== undefined && timingSafeEqual(Buffer.from(one.token_hash), Buffer.from(hash(token)));
      if (!right || (one.verified === null && one.token_expires < clock.now())) throw emailError("verification");
      return one.verified === null ? write({ ...one, verified: clock.now(), modified: clock.now() }) : one;
    },
    async setVerified(id, verified) {
      const one = require(id);
      return write({ ...one, verified: verified ? (one.verified ?? clock.now()) : null, modified: clock.now() });
    },
    async remove(id) {
      const one = require(id);
      await meta.run("DELETE FROM email_routing_addresses WHERE id = ?", id);
      byId.delete(id);
      return one;
    },
  };
}
