/**
 * A command of the command line as a value: its flags, its help and what it does. Parsing is strict: an unknown flag
 * is refused with the nearest known one named. Not here: any command's own work.
 */
import { nearest } from "../kernel/nearest.ts";

/** One flag. `value` is the placeholder in the help; a flag without one is a switch. */
export interface Flag {
  readonly doc: string;
  readonly value?: string;
  /** May be given more than once. */
  readonly repeat?: boolean;
}

export interface Command {
  /** "up", "token create". */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What follows the flags: "-- CMD [ARGS…]". */
  readonly positionals?: string;
  /** Where more than the summary is worth saying. */
  readonly details?: string;
  readonly flags: Readonly<Record<string, Flag>>;
  /** Everything from the first positional on belongs to another program and is not parsed. */
  readonly passthrough?: boolean;
  /** Resolves with the exit code. */
  run(args: Args): Promise<number>;
}

/** Parsed flags and positionals of one command. */
export interface Args {
  /** The flag's last value. */
  text(flag: string): string | undefined;
  all(flag: string): readonly string[];
  has(flag: string): boolean;
  readonly rest: readonly string[];
}

/** The command line itself is wrong: exit code 2. The text says what to type instead. */
export const EXIT_USAGE = 2;

/** A failure that the person at the terminal can act on: one plain sentence with the next step, never a stack trace. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(message: string, options: ErrorOptions & { exitCode?: number } = {}) {
    super(message, options);
    this.exitCode = options.exitCode ?? 1;
  }
}

export const usageError = (message: string): CliError => new CliError(message, { exitCode: EXIT_USAGE });

/** Parses the words after the command's name. Throws a usage error. */
export function parseArgs(command: Command, words: readonly string[]): Args {
  const values = new Map<string, string[]>();
  const rest: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string;
    if (word === "--") {
      rest.push(...words.slice(i + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      if (command.passthrough) {
        rest.push(...words.slice(i));
        break;
      }
      rest.push(word);
      continue;
    }
    const equals = word.indexOf("=");
    const name = (equals < 0 ? word : word.slice(0, equals)).replace(/^--?/, "");
    const flag = Object.hasOwn(command.flags, name) && word.startsWith("--") ? command.flags[name] : undefined;
    if (flag === undefined) throw unknownFlag(command, equals < 0 ? word : word.slice(0, equals));
    const seen = values.get(name) ?? [];
    if (seen.length > 0 && !flag.repeat) throw usageError(`--${name} is given twice; give it once.`);
    if (flag.value === undefined) {
      if (equals >= 0) throw usageError(`--${name} takes no value.`);
      values.set(name, [""]);
      continue;
    }
    const value = equals < 0 ? words[++i] : word.slice(equals + 1);
    if (value === undefined || value === "" || (equals < 0 && value.startsWith("--"))) {
      throw usageError(`--${name} needs a value: --${name} ${flag.value}.`);
    }
    values.set(name, [...seen, value]);
  }
  if (rest.length > 0 && command.positionals === undefined) {
    throw usageError(`\`freehold ${command.name}\` takes no argument "${rest[0]}"; see \`freehold ${command.name} --help\`.`);
  }
  return {
    text: (flag) => values.get(flag)?.at(-1),
    all: (flag) => values.get(flag) ?? [],
    has: (flag) => values.has(flag),
    rest,
  };
}

function unknownFlag(command: Command, word: string): CliError {
  const known = nearest(word.replace(/^-+/, ""), [...Object.keys(command.flags), "help"]);
  return usageError(`Unknown flag ${word} of \`freehold ${command.name}\`. Did you mean --${known}?`);
}
