/** Help texts, made from the commands themselves. At most 80 columns wide. */
import { readFileSync } from "node:fs";
import type { Command } from "./command.ts";
import { paint, wrap } from "./terminal.ts";

const COLUMNS = 80;

/** "freehold 0.1.0 (Node 24.21.0)". */
export function version(): string {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  return `freehold ${manifest.version} (Node ${process.versions.node})`;
}

export function generalHelp(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    "Freehold: a developer platform that speaks Cloudflare's APIs, on your own machine.",
    "",
    `${paint("bold", "Usage:")} freehold COMMAND [FLAGS]`,
    "",
    ...commands.map(({ name, summary }) => `  ${paint("cyan", name.padEnd(width))}  ${summary}`),
    "",
    "To begin: `freehold up` in one terminal, `freehold exec -- wrangler deploy` in another.",
    "`freehold COMMAND --help` lists the flags of a command.",
  ].join("\n");
}

export function commandHelp(command: Command): string {
  const flags = Object.entries(command.flags).map(([name, flag]) => ({
    left: flag.value === undefined ? `--${name}` : `--${name} ${flag.value}`,
    doc: flag.repeat ? `${flag.doc}; may be repeated` : flag.doc,
  }));
  const width = Math.max(0, ...flags.map(({ left }) => left.length));
  const indent = " ".repeat(width + 4);
  return [
    `${paint("bold", "Usage:")} freehold ${command.name}${flags.length > 0 ? " [FLAGS]" : ""}${command.positionals ? ` ${command.positionals}` : ""}`,
    "",
    wrap(`${command.summary[0]?.toUpperCase()}${command.summary.slice(1)}.${command.details ? ` ${command.details}` : ""}`, COLUMNS),
    ...(flags.length > 0 ? [""] : []),
    ...flags.map(({ left, doc }) => `  ${paint("cyan", left.padEnd(width))}  ${wrap(doc, COLUMNS, indent).trimStart()}`),
  ].join("\n");
}
