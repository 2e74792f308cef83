/**
 * Who may see what of a video: by its plain id, or by a signed token in the id's place, whose rules look at the viewer's
 * address; and pages of which origins may show it (docs: Secure your Stream). Rows are not read here.
 */
import { BlockList, isIP } from "node:net";
import { z } from "zod";
import { RULES_MAX, TOKEN_MAX_S } from "./limits.ts";

export const ruleSchema = z.object({
  type: z.enum(["any", "ip.src", "ip.geoip.country"]),
  action: z.enum(["allow", "block"]),
  country: z.array(z.string().max(2)).max(300).optional(),
  ip: z.array(z.string().max(64)).max(1000).optional(),
});
export const rulesSchema = z.array(ruleSchema).max(RULES_MAX);
export type AccessRule = z.infer<typeof ruleSchema>;

/** Times may be numbers or their text; anything else that is said makes no token. */
const time = z.union([z.number(), z.string().regex(/^\d+$/).transform(Number)]);
const claimsSchema = z.object({
  sub: z.string(),
  exp: time,
  nbf: time.optional(),
  downloadable: z.boolean().optional(),
  accessRules: rulesSchema.optional(),
});

export interface Grant {
  /** The video or live input. */
  readonly id: string;
  readonly downloadable: boolean;
}

export type Refusal = { readonly status: 401 | 403; readonly reason: string };

/** What the claims of a good signature allow at that time, for that viewer. */
export function grantOf(claims: unknown, nowS: number, ip: string, country: string | undefined): Grant | Refusal {
  const parsed = claimsSchema.safeParse(claims);
  if (!parsed.success) return { status: 401, reason: "the token's claims are not valid" };
  const { sub, exp, nbf, downloadable = false, accessRules = [] } = parsed.data;
  if (exp <= nowS) return { status: 401, reason: "the token has expired" };
  if (exp > nowS + TOKEN_MAX_S + 60) return { status: 401, reason: "the token ends more than 24 hours ahead" };
  if (nbf !== undefined && nbf > nowS) return { status: 401, reason: "the token is not valid yet" };
  const rule = accessRules.find((candidate) => matches(candidate, ip, country));
  // Documented: where no rule matches, the token is good.
  if (rule?.action === "block") return { status: 403, reason: "the token's access rules block this viewer" };
  return { id: sub, downloadable };
}

function matches({ type, ip: ranges = [], country: countries = [] }: AccessRule, ip: string, country: string | undefined): boolean {
  if (type === "any") return true;
  if (type === "ip.geoip.country") return country !== undefined && countries.some((code) => code.toUpperCase() === country);
  return ranges.some((range) => within(range, ip));
}

function within(range: string, ip: string): boolean {
  const [network = "", bits] = range.split("/");
  const plain = ip.replace(/^::ffff:(?=\d+\.)/, "");
  const family = isIP(network);
  // Documented: a rule of one family never applies to viewers of the other.
  if (family === 0 || isIP(plain) !== family) return false;
  const length = bits === undefined ? (family === 4 ? 32 : 128) : Number(bits);
  if (!Number.isInteger(length) || length < 0 || length > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, length, family === 4 ? "ipv4" : "ipv6");
  return list.check(plain, family === 4 ? "ipv4" : "ipv6");
}

/** Whether a page of this origin ("https://a.example") may show a video with that list; an empty list allows all. */
export function allowsOrigin(allowed: readonly string[], origin: string): boolean {
  if (allowed.length === 0) return true;
  const url = URL.parse(origin);
  if (url === null) return false;
  const port = url.port;
  return allowed.some((entry) => {
    const [, host = "", wantedPort] = /^(?:https?:\/\/)?([^/:]+)(?::(\d+))?$/i.exec(entry.toLowerCase()) ?? [];
    // Documented for localhost: another port than the scheme's own must be named.
    if (
      wantedPort === undefined ? host === "localhost" && port !== "" : wantedPort !== (port || (url.protocol === "https:" ? "443" : "80"))
    )
      return false;
    return host.startsWith("*.") ? url.hostname.endsWith(host.slice(1)) : url.hostname === host;
  });
}
