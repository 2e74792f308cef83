/** OpenDocument texts (.odt) as HTML, which becomes Markdown like any other, and spreadsheets (.ods) as tables. */
import { ArchiveError, textOf, unpack } from "./archive.ts";
import { fragmentMarkdown } from "./html.ts";
import { markdownTable } from "./table.ts";
import { type Element, elements, xmlTree } from "./xml-tree.ts";

const CELLS_MAX = 1_000_000;
/** Repeated empty cells and rows fill a sheet to its edge; of others so many are written out. */
const REPEATED_MAX = 1000;

function content(bytes: Uint8Array, maxBytes: number): Element {
  const text = textOf(
    unpack(bytes, maxBytes, (name) => name === "content.xml"),
    "content.xml",
  );
  if (text === undefined) throw new ArchiveError("the document has no content");
  return xmlTree(text);
}

export function openDocumentMarkdown(bytes: Uint8Array, maxBytes: number): string {
  const document = content(bytes, maxBytes);
  const [body] = elements(document, "office:text");
  return body === undefined ? "" : fragmentMarkdown(htmlOf(body, emphasisOf(document)));
}

const escaped = (text: string): string => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** Styles by name that make text bold or italic. */
function emphasisOf(document: Element): Map<string, string[]> {
  const tags = new Map<string, string[]>();
  for (const style of elements(document, "style:style")) {
    const [properties] = elements(style, "style:text-properties");
    const { "fo:font-weight": weight, "fo:font-style": slant } = properties?.attributes ?? {};
    tags.set(style.attributes["style:name"] ?? "", [...(weight === "bold" ? ["strong"] : []), ...(slant === "italic" ? ["em"] : [])]);
  }
  return tags;
}

const TAGS: Readonly<Record<string, string>> = {
  "text:p": "p",
  "text:list": "ul",
  "table:table": "table",
  "table:table-row": "tr",
  "table:table-cell": "td",
};
const SKIPPED = new Set([
  "text:tracked-changes",
  "office:annotation",
  "text:table-of-content",
  "text:note-citation",
  "office:forms",
  "svg:title",
]);

function htmlOf(element: Element, styles: ReadonlyMap<string, readonly string[]>): string {
  const inside = (): string =>
    element.children.map((child) => (typeof child === "string" ? escaped(child) : htmlOf(child, styles))).join("");
  const { name, attributes } = element;
  if (SKIPPED.has(name)) return "";
  if (name === "text:s") return " ".repeat(Math.min(Number(attributes["text:c"] ?? 1) || 1, 100));
  if (name === "text:tab") return " ";
  if (name === "text:line-break") return "<br>";
  if (name === "text:h") return wrapped(`h${Math.min(Math.max(Number(attributes["text:outline-level"] ?? 1) || 1, 1), 6)}`, inside());
  if (name === "text:a") return `<a href="${escaped(attributes["xlink:href"] ?? "").replace(/"/g, "&quot;")}">${inside()}</a>`;
  if (name === "text:span")
    return (styles.get(attributes["text:style-name"] ?? "") ?? []).reduce((text, tag) => wrapped(tag, text), inside());
  // An item of one paragraph is no list of paragraphs.
  if (name === "text:list-item") return wrapped("li", inside().replace(/^<p>((?:(?!<p>).)*)<\/p>/s, "$1"));
  const tag = TAGS[name];
  return tag === undefined ? inside() : wrapped(tag, inside());
}

const wrapped = (tag: string, text: string): string => `<${tag}>${text}</${tag}>`;

export function openSpreadsheetMarkdown(bytes: Uint8Array, name: string, maxBytes: number): string {
  const sheets = [...elements(content(bytes, maxBytes), "table:table")].map(
    (table) => `## ${table.attributes["table:name"] ?? ""}\n\n${markdownTable(rowsOf(table))}\n`,
  );
  return `# ${name}\n\n${sheets.join("\n")}`;
}

function rowsOf(table: Element): string[][] {
  const rows: string[][] = [];
  let count = 0;
  for (const row of elements(table, "table:table-row")) {
    const values: string[] = [];
    for (const cell of elements(row, "table:table-cell")) {
      const text = [...elements(cell, "text:p")].map((line) => htmlOf(line, new Map()).replace(/<[^>]*>/g, "")).join(" ");
      const times = text === "" ? 1 : Math.min(Number(cell.attributes["table:number-columns-repeated"] ?? 1) || 1, REPEATED_MAX);
      for (let at = 0; at < times; at++) values.push(unescaped(text));
      count += times;
      if (count > CELLS_MAX) throw new Error("the sheet has too many cells");
    }
    if (values.some((value) => value !== "")) rows.push(values);
  }
  return rows;
}

const unescaped = (text: string): string => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
