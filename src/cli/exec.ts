/** `freehold exec` and `freehold env`: an unchanged client against the running platform. */
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { type Args, CliError, type Command, usageError } from "./command.ts";
import { DEFAULT_DATA_DIRECTORY, runningPlatform } from "./data-directory.ts";
import { clientEnvironment, removedVariables } from "./environment.ts";
import { dataFlag } from "./flags.ts";
import { print } from "./terminal.ts";

/** What a shell answers for a command that it cannot find, and for one that it cannot run. */
const EXIT_NOT_FOUND = 127;
const EXIT_NOT_EXECUTABLE = 126;

const FORWARDED: readonly NodeJS.Signals[] = ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH"];
/** A terminal sends these to the whole foreground group, so the command has them already. */
const FROM_TERMINAL: ReadonlySet<NodeJS.Signals> = new Set(["SIGINT", "SIGQUIT", "SIGWINCH"]);

export const exec: Command = {
  name: "exec",
  summary: "run a command against the running platform",
  positionals: "-- CMD [ARGS…]",
  details:
    "CMD gets addresses, credentials and a proxy in its environment, so that wrangler, the SDKs, S3 and Iceberg clients reach this platform without a change. Its input, output, signals and exit code pass through.",
  flags: { data: dataFlag },
  passthrough: true,
  async run(args: Args): Promise<number> {
    const [command, ...rest] = args.rest;
    if (command === undefined) throw usageError("`freehold exec` needs a command: freehold exec -- wrangler deploy");
    const ready = runningPlatform(args.text("data") ?? DEFAULT_DATA_DIRECTORY);
    const env: NodeJS.ProcessEnv = { ...process.env };
    for (const name of removedVariables) delete env[name];
    Object.assign(env, clientEnvironment(ready, process.env));
    return runToEnd(command, rest, env);
  },
};

/** Runs the command, passing signals on until it ends; resolves with its exit code as a shell would give it. */
function runToEnd(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let child: ChildProcess | undefined;
  // Before the command exists: a signal that comes while it starts must reach it, not end us alone.
  const handlers = FORWARDED.map((signal) => {
    const handler = (): void => {
      if (!(process.stdin.isTTY && FROM_TERMINAL.has(signal))) child?.kill(signal);
    };
    process.on(signal, handler);
    return [signal, handler] as const;
  });
  child = spawn(command, args, { stdio: "inherit", env });
  child.once("error", (cause: NodeJS.ErrnoException) => {
    const missing = cause.code === "ENOENT";
    reject(
      new CliError(missing ? `Cannot find the command ${command}; is it installed?` : `Cannot run ${command}: ${cause.message}.`, {
        cause,
        exitCode: missing ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE,
      }),
    );
  });
  child.once("exit", (code, signal) => {
    for (const [name, handler] of handlers) process.off(name, handler);
    resolve(signal === null ? (code as number) : 128 + constants.signals[signal]);
  });
  return promise;
}

export const env: Command = {
  name: "env",
  summary: "print that environment as shell exports",
  details: 'Use it with eval "$(freehold env)". What it prints holds credentials.',
  flags: { data: dataFlag },
  async run(args: Args): Promise<number> {
    const ready = runningPlatform(args.text("data") ?? DEFAULT_DATA_DIRECTORY);
    const lines = removedVariables.filter((name) => process.env[name] !== undefined).map((name) => `unset ${name}`);
    for (const [name, value] of Object.entries(clientEnvironment(ready, process.env))) lines.push(`export ${name}=${shellQuote(value)}`);
    print(lines.join("\n"));
    return 0;
  },
};

/** A word for any POSIX shell. */
function shellQuote(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}
