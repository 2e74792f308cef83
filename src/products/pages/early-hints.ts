/**
 * Early Hints: what a page's `<link>` elements preload or preconnect, as the `Link` header of later answers with the same page,
 * which the front also sends ahead as 103. A page is read once, after it was first answered; what was read is kept in memory,
 * bounded. https://developers.cloudflare.com/pages/configuration/early-hints/
 */
import type { BlobStore } from "../../kernel/blobs/blobs.ts";
import type { Log } from "../../kernel/log.ts";
import type { StoredAsset } from "./model.ts";

interface Hints {
  readonly base: string | undefined;
  readonly links: readonly { readonly href: string; readonly rel: string; readonly as: string | undefined }[];
}

export interface EarlyHints {
  /** The value of the `Link` header for a page at a URL; undefined when there is none, or none yet. */
  linkOf(page: StoredAsset, url: URL): string | undefined;
  /** Reads a page that is not known. Never rejects, and never reads more than a few at a time. */
  learn(page: StoredAsset): Promise<void>;
}

/** An element with any other attribute means more than a header could say. */
const ATTRIBUTES = new Set(["rel", "as", "href"]);
const RELATIONS = new Set(["preconnect", "preload", "modulepreload"]);
/** Pages whose hints are kept. */
const PAGES_MAX = 10_000;
/** Of a page's start: hints stand in its head. */
const READ_MAX_BYTES = 512 * 1024;
const LINKS_MAX = 100;
const READING_MAX = 4;

export function openEarlyHints(blobs: BlobStore, log: Log): EarlyHints {
  const known = new Map<string, Hints>();
  const reading = new Set<string>();

  async function read(page: StoredAsset): Promise<Hints> {
    const length = Math.min(page.size, READ_MAX_BYTES);
    const chunks: Buffer[] = [];
    for await (const chunk of await blobs.read(page.blob, { offset: 0, length })) chunks.push(chunk as Buffer);
    return hintsIn(Buffer.concat(chunks).toString("utf8"));
  }

  return {
    linkOf(page, url) {
      const hints = known.get(page.blob);
      return hints && headerOf(hints, url);
    },
    async learn(page) {
      if (known.has(page.blob) || reading.has(page.blob) || reading.size >= READING_MAX || page.size === 0) return;
      reading.add(page.blob);
      try {
        const hints = await read(page);
        if (known.size >= PAGES_MAX) known.delete(known.keys().next().value as string);
        known.set(page.blob, hints);
      } catch (error) {
        log.warn("early_hints.failed", { hash: page.hash, error: String(error) });
      } finally {
        reading.delete(page.blob);
      }
    },
  };
}

async function hintsIn(html: string): Promise<Hints> {
  const { Parser } = await import("htmlparser2");
  let base: string | undefined;
  const links: { href: string; rel: string; as: string | undefined }[] = [];
  const parser = new Parser({
    onopentag(name, attributes) {
      const { href, rel } = attributes;
      if (name === "base" && href !== undefined) base ??= href;
      if (name !== "link" || !href || !rel || href.startsWith("data:") || links.length >= LINKS_MAX) return;
      const related = rel
        .toLowerCase()
        .split(/\s+/)
        .some((word) => RELATIONS.has(word));
      if (related && Object.keys(attributes).every((attribute) => ATTRIBUTES.has(attribute))) links.push({ href, rel, as: attributes.as });
    },
  });
  parser.end(html);
  return { base, links };
}

function headerOf({ base, links }: Hints, url: URL): string | undefined {
  const values = links.flatMap(({ href, rel, as }) => {
    const resolved = base === undefined ? href : (URL.parse(href, (URL.parse(base, url.href) ?? url).href)?.href ?? href);
    // As parts of a header: nothing that would end one.
    if (/[\s<>"\\]|[^\x20-\x7e]/.test(resolved) || !/^[\w -]+$/.test(rel) || (as !== undefined && !/^[\w-]+$/.test(as))) return [];
    return `<${resolved}>; rel="${rel}"${as === undefined ? "" : `; as=${as}`}`;
  });
  return values.length === 0 ? undefined : values.join(", ");
}
