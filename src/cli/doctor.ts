/** `freehold doctor`: runs the checks of checks.ts and prints what they found, with what to do about it. */

import type { NamedFinding, State } from "./checks.ts";
import type { Command } from "./command.ts";
import { DEFAULT_DATA_DIRECTORY } from "./data-directory.ts";
import { DEFAULT_PORT, dataFlag, jsonFlag, portNumber } from "./flags.ts";
import { paint, print, wrap } from "./terminal.ts";

export const doctor: Command = {
  name: "doctor",
  summary: "check this machine and say what to mend",
  flags: { data: dataFlag, port: { value: "PORT", doc: `port that \`freehold up\` will use (${DEFAULT_PORT})` }, json: jsonFlag },
  async run(args): Promise<number> {
    const { runChecks } = await import("./checks.ts");
    const findings = await runChecks(args.text("data") ?? DEFAULT_DATA_DIRECTORY, portNumber(args.text("port")));
    print(args.has("json") ? JSON.stringify(findings, null, 2) : render(findings));
    return findings.some(({ state }) => state === "failure") ? 1 : 0;
  },
};

function render(findings: readonly NamedFinding[]): string {
  const signs: Record<State, string> = { ok: paint("green", "✓"), warning: paint("yellow", "!"), failure: paint("red", "✗") };
  const width = Math.max(...findings.map(({ name }) => name.length));
  const indent = " ".repeat(width + 4);
  const columns = Math.min(process.stdout.columns ?? 100, 100);
  return findings
    .map(({ state, name, detail, remedy }) => {
      const line = `${signs[state]} ${name.padEnd(width)}  ${wrap(detail, columns, indent).trimStart()}`;
      return remedy === undefined ? line : `${line}\n${wrap(remedy, columns, indent)}`;
    })
    .join("\n");
}
