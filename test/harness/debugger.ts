/**
 * Stops the platform at a statement of its own source, as a debugger does, so that a test can look at it or kill it there.
 * The platform's code knows nothing of this: Node's inspector is opened from outside, by SIGUSR1, on a port that the system
 * chooses. While it is stopped its main thread does nothing; other threads finish what they are at.
 *
 * Start the platform with `env: DEBUGGABLE`.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { WebSocket } from "ws";
import { projectRoot, type TestPlatform } from "./platform.ts";

export const DEBUGGABLE = { NODE_OPTIONS: "--inspect-port=127.0.0.1:0" };

export interface Statement {
  /** Path below src/. */
  readonly file: string;
  /** How the statement begins: in the file exactly once, at the start of a line. */
  readonly text: string;
  /** An expression over what the statement can see; without it each pass counts. */
  readonly when?: string | undefined;
  /** Passes that are let go before the one to stop at. */
  readonly passes?: number;
}

export interface Stopped {
  /** The value of an expression over what the statement can see. */
  evaluate(expression: string): Promise<unknown>;
  resume(): Promise<void>;
}

const DEADLINE_MS = 30_000;

/** Resolves when the platform's main thread is about to run the statement. The connection ends with the process. */
export async function stopAt(platform: TestPlatform, statement: Statement): Promise<Stopped> {
  const inspector = await connect(platform);
  await inspector.call("Debugger.enable");
  const condition = `(${statement.when ?? "true"}) && (globalThis.passes = (globalThis.passes ?? 0) + 1) > ${statement.passes ?? 0}`;
  const { locations } = await inspector.call<{ locations: unknown[] }>("Debugger.setBreakpointByUrl", { ...place(statement), condition });
  assert.equal(locations.length, 1, `${statement.file} is loaded, and "${statement.text}" can be stopped at`);
  const frame = await inspector.paused;
  return {
    async evaluate(expression) {
      const parameters = { callFrameId: frame, expression, returnByValue: true };
      const { result } = await inspector.call<{ result: { value: unknown } }>("Debugger.evaluateOnCallFrame", parameters);
      return result.value;
    },
    async resume() {
      await inspector.call("Debugger.resume");
    },
  };
}

function place({ file, text }: Statement): { url: string; lineNumber: number; columnNumber: number } {
  const path = join(projectRoot, "src", file);
  const lines = readFileSync(path, "utf8").split("\n");
  const found = lines.flatMap((line, i) => (line.trimStart().startsWith(text) ? [i] : []));
  assert.equal(found.length, 1, `"${text}" begins ${found.length} lines of ${file}; name the statement anew`);
  const [lineNumber] = found as [number];
  return { url: pathToFileURL(path).href, lineNumber, columnNumber: (lines[lineNumber] as string).indexOf(text) };
}

interface Inspector {
  call<T>(method: string, params?: Record<string, unknown>): Promise<T>;
  /** The id of the innermost call frame at the first stop. */
  readonly paused: Promise<string>;
}

async function connect(platform: TestPlatform): Promise<Inspector> {
  const socket = new WebSocket(await open(platform));
  const answers = new Map<number, PromiseWithResolvers<unknown>>();
  const paused = Promise.withResolvers<string>();
  const timer = setTimeout(
    () => paused.reject(new Error(`the platform did not come to the statement within ${DEADLINE_MS} ms`)),
    DEADLINE_MS,
  );
  const opened = Promise.withResolvers<void>();
  socket.on("open", () => opened.resolve());
  // A killed process takes the connection with it: only who still waits for something hears of that.
  const end = (error: Error): void => {
    clearTimeout(timer);
    for (const one of [opened, paused, ...answers.values()]) one.reject(error);
  };
  socket.on("error", end);
  socket.on("close", () => end(new Error("the platform ended")));
  for (const { promise } of [opened, paused]) promise.catch(() => undefined);
  socket.on("message", (data) => {
    const message = JSON.parse(String(data));
    if (message.method === "Debugger.paused") {
      clearTimeout(timer);
      paused.resolve(message.params.callFrames[0].callFrameId);
    }
    const answer = answers.get(message.id);
    if (message.error === undefined) answer?.resolve(message.result);
    else answer?.reject(new Error(message.error.message));
    answers.delete(message.id);
  });
  await opened.promise;
  let next = 1;
  return {
    paused: paused.promise,
    call<T>(method: string, params: Record<string, unknown> = {}) {
      const answer = Promise.withResolvers<unknown>();
      answers.set(next, answer);
      socket.send(JSON.stringify({ id: next++, method, params }));
      return answer.promise as Promise<T>;
    },
  };
}

/** The address that the process prints when its inspector is open. */
async function open(platform: TestPlatform): Promise<string> {
  process.kill(platform.pid, "SIGUSR1");
  for (const end = Date.now() + DEADLINE_MS; Date.now() < end; await sleep(5)) {
    const [, url] = /Debugger listening on (ws:\S+)/.exec(platform.printed()) ?? [];
    if (url !== undefined) return url;
  }
  throw new Error(`the inspector did not open; was the platform started with DEBUGGABLE?\n${platform.printed()}`);
}
