/** Sitemaps (sitemaps.org): a list of pages or of further sitemaps, as XML, perhaps compressed. */
import { setImmediate as turn } from "node:timers/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";

/** Standard limits, which the documentation recommends. */
export const SITEMAP_MAX_BYTES = 50 * 1024 * 1024;
const URLS_MAX = 50_000;

const EVERY_MS: Readonly<Record<string, number>> = {
  ...{ always: 0, hourly: 3600_000, daily: 86_400_000, weekly: 7 * 86_400_000, monthly: 30 * 86_400_000, yearly: 365 * 86_400_000 },
  never: Number.MAX_SAFE_INTEGER,
};
/** Documented for pages of which neither is said. */
const DAILY_MS = 86_400_000;

export interface ListedPage {
  readonly url: string;
  /** Milliseconds since the epoch. */
  readonly modified: number | null;
  /** How often it is read again where `modified` is not known. */
  readonly everyMs: number;
  /** Undefined where none is said. */
  readonly priority: number | undefined;
}

export interface Sitemap {
  readonly pages: readonly ListedPage[];
  readonly sitemaps: readonly string[];
}

/** Characters that are looked at before others have a turn. */
const PIECE = 256 * 1024;

const unzip = promisify(gunzip);

/** Addresses in it may be without the site's; they are taken to be below `base`. Rejects when it is no sitemap. */
export async function parseSitemap(bytes: Uint8Array, base: string): Promise<Sitemap> {
  const zipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const text = (zipped ? await unzip(bytes, { maxOutputLength: SITEMAP_MAX_BYTES }) : Buffer.from(bytes)).toString("utf8");
  const pages: ListedPage[] = [];
  const sitemaps: string[] = [];
  let known = false;
  let entry: Record<string, string> = {};
  let member: string | undefined;
  const { Parser } = await import("htmlparser2");
  const parser = new Parser(
    {
      onopentagname(name) {
        const local = localOf(name);
        known ||= local === "urlset" || local === "sitemapindex";
        if (local === "url" || local === "sitemap") entry = {};
        member = MEMBERS.includes(local) ? local : undefined;
      },
      ontext(data) {
        if (member !== undefined) entry[member] = (entry[member] ?? "") + data;
      },
      onclosetag(name) {
        const local = localOf(name);
        member = undefined;
        if (local === "url" && pages.length < URLS_MAX) pages.push(...addressOf(entry.loc, base).map((url) => pageOf(url, entry)));
        if (local === "sitemap" && sitemaps.length < URLS_MAX) sitemaps.push(...addressOf(entry.loc, base));
      },
    },
    { xmlMode: true, decodeEntities: true },
  );
  for (let at = 0; at < text.length; at += PIECE) {
    parser.write(text.slice(at, at + PIECE));
    await turn();
  }
  parser.end();
  if (!known) throw new Error("it is no sitemap");
  return { pages, sitemaps };
}

const MEMBERS = ["loc", "lastmod", "changefreq", "priority"];
const localOf = (name: string): string => name.slice(name.indexOf(":") + 1);

function addressOf(loc: string | undefined, base: string): string[] {
  const url = URL.parse((loc ?? "").trim(), base);
  if (loc === undefined || url === null || !/^https?:$/.test(url.protocol)) return [];
  url.hash = "";
  return [url.href];
}

function pageOf(url: string, entry: Readonly<Record<string, string>>): ListedPage {
  const modified = Date.parse((entry.lastmod ?? "").trim());
  const priority = Number.parseFloat(entry.priority ?? "");
  return {
    url,
    modified: Number.isNaN(modified) ? null : modified,
    everyMs: EVERY_MS[(entry.changefreq ?? "").trim().toLowerCase()] ?? DAILY_MS,
    priority: Number.isNaN(priority) ? undefined : priority,
  };
}

/** Said of a page whose sitemap has no word on it. */
const STANDARD_PRIORITY = 0.5;

/** Documented order: by priority wherever one is said, else as they are listed. */
export function inOrder(pages: readonly ListedPage[]): ListedPage[] {
  if (pages.every(({ priority }) => priority === undefined)) return [...pages];
  return [...pages].sort((a, b) => (b.priority ?? STANDARD_PRIORITY) - (a.priority ?? STANDARD_PRIORITY));
}
