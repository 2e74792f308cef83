/**
 * HTML as Markdown, cleaned up as documented (workers-ai/features/markdown-conversion/how-it-works): without scripts and the
 * frame of a page, with what its head says before it and its JSON-LD behind it, links made whole. Nothing is loaded.
 */
import { createRequire } from "node:module";
import TurndownService from "turndown";
import { markdownTable } from "./table.ts";

/** As much of the DOM as is used here. */
interface Element {
  readonly nodeName: string;
  readonly textContent: string | null;
  readonly innerHTML: string;
  getAttribute(name: string): string | null;
  setAttribute(name: string, value: string): void;
  contains(other: Element): boolean;
  remove(): void;
  querySelector(selector: string): Element | null;
  querySelectorAll(selector: string): ArrayLike<Element>;
}
interface Document extends Pick<Element, "querySelector" | "querySelectorAll"> {
  readonly body: Element;
}

// The types that come with it are none of a module.
const { createDocument } = createRequire(import.meta.url)("@mixmark-io/domino") as { createDocument(html: string): Document };

export interface HtmlOptions {
  /** Host or URL that relative links belong to. */
  readonly hostname?: string | undefined;
  readonly cssSelector?: string | undefined;
}

const IGNORED = "script, style, noscript, template, iframe, object, embed, link, meta";
const FRAME = "header, footer, head, nav";

const all = (within: Pick<Element, "querySelectorAll">, selector: string): Element[] => Array.from(within.querySelectorAll(selector));

/** A whole page. Throws for a selector that is none. */
export function pageMarkdown(html: string, { hostname, cssSelector }: HtmlOptions): string {
  const document = createDocument(html);
  const head = headOf(document);
  const linkedData = all(document, 'script[type="application/ld+json"]').map((element) => element.textContent?.trim() ?? "");
  const base = baseOf(document, hostname);
  for (const element of all(document, IGNORED)) element.remove();
  if (cssSelector === undefined) for (const element of all(document, FRAME)) element.remove();
  if (base !== undefined) resolveLinks(document, base);
  const text = cssSelector === undefined ? markdown(document.body) : outermost(document, cssSelector).map(markdown).join("\n\n");
  const json = linkedData.filter((one) => one !== "").map((one) => `\`\`\`json\n${one}\n\`\`\``);
  return [head, text, ...json].filter((part) => part !== "").join("\n\n");
}

/** HTML that was made of another document. */
export const fragmentMarkdown = (html: string): string => markdown(createDocument(`<body>${html}</body>`).body);

/** Title, description and picture in the form of front matter. */
function headOf(document: Document): string {
  const meta = (name: string): string | undefined =>
    document.querySelector(`meta[name="${name}"], meta[property="${name}"]`)?.getAttribute("content")?.trim() || undefined;
  const facts = {
    title: meta("og:title") ?? (document.querySelector("title")?.textContent?.trim() || undefined),
    description: meta("description") ?? meta("og:description"),
    image: meta("og:image"),
  };
  const lines = Object.entries(facts).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value.replace(/\s+/g, " ")}`]));
  return lines.length === 0 ? "" : `---\n${lines.join("\n")}\n---`;
}

/** The first `base` counts; it may itself be relative to the host that the caller names. */
function baseOf(document: Document, hostname: string | undefined): URL | undefined {
  const given = hostname === undefined ? undefined : /^[a-z]+:\/\//i.test(hostname) ? hostname : `https://${hostname}`;
  const href = document.querySelector("base[href]")?.getAttribute("href") ?? undefined;
  if (href !== undefined && URL.canParse(href, given)) return new URL(href, given);
  return given !== undefined && URL.canParse(given) ? new URL(given) : undefined;
}

function resolveLinks(document: Document, base: URL): void {
  for (const name of ["href", "src"])
    for (const element of all(document, `[${name}]`)) {
      const target = element.getAttribute(name) ?? "";
      if (!target.startsWith("#") && URL.canParse(target, base.href)) element.setAttribute(name, new URL(target, base).href);
    }
}

/** Matching elements that are not inside another one. */
function outermost(document: Document, selector: string): Element[] {
  const found = all(document, selector);
  return found.filter((element) => !found.some((other) => other !== element && other.contains(element)));
}

const service = new TurndownService({ headingStyle: "atx", codeBlockStyle: "fenced", bulletListMarker: "-", hr: "---" });
service.addRule("table", {
  filter: "table",
  replacement(_content, node) {
    const rows = all(node as Element, "tr").map((row) => all(row, "th, td").map((cell) => service.turndown(cell.innerHTML)));
    return `\n\n${markdownTable(rows)}\n\n`;
  },
});
// Pictures inside the page have no address that a reader could follow.
service.addRule("inlinePicture", {
  filter: (node) => node.nodeName === "IMG" && /^data:/i.test(node.getAttribute("src") ?? ""),
  replacement: (_content, node) => (node as Element).getAttribute("alt") ?? "",
});

const markdown = (element: Element): string => service.turndown(element as never).trim();
