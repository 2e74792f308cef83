/** The command line: finds the command, parses its flags, runs it. Started by bin/freehold.mjs. */
import { nearest } from "../kernel/nearest.ts";
import { CliError, type Command, parseArgs, usageError } from "./command.ts";
import { dash } from "./dash.ts";
import { doctor } from "./doctor.ts";
import { env, exec } from "./exec.ts";
import { commandHelp, generalHelp, version } from "./help.ts";
import { productCommands } from "./products/commands.ts";
import { status } from "./status.ts";
import { print } from "./terminal.ts";
import { tokenCommands } from "./token.ts";
import { up } from "./up.ts";

const commands: readonly Command[] = [up, exec, env, status, dash, ...tokenCommands, ...productCommands, doctor];

async function main(words: readonly string[]): Promise<number> {
  const [first] = words;
  if (first === undefined || first === "help" || first === "--help" || first === "-h") {
    const topic = commands.find((command) => command.name === words.slice(1).join(" "));
    print(topic === undefined ? generalHelp(commands) : commandHelp(topic));
    return 0;
  }
  if (first === "--version" || first === "-v" || first === "version") {
    print(version());
    return 0;
  }
  const command = find(words);
  const rest = words.slice(command.name.split(" ").length);
  // Past "--", and past the first word that `exec` hands on, --help is the other program's.
  const end = rest.findIndex((word) => word === "--" || (command.passthrough === true && !word.startsWith("-")));
  if ((end < 0 ? rest : rest.slice(0, end)).some((word) => word === "--help" || word === "-h")) {
    print(commandHelp(command));
    return 0;
  }
  return command.run(parseArgs(command, rest));
}

function find(words: readonly string[]): Command {
  const [first, second] = words as [string, string | undefined];
  const command = commands.find(({ name }) => name === first || name === `${first} ${second}`);
  if (command !== undefined) return command;
  const inGroup = commands.filter(({ name }) => name.startsWith(`${first} `)).map(({ name }) => name);
  if (inGroup.length > 0) {
    const near = second === undefined ? undefined : nearest(`${first} ${second}`, inGroup);
    throw usageError(
      near === undefined
        ? `\`freehold ${first}\` needs one of: ${inGroup.map((name) => name.slice(first.length + 1)).join(", ")}.`
        : `Unknown command "${first} ${second}". Did you mean \`freehold ${near}\`?`,
    );
  }
  if (first.startsWith("-")) throw usageError(`The command comes first: freehold up ${first} …; see \`freehold --help\`.`);
  throw usageError(
    `Unknown command "${first}". Did you mean \`freehold ${nearest(
      first,
      commands.map(({ name }) => name),
    )}\`?`,
  );
}

// Whoever reads what is printed may stop before its end, as `head` does. The platform goes on; a command has nobody left to tell.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  if (process.argv[2] !== up.name) process.exit();
});

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const known = error instanceof CliError;
  process.stderr.write(`freehold: ${known ? error.message : `unexpected failure: ${describe(error)}`}\n`);
  process.exitCode = known ? error.exitCode : 1;
}

/** The chain of causes in one line; the stack only for those who ask for it. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (process.env.DEBUG !== undefined) return error.stack ?? error.message;
  return error.cause instanceof Error ? `${error.message}: ${describe(error.cause)}` : error.message;
}
