/**
 * A client in a pseudo-terminal, for what it only does when a person sits before it: prompts, colours, live columns.
 * Python's `pty` makes the terminal. The test reads on with `expect` and types with `send`.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { stripVTControlCharacters } from "node:util";
import { launcher, type TestPlatform } from "./platform.ts";

export interface Terminal {
  /** Waits for text after what was expected before, without control characters; rejects with what there is instead. */
  expect(wanted: RegExp | string): Promise<RegExpExecArray>;
  send(keys: string): void;
  /** Everything that was shown. */
  text(): string;
  /** The exit code, when the client has ended. */
  readonly ended: Promise<number>;
}

export const keys = { enter: "\r", down: "\x1b[B", interrupt: "\x03" } as const;

const DEADLINE_MS = 60_000;
const RELAY = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
/** Gives the terminal a size, which a new one has not. */
const SIZED = 'stty cols 150 rows 50; exec "$@"';

type Hooks = { after(fn: () => Promise<void>): void };

/** Starts the client under `freehold exec`, in an environment that no CI service has left its marks in. */
export function openTerminal(
  t: Hooks,
  platform: TestPlatform,
  command: readonly string[],
  options: { cwd: string; env?: Readonly<Record<string, string>> },
): Terminal {
  const { PATH, HOME, LANG } = process.env;
  const env = { PATH, HOME, LANG, TERM: "xterm", XDG_CONFIG_HOME: `${options.cwd}/client`, ...options.env };
  const inTerminal = ["python3", "-c", RELAY, "sh", "-c", SIZED, "sh", ...command];
  const child = spawn(process.execPath, [launcher, "exec", "--data", platform.dir, "--", ...inTerminal], {
    cwd: options.cwd,
    env,
    stdio: ["pipe", "pipe", "pipe"],
  });
  return overlook(t, child);
}

function overlook(t: Hooks, child: ChildProcess): Terminal {
  let raw = "";
  let at = 0;
  let wake = (): void => undefined;
  const take = (data: Buffer): void => {
    raw += data.toString("latin1");
    wake();
  };
  child.stdout?.on("data", take);
  child.stderr?.on("data", take);
  child.stdin?.on("error", () => undefined); // The client may end before the last key reaches it.
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      resolve(code ?? -1);
      wake();
    });
  });
  t.after(async () => {
    // `exec` passes it on to the terminal, whose end hangs up on the client.
    child.kill("SIGTERM");
    await ended;
  });
  const text = (): string => stripVTControlCharacters(Buffer.from(raw, "latin1").toString("utf8")).replaceAll("\r", "");
  return {
    text,
    ended,
    send: (typed) => void child.stdin?.write(typed),
    async expect(wanted) {
      const pattern = typeof wanted === "string" ? new RegExp(wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")) : wanted;
      const deadline = Date.now() + DEADLINE_MS;
      for (;;) {
        const shown = text();
        const found = pattern.exec(shown.slice(at));
        if (found !== null) {
          at += found.index + found[0].length;
          return found;
        }
        const rest = deadline - Date.now();
        if (rest <= 0 || child.exitCode !== null)
          assert.fail(`the terminal does not show ${pattern}; after what was expected last:\n${shown.slice(at)}`);
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, rest);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    },
  };
}
