/** PDF as Markdown: its metadata, then each page, by the tags of its structure where it has any, else as lines of text. */
import { getDocumentProxy } from "unpdf";
import { markdownTable } from "./table.ts";

const PAGES_MAX = 5000;

type Document = Awaited<ReturnType<typeof getDocumentProxy>>;
type Page = Awaited<ReturnType<Document["getPage"]>>;

export async function pdfMarkdown(
  bytes: Uint8Array,
  name: string,
  { metadata = true }: { readonly metadata?: boolean | undefined },
): Promise<string> {
  const document = await getDocumentProxy(new Uint8Array(bytes), { useSystemFonts: false, verbosity: 0 });
  const pages: string[] = [];
  for (let number = 1; number <= Math.min(document.numPages, PAGES_MAX); number++)
    pages.push(`### Page ${number}\n${await pageText(await document.getPage(number))}\n`);
  const head = metadata ? `## Metadata\n${await metadataLines(document)}\n\n` : "";
  return `# ${name}\n${head}## Contents\n${pages.join("\n")}`;
}

async function metadataLines(document: Document): Promise<string> {
  const { info } = await document.getMetadata();
  return Object.entries(info as Record<string, unknown>)
    .filter(([, value]) => ["string", "number", "boolean"].includes(typeof value))
    .map(([name, value]) => `- ${name}=${String(value).replace(/\s+/g, " ")}`)
    .join("\n");
}

interface TextItem {
  readonly str: string;
  readonly hasEOL: boolean;
}
interface Mark {
  readonly type: string;
  readonly id?: string;
}
interface StructNode {
  readonly role: string;
  readonly children: readonly (StructNode | Mark)[];
}

async function pageText(page: Page): Promise<string> {
  const { items } = await page.getTextContent({ includeMarkedContent: true });
  const tree = (await page.getStructTree()) as StructNode | null;
  const list = items as readonly (TextItem | Mark)[];
  if (tree === null) return plain(list);
  const text = semantic(tree, markedTexts(list))
    .replace(/\n{3,}/g, "\n\n")
    .trim();
  // A tree without any of the text is no help.
  return text === "" ? plain(list) : text;
}

const isText = (item: TextItem | Mark): item is TextItem => "str" in item;

const plain = (items: readonly (TextItem | Mark)[]): string =>
  items
    .map((item) => (isText(item) ? item.str + (item.hasEOL ? "\n" : "") : ""))
    .join("")
    .trim();

/** The text of each marked piece of content, by its id. */
function markedTexts(items: readonly (TextItem | Mark)[]): Map<string, string> {
  const texts = new Map<string, string>();
  const open: (string | undefined)[] = [];
  for (const item of items) {
    if (isText(item)) {
      const id = open.findLast((one) => one !== undefined);
      if (id !== undefined) texts.set(id, (texts.get(id) ?? "") + item.str + (item.hasEOL ? " " : ""));
    } else if (item.type === "endMarkedContent") open.pop();
    else open.push(item.id);
  }
  return texts;
}

function semantic(node: StructNode, texts: ReadonlyMap<string, string>): string {
  const inside = (): string =>
    node.children.map((child) => ("role" in child ? semantic(child, texts) : (texts.get(child.id ?? "") ?? ""))).join("");
  const { role } = node;
  const level = /^H([1-6])$/.exec(role)?.[1] ?? (role === "H" || role === "Title" ? "1" : undefined);
  if (level !== undefined) return `\n\n${"#".repeat(Number(level))} ${inside().trim()}\n\n`;
  if (role === "P") return `\n\n${inside().trim()}\n\n`;
  if (role === "LI") return `\n- ${inside().trim().replace(BULLET, "")}`;
  if (role === "Lbl") return "";
  if (role === "Table") return `\n\n${markdownTable(tableRows(node, texts))}\n\n`;
  return role === "L" ? `\n\n${inside().trim()}\n\n` : inside();
}

/** What producers put before an item of a list, which is a list already. */
const BULLET = /^[\u2022\u25e6\u25aa\u2013\u00b7-]\s*/;

function tableRows(node: StructNode, texts: ReadonlyMap<string, string>): string[][] {
  const nodes = node.children.filter((child): child is StructNode => "role" in child);
  const cells = nodes.filter(({ role }) => role === "TD" || role === "TH");
  return cells.length > 0 ? [cells.map((cell) => semantic(cell, texts))] : nodes.flatMap((child) => tableRows(child, texts));
}
