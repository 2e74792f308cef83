/**
 * `npm run bench [name …]`: runs the benchmarks of this folder one after another, prints each figure beside its budget,
 * and appends all of them with commit and machine to docs/benchmarks.jsonl.
 */
import { execFileSync } from "node:child_process";
import { appendFileSync, readdirSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import type { BenchResult } from "./bench.ts";

const root = join(import.meta.dirname, "..");
const helpers = new Set(["bench.ts", "run.ts"]);

interface Benchmark {
  run(): Promise<BenchResult[]>;
}

const wanted = process.argv.slice(2);
const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(".ts") && !helpers.has(file))
  .map((file) => file.replace(/\.ts$/, ""))
  .filter((name) => wanted.length === 0 || wanted.includes(name));

const machine = `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();

for (const name of names) {
  const module = (await import(`./${name}.ts`)) as Partial<Benchmark>;
  if (module.run === undefined) continue;
  process.stdout.write(`\n${name}\n`);
  for (const result of await module.run()) {
    process.stdout.write(`  ${line(result)}\n`);
    appendFileSync(
      join(root, "docs/benchmarks.jsonl"),
      `${JSON.stringify({ at: new Date().toISOString(), commit, machine, ...result })}\n`,
    );
  }
}

function line({ name, value, unit, budget, note }: BenchResult): string {
  const figure = `${value.toLocaleString("en", { maximumFractionDigits: 2 })} ${unit}`;
  const against = budget === undefined ? "" : `  budget ${budget} ${unit}`;
  return `${name.padEnd(44)} ${figure.padStart(18)}${against}${note === undefined ? "" : `  (${note})`}`;
}
