/**
 * The runner behind `npm test`: finds the test files, runs one at a time for each core and beside them those that
 * mostly wait, prints one line for each file and everything about what failed. When all of it was asked for, a file that failed among the others has a second
 * try alone, and is named as unsteady when that passes; a file of test/crash has none, since what it finds is rare.
 *
 *     npm test                      all of it
 *     npm test -- unit | clients | crash
 *     npm test -- kv                files with "kv" in their path
 *     npm test -- "put and get"     tests with this in their title, where no path matches
 */

import { existsSync } from "node:fs";
import { glob, readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { run } from "node:test";
import type { TestEvent } from "node:test/reporters";
import { fileURLToPath } from "node:url";
import { inspect, styleText } from "node:util";
import { programNeeded } from "../scripts/compat.ts";
import { noDocker } from "./harness/docker.ts";
import { noFFmpeg } from "./harness/ffmpeg.ts";
import { noPython } from "./harness/python.ts";
import { noRust } from "./harness/rust.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  unit: ["src/**/*.test.ts", "test/*.test.ts", "test/{golden,harness,tidy}/**/*.test.ts"],
  clients: ["test/clients/**/*.test.ts"],
  crash: ["test/crash/**/*.test.ts", "test/upgrade/**/*.test.ts"],
};
/** Tests among the fixtures are the clients' own, which tests of ours run. */
const FIXTURE = /[/\\]fixtures[/\\]/;
/** A test, or a file as a whole, that takes longer has hung. */
const DEADLINE_MS = (10 + 2 * Number(process.env.FREEHOLD_CRASH_ROUNDS ?? 0)) * 60_000;
// A file starts a platform, workerd processes and clients of its own, and waits for them about half of its time: one file a
// core keeps the machine busy, and more would only make each other's deadlines late.
const CONCURRENCY = Math.max(1, availableParallelism());
/** Files that wait (for a roll, a cron, an expiry, a limit of time) for half of their time or more: they have a lane of their own. */
const MOSTLY_WAITING: ReadonlySet<string> = new Set(
  [
    "agents/schedules",
    "browser/demo",
    "cli/fraud",
    "cloudflare-sdk/browser-rendering",
    "coturn/realtime-turn",
    "http/pipelines-delivery",
    "http/pipelines-lifecycle",
    "http/stream-live",
    "workers/browser-rendering",
    "workers/d1-limits",
    "workers/hyperdrive",
    "workers/kv",
    "workers/queues",
    "wrangler/durable-objects-lifecycle",
    "wrangler/pipelines-legacy",
    "wrangler/workers-cron",
  ].map((name) => `test/clients/${name}.test.ts`),
);

async function testFiles(words: readonly string[]): Promise<{ files: string[]; titles: RegExp[] }> {
  const groups = words.filter((word) => Object.hasOwn(GROUPS, word));
  const filters = words.filter((word) => !Object.hasOwn(GROUPS, word));
  const all: string[] = [];
  for (const group of groups.length > 0 ? groups : Object.keys(GROUPS))
    for (const pattern of GROUPS[group] as readonly string[])
      for await (const file of glob(pattern, { cwd: root })) if (!FIXTURE.test(file)) all.push(file);
  const files = [...new Set(all)].sort();
  if (filters.length === 0) return { files, titles: [] };
  const matching = files.filter((file) => filters.some((filter) => file.includes(filter.replace(/^\.\//, ""))));
  if (matching.length > 0) return { files: matching, titles: [] };
  return { files, titles: filters.map((filter) => new RegExp(filter.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))) };
}

const paint = (style: Parameters<typeof styleText>[0], text: string): string => styleText(style, text, { stream: process.stdout });

/** What a run came to, over its lanes. */
interface Outcome {
  /** Test files with a failure. */
  readonly failed: Set<string>;
  /** What was said of each failure. */
  readonly failures: string[];
  tests: number;
  passed: number;
  skipped: number;
}

/** One line for each file and details of failures, as they come; what they add up to goes into `outcome`. */
async function* report(events: AsyncIterable<TestEvent>, outcome: Outcome): AsyncGenerator<string> {
  const output = new Map<string, string>();
  for await (const { type, data } of events) {
    if (type === "test:stdout" || type === "test:stderr") {
      output.set(data.file, `${output.get(data.file) ?? ""}${data.message}`.slice(-20_000));
    } else if (type === "test:fail") {
      outcome.failed.add(data.file === undefined ? data.name : relative(root, data.file));
      if (isWrapper(data)) continue;
      let text = describe(data);
      // A file that failed as a whole: what it printed is all there is to know.
      if (data.name === data.file) text += output.get(data.file) ?? "";
      outcome.failures.push(text);
      yield text;
    } else if (type === "test:summary") {
      const { counts, duration_ms, success, file } = data;
      if (file === undefined) {
        outcome.tests += counts.tests;
        outcome.passed += counts.passed;
        outcome.skipped += counts.skipped;
        continue;
      }
      if (counts.tests === 0 && success) continue;
      const sign = success ? paint("green", "✔") : paint("red", "✖");
      const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
      yield `${sign} ${relative(root, file)} ${paint("gray", `(${counts.passed} of ${counts.tests}${skipped}, ${(duration_ms / 1000).toFixed(1)} s)`)}\n`;
      const printed = output.get(file);
      if (!success && printed !== undefined) yield `${paint("gray", printed)}\n`;
      output.delete(file);
    } else if (type === "test:diagnostic" && data.file !== undefined && /seed/.test(data.message)) {
      yield `  ${data.message}\n`;
    }
  }
}

type TestFail = Extract<TestEvent, { type: "test:fail" }>["data"];

/** A test that only failed because one inside it did. */
const isWrapper = (data: TestFail): boolean =>
  (data.details.error as { failureType?: string } | undefined)?.failureType === "subtestsFailed";

function describe(data: TestFail): string {
  const error = data.details.error as Error & { cause?: unknown };
  const cause = error?.cause ?? error;
  const place = data.file === undefined ? "" : ` ${paint("gray", `(${relative(root, data.file)}:${data.line})`)}`;
  const text = cause instanceof Error || typeof cause === "object" ? inspect(cause, { colors: false, depth: 6 }) : String(cause);
  const name = data.name === data.file ? relative(root, data.name) : data.name;
  return `${paint("red", "✖")} ${name}${place}\n${text.replace(/^/gm, "    ")}\n`;
}

// The tests start wrangler and the platform hundreds of times: compiled once is compiled for all.
process.env.NODE_COMPILE_CACHE ??= join(root, "node_modules", ".cache", "compile");
const { files, titles } = await testFiles(process.argv.slice(2));
if (files.length === 0) {
  console.error("No test file matches; give a group (unit, clients, crash), part of a path, or part of a title.");
  process.exit(1);
}
/** Programs that whole files need; why one is missing here, or false. */
const missing: Readonly<Record<string, string | false>> = { Docker: noDocker, FFmpeg: noFFmpeg, Python: noPython, Rust: noRust };
const runnable: string[] = [];
for (const file of MOSTLY_WAITING)
  if (!existsSync(join(root, file))) throw new Error(`${file} is to wait in a lane of its own, but is gone`);
for (const file of files) {
  const needed = programNeeded(await readFile(join(root, file), "utf8"));
  const reason = needed === undefined ? false : missing[needed];
  if (reason === undefined) throw new Error(`${file} needs ${needed}, which this runner does not know`);
  if (reason === false) runnable.push(file);
  else console.log(`${paint("yellow", "↷")} ${file} ${paint("gray", `(skipped: ${reason})`)}`);
}
/** More failed files than these are no unsteadiness: none is tried again. */
const TRIED_AGAIN_MAX = 3;

/** Runs each lane's files, the lanes side by side, and prints what comes of them. Answers the files that failed. */
async function runLanes(lanes: readonly { readonly files: readonly string[]; readonly concurrency: number }[]): Promise<string[]> {
  const outcome: Outcome = { failed: new Set(), failures: [], tests: 0, passed: 0, skipped: 0 };
  const started = performance.now();
  await Promise.all(
    lanes
      .filter((lane) => lane.files.length > 0)
      .map(async (lane) => {
        const events = run({
          files: lane.files.map((file) => join(root, file)),
          cwd: root,
          concurrency: lane.concurrency,
          timeout: DEADLINE_MS,
          ...(titles.length > 0 && { testNamePatterns: titles }),
        });
        for await (const text of report(events, outcome)) process.stdout.write(text);
      }),
  );
  if (outcome.failures.length > 1) process.stdout.write(`\nAll failures again:\n${outcome.failures.join("")}`);
  const { tests, passed, skipped, failures } = outcome;
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`\n${tests} tests: ${passed} passed, ${failures.length} failed, ${skipped} skipped in ${seconds} s`);
  return [...outcome.failed];
}

const failed = await runLanes([
  { files: runnable.filter((file) => !MOSTLY_WAITING.has(file)), concurrency: CONCURRENCY },
  { files: runnable.filter((file) => MOSTLY_WAITING.has(file)), concurrency: 1 },
]);
const whole = process.argv.length === 2;
const triedAgain =
  whole && failed.length <= TRIED_AGAIN_MAX && failed.every((file) => files.includes(file) && !file.startsWith("test/crash/"));
if (failed.length > 0 && triedAgain) {
  console.log(`\nA second try, alone: ${failed.join(", ")}`);
  const again = await runLanes([{ files: failed, concurrency: 1 }]);
  for (const file of failed)
    if (!again.includes(file)) console.log(`${paint("yellow", "⚠")} ${file} is unsteady: it failed among the others and passes alone`);
  if (again.length > 0) process.exitCode = 1;
} else if (failed.length > 0) {
  process.exitCode = 1;
}
