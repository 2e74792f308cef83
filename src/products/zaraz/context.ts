/**
 * The Context of an event (docs: Zaraz Context): what the page has sent, what the request says of who sent it, less what the
 * zone's privacy settings take away. Whatever comes from outside is text or plain data here, never code.
 */
import parseAgent from "ua-parser-js";
import { z } from "zod";
import type { ZarazConfig } from "./model.ts";

const text = z.string().max(8192);

/** What the script sends of the page, and what callers of the HTTP Events API may. Everything may be missing. */
export const systemSchema = z.object({
  cookies: z.record(z.string(), z.unknown()).optional(),
  consent: z.record(z.string(), z.boolean()).optional(),
  page: z
    .object({ title: text.optional(), url: text.optional(), referrer: text.optional(), encoding: text.optional() })
    .optional()
    .catch(undefined),
  device: z
    .object({
      ip: text.optional(),
      resolution: text.optional(),
      viewport: text.optional(),
      language: text.optional(),
      "user-agent": text.optional(),
    })
    .optional()
    .catch(undefined),
});

export type SystemGiven = z.infer<typeof systemSchema>;

export interface Context {
  readonly system: {
    readonly page: { readonly url: UrlParts } & Readonly<Record<string, unknown>>;
    readonly device: { readonly "user-agent": { readonly ua: string } } & Readonly<Record<string, unknown>>;
    readonly cookies: Readonly<Record<string, string>>;
    readonly consent: Readonly<Record<string, boolean>>;
    readonly clientKV: Readonly<Record<string, string>>;
    readonly misc: Readonly<Record<string, number>>;
  };
  readonly client: Readonly<Record<string, unknown>>;
}

export interface UrlParts {
  readonly href: string;
  readonly [part: string]: unknown;
}

/** Of the request that brought the event. */
export interface Sender {
  readonly ip: string;
  readonly userAgent: string;
  readonly language: string;
  readonly cookies: Readonly<Record<string, string>>;
  /** Of pages and callers that say none. */
  readonly url: string;
}

/** Prefix of the cookies in which tools keep what they know of a visitor, before the tool's id. */
export const TOOL_COOKIE = "cfz_";

export function contextOf(
  config: ZarazConfig,
  given: SystemGiven,
  client: Readonly<Record<string, unknown>>,
  sender: Sender,
  now: number,
): Context {
  const { settings } = config;
  const url = URL.parse(given.page?.url ?? sender.url) ?? new URL(sender.url);
  const referrer = URL.parse(given.page?.referrer ?? "");
  if (settings.hideQueryParams) {
    url.search = "";
    if (referrer !== null) referrer.search = "";
  }
  const isHidden = settings.hideExternalReferer === true && referrer !== null && referrer.hostname !== url.hostname;
  const ip = given.device?.ip ?? sender.ip;
  const agent = given.device?.["user-agent"] ?? sender.userAgent;
  const cookies = given.cookies === undefined ? sender.cookies : asTexts(given.cookies);
  return {
    system: {
      page: {
        query: Object.fromEntries(url.searchParams),
        title: given.page?.title ?? "",
        url: partsOf(url),
        referrer: referrer === null || isHidden ? "" : referrer.href,
        encoding: given.page?.encoding ?? "",
      },
      cookies,
      device: {
        ip: settings.hideIPAddress ? trimmedAddress(ip) : ip,
        resolution: given.device?.resolution ?? "",
        viewport: given.device?.viewport ?? "",
        language: given.device?.language ?? sender.language,
        // We have no data about networks and invent none; what a request cannot say is what `request.cf` has.
        location: { country: "XX", isEUCountry: "0", timezone: Intl.DateTimeFormat().resolvedOptions().timeZone },
        "user-agent": agentOf(agent, settings.hideUserAgent === true),
      },
      consent: given.consent ?? consentIn(config, cookies),
      clientKV: keptIn(cookies),
      misc: { random: Math.random(), timestamp: Math.floor(now / 1000), timestampMilliseconds: now },
    },
    client,
  };
}

/** As `URL` has them, in plain data that templates and Workers can read. */
function partsOf(url: URL): UrlParts {
  const { href, origin, protocol, username, password, host, hostname, port, pathname, search, hash } = url;
  return { href, origin, protocol, username, password, host, hostname, port, pathname, search, hash };
}

const asTexts = (values: Readonly<Record<string, unknown>>): Record<string, string> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));

/** The last part of an IPv4 address, the last 80 bits of an IPv6 address. */
function trimmedAddress(ip: string): string {
  if (!ip.includes(":")) return ip.replace(/\.\d+$/, ".0");
  const [head = ""] = ip.split("::");
  return `${head.split(":").slice(0, 3).filter(Boolean).join(":")}::`;
}

function agentOf(ua: string, cleaned: boolean): { readonly ua: string } & Readonly<Record<string, unknown>> {
  const { browser, engine, os, device, cpu } = parseAgent(ua);
  const named = ({ name = "", version = "" }: { name?: string; version?: string }) => ({ name, version });
  const kind = device.model ?? device.type ?? "desktop";
  if (!cleaned)
    return { ua, browser: named(browser), engine: named(engine), os: named(os), device: kind, cpu: cpu.architecture ?? "unknown" };
  // Enough to tell browsers apart, and nothing that tells visitors apart.
  const major = browser.version?.split(".")[0] ?? "";
  const short = `Mozilla/5.0 (${os.name ?? ""}) ${browser.name ?? ""}/${major}`;
  return {
    ua: short,
    browser: { name: browser.name ?? "", version: major },
    engine: { name: engine.name ?? "", version: "" },
    os: { name: os.name ?? "", version: "" },
    device: device.type ?? "desktop",
    cpu: "unknown",
  };
}

/** The visitor's choices, of purposes that the zone has. */
function consentIn({ consent }: ZarazConfig, cookies: Readonly<Record<string, string>>): Record<string, boolean> {
  const name = consent?.cookieName;
  if (consent?.enabled !== true || name === undefined || !Object.hasOwn(cookies, name)) return {};
  try {
    const parsed: unknown = JSON.parse(cookies[name] as string);
    return z.record(z.string(), z.boolean()).catch({}).parse(parsed);
  } catch {
    // Somebody else's cookie: no choice was made.
    return {};
  }
}

/** `<tool>_<key>` of what tools keep in the visitor's browser. */
function keptIn(cookies: Readonly<Record<string, string>>): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(cookies)) {
    const [tool, key] = name.startsWith(TOOL_COOKIE) ? name.slice(TOOL_COOKIE.length).split("__") : [];
    if (tool !== undefined && key !== undefined) kept[`${tool}_${key}`] = value;
  }
  return kept;
}

/** Of a `Cookie` header. A name that comes twice has its first value, as browsers order them. */
export function cookiesOf(header: string | undefined): Record<string, string> {
  const cookies: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const part of (header ?? "").split(";")) {
    const at = part.indexOf("=");
    const name = part.slice(0, at).trim();
    if (at < 1 || name in cookies) continue;
    const value = part.slice(at + 1).trim();
    try {
      cookies[name] = decodeURIComponent(value);
    } catch {
      // Not ours to decode.
      cookies[name] = value;
    }
  }
  return { ...cookies };
}
