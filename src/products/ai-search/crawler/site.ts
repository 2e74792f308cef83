/**
 * Pages of a site (docs/ai-search/configuration/data-source/website): those that its sitemaps list, in the order of their
 * priorities. A page is read again when its `lastmod` is after the last time, else as often as `changefreq` says, else daily.
 */
import { createHash } from "node:crypto";
import type { PageRenderer, Zones } from "../../../kernel/capabilities.ts";
import type { Clock } from "../../../kernel/clock.ts";
import { searchError } from "../errors.ts";
import type { Instance } from "../instances.ts";
import { matchesPath, skipReason } from "../paths.ts";
import { type Content, type Source, sourceName } from "../source.ts";
import type { Found } from "../store/protocol.ts";
import type { Fetcher } from "./fetcher.ts";
import { EVERYTHING, parseRobots, ROBOTS_MAX_BYTES, type Robots, USER_AGENT } from "./robots.ts";
import { inOrder, type ListedPage, parseSitemap, SITEMAP_MAX_BYTES } from "./sitemap.ts";

/** Sitemaps of one site, and how deep they may lie in one another. */
const SITEMAPS_MAX = 1000;
const DEPTH_MAX = 5;
const PAGE = 500;

/** Extensions of files by their types, for addresses that have none. */
const EXTENSIONS: Readonly<Record<string, string>> = {
  ...{ "text/html": ".html", "application/xhtml+xml": ".html", "text/plain": ".txt", "text/markdown": ".md", "application/pdf": ".pdf" },
  ...{ "application/json": ".json", "text/csv": ".csv", "application/xml": ".xml", "text/xml": ".xml" },
};

export interface SiteParts {
  readonly zones: Zones;
  readonly fetcher: Fetcher;
  readonly renderer: PageRenderer;
  readonly clock: Clock;
  readonly maxBytes: number;
  headers(uid: string): Promise<Readonly<Record<string, string>>>;
}

/** The address that a source stands for. Throws `aiSearch.domain` unless it lies in a zone of the account. */
export function siteOf(zones: Zones, source: string): URL {
  const url = URL.parse(/^https?:\/\//i.test(source) ? source : `https://${source}`);
  if (url === null || zones.ofHost(url.hostname) === undefined) throw searchError("domain");
  return url;
}

export function siteSource({ zones, fetcher, renderer, clock, maxBytes, headers }: SiteParts, instance: Instance): Source {
  const { source_params: params } = instance.config;
  const options = params?.web_crawler?.parse_options;
  const site = siteOf(zones, instance.config.source as string);
  const zone = zones.ofHost(site.hostname)?.id;
  const paths = { include: params?.include_items, exclude: params?.exclude_items };
  const allows = (url: URL): boolean => /^https?:$/.test(url.protocol) && zones.ofHost(url.hostname)?.id === zone;

  const get = async (url: string, most: number, signal: AbortSignal) =>
    fetcher.get(url, { maxBytes: most, headers: await headers(instance.uid), signal, allows });

  async function robotsOf(signal: AbortSignal): Promise<Robots | undefined> {
    const { status, bytes } = await get(new URL("/robots.txt", site).href, ROBOTS_MAX_BYTES, signal);
    if (status >= 500) throw searchError("invalid", `robots.txt: ${status}`);
    return status === 200 ? parseRobots(Buffer.from(bytes).toString("utf8")) : undefined;
  }

  /** Every page that the sitemaps list, each once. */
  async function listed(first: readonly string[], signal: AbortSignal, note: (message: string) => void): Promise<ListedPage[]> {
    const pages = new Map<string, ListedPage>();
    const seen = new Set<string>();
    let read = 0;
    for (let depth = 0, level = [...first]; level.length > 0 && depth <= DEPTH_MAX; depth++) {
      const next: string[] = [];
      for (const url of level) {
        if (seen.has(url) || seen.size >= SITEMAPS_MAX) continue;
        seen.add(url);
        try {
          const { status, bytes } = await get(url, SITEMAP_MAX_BYTES, signal);
          if (status !== 200) throw new Error(String(status));
          const found = await parseSitemap(bytes, url);
          for (const page of found.pages) if (!pages.has(page.url)) pages.set(page.url, page);
          next.push(...found.sitemaps);
          read++;
        } catch (error) {
          if (signal.aborted) throw error;
          note(`${url}: ${(error as Error).message}`);
        }
      }
      level = next;
    }
    // Without one nothing is known: what is indexed stays.
    if (read === 0) throw searchError("invalid", "No sitemap was found: the site cannot be crawled");
    return inOrder([...pages.values()]);
  }

  function refusalOf({ url }: ListedPage, robots: Robots): Found["refused"] {
    const address = new URL(url);
    if (!allows(address)) return { status: "skipped", reason: "Not in the domain of the source" };
    const rule = skipReason(paths, url);
    if (rule !== undefined) return { status: "skipped", reason: rule };
    if (!robots.allows(`${address.pathname}${address.search}`)) return { status: "skipped", reason: "Disallowed by robots.txt" };
    return undefined;
  }

  async function fetched(url: string, signal: AbortSignal) {
    if (options?.use_browser_rendering !== true) {
      const answer = await get(url, maxBytes, signal);
      return { ...answer, type: answer.type.split(";")[0]?.trim().toLowerCase() ?? "" };
    }
    if (!allows(new URL(url))) throw new Error("Not in the domain of the source");
    const extra = await headers(instance.uid);
    const { status, html } = await renderer.render(url, { userAgent: USER_AGENT, headers: (to) => (allows(to) ? extra : {}), signal });
    return { url, status, type: "text/html", bytes: Buffer.from(html), modified: undefined };
  }

  return {
    name: sourceName(instance),
    // One after the other, in their order: a site is not to be run over.
    atOnce: 1,
    async *list(signal, note) {
      const robots = await robotsOf(signal);
      const named = robots?.sitemaps.flatMap((one) => URL.parse(one, site.href)?.href ?? []) ?? [];
      const standard = named.length > 0 ? named : [new URL("/sitemap.xml", site).href];
      const pages = await listed(options?.specific_sitemaps ?? standard, signal, note);
      for (let at = 0; at < pages.length; at += PAGE)
        yield pages.slice(at, at + PAGE).map((page, n): Found => {
          const refused = refusalOf(page, robots ?? EVERYTHING);
          return {
            key: page.url,
            size: null,
            etag: null,
            modified: page.modified,
            everyMs: page.everyMs,
            rank: at + n,
            ...(refused && { refused }),
          };
        });
    },
    async read(item, signal): Promise<Content | undefined> {
      const { status, type, bytes, modified } = await fetched(item.key, signal);
      if (status === 404 || status === 410) return undefined;
      if (status !== 200) throw new Error(`The page answered ${status}`);
      if (bytes.byteLength > maxBytes) throw new Error(`File size exceeds the limit of ${maxBytes / 1_000_000} MB`);
      const { pathname } = new URL(item.key);
      const selector = options?.content_selector?.find(({ path }) => matchesPath(path, pathname))?.selector;
      return {
        ...{ bytes, type, selector, keep: true, custom: { url: item.key } },
        etag: createHash("sha256").update(bytes).digest("hex"),
        modified: modified ?? (item.modified > 0 ? item.modified : clock.now()),
        name: EXTENSIONS[type] === undefined ? pathname : `page${EXTENSIONS[type]}`,
      };
    },
  };
}
