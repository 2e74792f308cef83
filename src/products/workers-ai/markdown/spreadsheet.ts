/** Workbooks (.xlsx, .xlsm) as one table for each sheet. Cells are what they show as far as their type says: dates are dates. */
import { textOf, unpack } from "./archive.ts";
import { markdownTable } from "./table.ts";
import { type Element, elements, textIn, xmlTree } from "./xml-tree.ts";

const CELLS_MAX = 1_000_000;
const COLUMNS_MAX = 16_384;
/** Built-in number formats that are dates. */
const DATE_FORMATS = new Set([14, 15, 16, 17, 18, 19, 20, 21, 22, 27, 30, 36, 45, 46, 47, 50, 57]);
const DAY_MS = 24 * 3600 * 1000;

export function workbookMarkdown(bytes: Uint8Array, name: string, maxBytes: number): string {
  const files = unpack(bytes, maxBytes, (path) =>
    /^xl\/(workbook|sharedStrings|styles)\.xml$|^xl\/worksheets\/[^/]+\.xml$|^xl\/_rels\/workbook\.xml\.rels$/.test(path),
  );
  const part = (path: string): Element => xmlTree(textOf(files, path) ?? "");
  const targets = new Map(
    [...elements(part("xl/_rels/workbook.xml.rels"), "Relationship")].map(({ attributes }) => [attributes.Id, attributes.Target]),
  );
  const strings = [...elements(part("xl/sharedStrings.xml"), "si")].map(sharedText);
  const dates = dateStyles(part("xl/styles.xml"));
  const sheets = [...elements(part("xl/workbook.xml"), "sheet")].map(({ attributes }) => {
    const target = targets.get(attributes["r:id"]) ?? "";
    const rows = rowsOf(part(target.startsWith("/") ? target.slice(1) : `xl/${target}`), strings, dates);
    return `## ${attributes.name ?? ""}\n\n${markdownTable(rows)}\n`;
  });
  return `# ${name}\n\n${sheets.join("\n")}`;
}

/** The text of a shared string, without the readings of East Asian words. */
const sharedText = (item: Element): string =>
  [...elements({ ...item, children: item.children.filter((child) => typeof child === "string" || child.name !== "rPh") }, "t")]
    .map(textIn)
    .join("");

/** Whether the style at each index shows a date. */
function dateStyles(styles: Element): boolean[] {
  const own = new Map([...elements(styles, "numFmt")].map(({ attributes }) => [Number(attributes.numFmtId), attributes.formatCode ?? ""]));
  const isDate = (id: number): boolean =>
    DATE_FORMATS.has(id) || /[ymdhs]/i.test((own.get(id) ?? "").replace(/"[^"]*"|\[[^\]]*\]|\\./g, ""));
  return [...elements(styles, "cellXfs")].flatMap((list) =>
    [...elements(list, "xf")].map(({ attributes }) => isDate(Number(attributes.numFmtId ?? 0))),
  );
}

function rowsOf(sheet: Element, strings: readonly string[], dates: readonly boolean[]): string[][] {
  const rows: string[][] = [];
  let cells = 0;
  for (const row of elements(sheet, "row")) {
    const values: string[] = [];
    for (const cell of elements(row, "c")) {
      const at = columnOf(cell.attributes.r) ?? values.length;
      if (at >= COLUMNS_MAX || ++cells > CELLS_MAX) throw new Error("the sheet has too many cells");
      while (values.length < at) values.push("");
      values[at] = shown(cell, strings, dates);
    }
    if (values.some((value) => value !== "")) rows.push(values);
  }
  return rows;
}

/** "BC12" is column 54, counted from 0. */
function columnOf(reference: string | undefined): number | undefined {
  const letters = /^[A-Z]{1,3}/.exec(reference ?? "")?.[0];
  if (letters === undefined) return undefined;
  return [...letters].reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 64, 0) - 1;
}

function shown(cell: Element, strings: readonly string[], dates: readonly boolean[]): string {
  const { t: type, s: style } = cell.attributes;
  if (type === "inlineStr") return [...elements(cell, "t")].map(textIn).join("");
  const text = [...elements(cell, "v")].map(textIn).join("");
  if (type === "s") return strings[Number(text)] ?? "";
  if (type === "b") return text === "1" ? "TRUE" : "FALSE";
  if ((type === undefined || type === "n") && text !== "" && dates[Number(style ?? -1)]) return dateText(Number(text));
  return text;
}

/** Days since the last day of 1899, as spreadsheets count them. */
function dateText(days: number): string {
  const date = new Date(Math.round((days - 25_569) * DAY_MS));
  if (Number.isNaN(date.getTime())) return String(days);
  const text = date.toISOString();
  if (days < 1) return text.slice(11, 19);
  return days % 1 === 0 ? text.slice(0, 10) : `${text.slice(0, 10)} ${text.slice(11, 19)}`;
}
