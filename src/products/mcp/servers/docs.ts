/**
 * The server of the platform's own documentation: finds the sections that have a question's words, rarer words counting for more
 * (BM25). What it searches are the READMEs of the products, which say what each has, guarantees and leaves out.
 */
import { glob, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { type McpServer, text, tool } from "../tool.ts";

interface Section {
  /** "kv › Limits and deviations". */
  readonly title: string;
  readonly text: string;
  readonly words: ReadonlyMap<string, number>;
  readonly length: number;
}

interface Index {
  readonly sections: readonly Section[];
  /** In how many sections a word is. */
  readonly frequency: ReadonlyMap<string, number>;
  readonly meanLength: number;
}

const PRODUCTS = fileURLToPath(new URL("../..", import.meta.url));
const RESULTS = 6;
const SECTION_MAX = 4_000;
/** BM25's own usual numbers. */
const SATURATION = 1.2;
const LENGTH_WEIGHT = 0.75;
const SEARCH =
  "Search the documentation of this platform, which speaks Cloudflare's APIs: Workers, KV, R2, D1, Durable Objects, Queues, Pipelines, Workflows, Pages, AI and the others. It says what is there, and where it differs.";

export function docsServer(): McpServer {
  let index: Promise<Index> | undefined;
  return {
    name: "docs",
    title: "docs",
    instructions:
      "Searches the documentation of this platform: what each product has, how it behaves, and where it differs from Cloudflare's.",
    open: true,
    tools: [
      tool("search_cloudflare_documentation", SEARCH, { query: z.string().min(1).max(1_000) }, async ({ query }) => {
        index ??= indexOf(PRODUCTS);
        const found = nearest(await index, query);
        return [text(found.length === 0 ? "Nothing was found" : found.map((one) => `# ${one.title}\n\n${one.text}`).join("\n\n"))];
      }),
    ],
  };
}

async function indexOf(directory: string): Promise<Index> {
  const sections: Section[] = [];
  for await (const file of glob("*/README.md", { cwd: directory }))
    sections.push(...sectionsOf(dirname(file), await readFile(join(directory, file), "utf8")));
  const frequency = new Map<string, number>();
  for (const { words } of sections) for (const word of words.keys()) frequency.set(word, (frequency.get(word) ?? 0) + 1);
  const total = sections.reduce((sum, { length }) => sum + length, 0);
  return { sections, frequency, meanLength: total / Math.max(1, sections.length) };
}

function sectionsOf(product: string, markdown: string): Section[] {
  return markdown.split(/^(?=#+ )/m).map((part) => {
    const [heading = "", ...lines] = part.split("\n");
    const title = `${product} › ${heading.replace(/^#+ /, "")}`;
    const all = wordsOf(`${title} ${part}`);
    const words = new Map<string, number>();
    for (const word of all) words.set(word, (words.get(word) ?? 0) + 1);
    return { title, text: lines.join("\n").trim().slice(0, SECTION_MAX), words, length: all.length };
  });
}

function nearest({ sections, frequency, meanLength }: Index, query: string): Section[] {
  const wanted = new Set(wordsOf(query));
  const scored = sections.map((section) => {
    let score = 0;
    for (const word of wanted) {
      const times = section.words.get(word);
      if (times === undefined) continue;
      const inSections = frequency.get(word) as number;
      const rarity = Math.log(1 + (sections.length - inSections + 0.5) / (inSections + 0.5));
      const long = 1 - LENGTH_WEIGHT + (LENGTH_WEIGHT * section.length) / meanLength;
      score += (rarity * times * (SATURATION + 1)) / (times + SATURATION * long);
    }
    return { section, score };
  });
  return scored
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, RESULTS)
    .map(({ section }) => section);
}

/** In lower case; a plural is its singular, roughly. */
const wordsOf = (words: string): string[] =>
  (words.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).map((word) => word.replace(/(?<=\w{3})s$/, ""));
