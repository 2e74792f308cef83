/** What people see: colours where stdout is a terminal (and NO_COLOR is not set), tables that fit its width. */
import { stripVTControlCharacters, styleText } from "node:util";

type Style = "bold" | "dim" | "green" | "red" | "yellow" | "cyan";

/** Whether to colour what is written to `stream`. */
export const colours = (stream: NodeJS.WriteStream): boolean =>
  stream.isTTY === true && process.env.NO_COLOR === undefined && process.env.TERM !== "dumb";

export const paint = (style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string =>
  colours(stream) ? styleText(style, text, { validateStream: false }) : text;

const width = (text: string): number => stripVTControlCharacters(text).length;

/**
 * A table with a header. When it is wider than `columns`, the widest columns are cut with "…"; `keep` names columns
 * that are never cut, such as ids that people copy.
 */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  options: { columns?: number; keep?: readonly string[] } = {},
): string {
  const gap = 2;
  const widths = header.map((title, i) => Math.max(width(title), ...rows.map((row) => width(row[i] ?? ""))));
  const kept = new Set((options.keep ?? []).map((name) => header.indexOf(name)));
  const limit = options.columns ?? process.stdout.columns ?? Number.POSITIVE_INFINITY;
  const total = (): number => widths.reduce((sum, w) => sum + w + gap, -gap);
  while (total() > limit) {
    let widest = -1;
    for (const [i, w] of widths.entries()) if (!kept.has(i) && w > 6 && (widest < 0 || w > (widths[widest] as number))) widest = i;
    if (widest < 0) break;
    widths[widest] = (widths[widest] as number) - 1;
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => {
        const room = widths[i] as number;
        const cut = width(cell) > room ? `${cell.slice(0, room - 1)}…` : cell;
        return i === row.length - 1 ? cut : cut + " ".repeat(room + gap - width(cut));
      })
      .join("")
      .trimEnd();
  return [paint("dim", line(header)), ...rows.map(line)].join("\n");
}

/** Breaks a text into lines of at most `columns` characters, indented. */
export function wrap(text: string, columns: number, indent = ""): string {
  const lines: string[] = [];
  let current = indent;
  for (const word of text.split(/\s+/)) {
    if (current.length > indent.length && current.length + 1 + word.length > columns) {
      lines.push(current);
      current = indent;
    }
    current += current.length > indent.length ? ` ${word}` : word;
  }
  return [...lines, current].join("\n");
}

export const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};
