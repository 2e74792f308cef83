/**
 * The program of a sandbox's image: the runtime on port 3000, and beside it the command that the image or its user names, whose
 * failure ends the container as it would without the runtime.
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { constants } from "node:os";
import { serve } from "./server.ts";

const WORKSPACE = "/workspace";
const PORT = 3000;

mkdirSync(WORKSPACE, { recursive: true });
const server = await serve({
  host: "0.0.0.0",
  port: PORT,
  workspace: WORKSPACE,
  version: process.env.SANDBOX_VERSION ?? "unknown",
  commandTimeoutMs: milliseconds("COMMAND_TIMEOUT_MS"),
  codeTimeoutMs: milliseconds("INTERPRETER_EXECUTION_TIMEOUT_MS"),
});

const [program, ...args] = process.argv.slice(2);
const child = program === undefined ? undefined : spawn(program, args, { stdio: "inherit" });
let stopping = false;

child?.on("error", (error) => end(127, error.message));
child?.on("exit", (code, signal) => {
  if (stopping || code === 0) return;
  end(signal ? 128 + constants.signals[signal] : (code ?? 1), `command ended: ${signal ?? code}`);
});
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, async () => {
    if (stopping) return;
    stopping = true;
    child?.kill(signal);
    await server.stop();
    process.exit(0);
  });
}

function end(code: number, reason: string): void {
  process.stderr.write(`sandbox: ${reason}\n`);
  process.exit(code);
}

function milliseconds(name: string): number | undefined {
  const value = Number(process.env[name]);
  return Number.isInteger(value) && value > 0 ? value : undefined;
}
