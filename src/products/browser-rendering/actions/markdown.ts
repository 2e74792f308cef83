/**
 * A page as Markdown. Turndown does it inside the page's own process, apart from its scripts: the document is already parsed
 * there, and one that takes for ever costs nobody but its own browser.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "./page.ts";

let code: string | undefined;

const CONVERT = `const turndown = new TurndownService({ headingStyle: "atx", codeBlockStyle: "fenced", bulletListMarker: "*", emDelimiter: "_" });
  turndown.remove(["script", "style", "noscript", "template", "iframe", "head"]);
  turndown.addRule("absolute link", {
    filter: (node) => node.nodeName === "A" && node.hasAttribute("href"),
    replacement: (text, node) => text.trim() === "" ? "" : "[" + text.replace(/\\n+/g, " ").trim() + "](" + (node.getAttribute("href").startsWith("#") ? node.getAttribute("href") : node.href) + ")",
  });
  turndown.addRule("cells", { filter: ["th", "td"], replacement: (text) => "| " + text.trim().replace(/\\n+/g, " ").replaceAll("|", "\\\\|") + " " });
  turndown.addRule("rows", {
    filter: "tr",
    replacement: (text, node) => {
      const cells = [...node.children];
      const first = node === node.closest("table")?.querySelector("tr");
      return "\\n" + text.trim() + " |" + (first ? "\\n|" + cells.map(() => " - |").join("") : "");
    },
  });
  turndown.addRule("tables", { filter: ["table"], replacement: (text) => "\\n\\n" + text.trim().replace(/\\n+/g, "\\n") + "\\n\\n" });
  return turndown.turndown(document.documentElement);`;

export async function markdown({ call }: Page): Promise<string> {
  code ??= readFileSync(createRequire(import.meta.url).resolve("turndown/dist/turndown.js"), "utf8");
  return call<string>(`() => { ${code}\n${CONVERT} }`);
}
