/**
 * Tunnels: names under which connectors of private networks dial in. The token is what a connector needs, so it is as good as
 * the network behind it: its secret lies sealed and is given to whoever may write tunnels alone.
 */
import { randomBytes, randomUUID, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import type { MetaReader } from "../../kernel/meta/meta.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { vpcError } from "./errors.ts";

const name = z.string().trim().min(1).max(100);
/** At least 32 bytes in base64, as the API documents it. */
const secret = z
  .string()
  .max(1000)
  .regex(/^[A-Za-z0-9+/]+={0,2}$/, "must be base64")
  .refine((text) => Buffer.from(text, "base64").byteLength >= 32, "must be at least 32 bytes");

export const newTunnel = z.object({ name, config_src: z.enum(["local", "cloudflare"]).default("local"), tunnel_secret: secret.optional() });
export const tunnelChange = z.object({ name: name.optional(), tunnel_secret: secret.optional() });

export interface TunnelRow {
  readonly [column: string]: string | number | null;
  readonly id: string;
  readonly name: string;
  readonly config_src: string;
  readonly sealed: string;
  readonly created_at: number;
  readonly active_at: number | null;
  readonly inactive_at: number | null;
}

/** What a token says, with Cloudflare's member names; `u`, where connectors dial, is ours. */
interface TokenContent {
  /** The account. */
  readonly a: string;
  /** The tunnel. */
  readonly t: string;
  /** The secret in base64. */
  readonly s: string;
  readonly u: string;
}

export type Tunnels = ReturnType<typeof openTunnels>;

export function openTunnels({ meta, clock, config, secrets, accountId, urls }: KernelSlice) {
  const purpose = (id: string): string => `workers-vpc.${id}`;

  const find = (id: string, from: MetaReader = meta): Promise<TunnelRow | undefined> =>
    from.get<TunnelRow>("SELECT * FROM workers_vpc_tunnels WHERE id = ?", id.toLowerCase());

  async function need(id: string, from?: MetaReader): Promise<TunnelRow> {
    const row = await find(id, from);
    if (row === undefined) throw vpcError("tunnelNotFound");
    return row;
  }

  async function freeName(tx: MetaReader, wanted: string, id: string): Promise<void> {
    const same = await tx.get("SELECT 1 FROM workers_vpc_tunnels WHERE name = ? AND id <> ?", wanted, id);
    if (same !== undefined) throw vpcError("tunnelNameTaken");
  }

  return {
    find,
    get: (id: string): Promise<TunnelRow> => need(id),
    list: (): Promise<TunnelRow[]> =>
      meta.all<TunnelRow>("SELECT * FROM workers_vpc_tunnels ORDER BY created_at DESC, id LIMIT ?", config["workers_vpc.tunnels_max"]),
    create: (given: z.infer<typeof newTunnel>): Promise<TunnelRow> =>
      meta.transaction(async (tx) => {
        const id = randomUUID();
        const { n } = (await tx.get<{ n: number }>("SELECT COUNT(*) AS n FROM workers_vpc_tunnels")) ?? { n: 0 };
        if (n >= config["workers_vpc.tunnels_max"]) throw vpcError("tooManyTunnels");
        await freeName(tx, given.name, id);
        const sealed = secrets.seal(given.tunnel_secret ?? randomBytes(32).toString("base64"), purpose(id));
        await tx.run(
          "INSERT INTO workers_vpc_tunnels (id, name, config_src, sealed, created_at) VALUES (?, ?, ?, ?, ?)",
          ...[id, given.name, given.config_src, sealed, clock.now()],
        );
        return need(id, tx);
      }),
    edit: (id: string, change: z.infer<typeof tunnelChange>): Promise<TunnelRow> =>
      meta.transaction(async (tx) => {
        const old = await need(id, tx);
        const wanted = change.name ?? old.name;
        await freeName(tx, wanted, old.id);
        const sealed = change.tunnel_secret === undefined ? old.sealed : secrets.seal(change.tunnel_secret, purpose(old.id));
        await tx.run("UPDATE workers_vpc_tunnels SET name = ?, sealed = ? WHERE id = ?", wanted, sealed, old.id);
        return need(id, tx);
      }),
    async remove(id: string): Promise<void> {
      await meta.run("DELETE FROM workers_vpc_tunnels WHERE id = ?", id.toLowerCase());
    },
    /** Base64 of JSON, as `cloudflared` takes it. */
    async token(id: string): Promise<string> {
      const row = await need(id);
      const content: TokenContent = { a: accountId, t: row.id, s: secrets.open(row.sealed, purpose(row.id)), u: urls.host("tunnel") };
      return Buffer.from(JSON.stringify(content)).toString("base64");
    },
    /** The tunnel that a token is for, or undefined. */
    async byToken(token: string): Promise<TunnelRow | undefined> {
      const given = contentOf(token);
      const row = given?.a === accountId ? await find(given.t) : undefined;
      if (row === undefined || given === undefined) return undefined;
      const [expected, actual] = [secrets.open(row.sealed, purpose(row.id)), given.s].map((text) => Buffer.from(text)) as [Buffer, Buffer];
      return expected.byteLength === actual.byteLength && timingSafeEqual(expected, actual) ? row : undefined;
    },
    /** Whether there still is such a tunnel. */
    async connected(id: string): Promise<boolean> {
      return (await meta.run("UPDATE workers_vpc_tunnels SET active_at = ? WHERE id = ?", clock.now(), id)).changes > 0;
    },
    async disconnected(id: string): Promise<void> {
      await meta.run("UPDATE workers_vpc_tunnels SET inactive_at = ? WHERE id = ?", clock.now(), id);
    },
  };
}

const tokenContent = z.object({ a: z.string(), t: z.string(), s: z.string() });

function contentOf(token: string): z.infer<typeof tokenContent> | undefined {
  try {
    return tokenContent.parse(JSON.parse(Buffer.from(token, "base64").toString("utf8")));
  } catch {
    // Whatever it was, it is no token.
    return undefined;
  }
}
