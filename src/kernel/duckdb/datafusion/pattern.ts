/**
 * Regular expressions of Rust's `regex` crate, which DataFusion uses, as RE2's, which DuckDB uses. Both run in linear time
 * and have neither look-around nor back-references; they differ in spelling, and in Rust's classes being Unicode's. What
 * RE2 cannot say is refused by name.
 */
import { FunctionError } from "./rule.ts";

export interface Pattern {
  /** For RE2, with its flags in front. */
  readonly text: string;
  /** Names of the capturing groups in order; undefined for groups without a name. */
  readonly groups: readonly (string | undefined)[];
}

/** Rust's flags of a call, without "g". Throws `FunctionError` for one that it does not know. */
export function checkFlags(flags: string): Set<string> {
  for (const flag of flags)
    if (!"imsRUxu".includes(flag)) throw new FunctionError(`unknown regular expression flag '${flag}': use i, m, s, R, U or x`);
  return new Set(flags);
}

/** Flags that RE2 has itself, as a group in front of a pattern. */
export const inlineFlags = (flags: ReadonlySet<string>): string => {
  const own = [...flags].filter((flag) => "imsU".includes(flag)).join("");
  return own === "" ? "" : `(?${own})`;
};

const PATTERN_MAX = 10_000;
/** Members of Unicode's classes, to be put between brackets. */
const classes: Readonly<Record<string, string>> = {
  d: "\\p{Nd}",
  w: "\\p{L}\\p{M}\\p{N}\\p{Pc}\\x{200C}\\x{200D}",
  s: "\\t\\n\\v\\f\\r \\x{85}\\p{Z}",
};

/** Translates a pattern. Whether RE2 takes the result is for the engine to say. */
export function translatePattern(source: string, flags: ReadonlySet<string>): Pattern {
  if (source.length > PATTERN_MAX) throw new FunctionError(`a regular expression may have at most ${PATTERN_MAX} characters`);
  const reader = new PatternReader(source, flags);
  const text = reader.translate();
  return { text: inlineFlags(flags) + text, groups: reader.groups };
}

class PatternReader {
  readonly groups: (string | undefined)[] = [];
  readonly #source: string;
  readonly #verbose: boolean;
  readonly #crlf: boolean;
  readonly #multiline: boolean;
  readonly #dotAll: boolean;
  #at = 0;

  constructor(source: string, flags: ReadonlySet<string>) {
    this.#source = source;
    this.#verbose = flags.has("x");
    this.#crlf = flags.has("R");
    this.#multiline = flags.has("m");
    this.#dotAll = flags.has("s");
  }

  translate(): string {
    let out = "";
    while (this.#at < this.#source.length) out += this.#one();
    return out;
  }

  #one(): string {
    const char = this.#source[this.#at] as string;
    switch (char) {
      case "\\":
        return this.#escape(false);
      case "[":
        return this.#class();
      case "(":
        return this.#group();
      case ".":
        this.#at++;
        return this.#crlf && !this.#dotAll ? "[^\\r\\n]" : ".";
      case "^":
      case "$":
        if (this.#crlf && this.#multiline)
          throw new FunctionError(`the flags m and R with '${char}' in a regular expression are not supported`);
        break;
      case "#":
        if (this.#verbose) {
          const end = this.#source.indexOf("\n", this.#at);
          this.#at = end < 0 ? this.#source.length : end + 1;
          return "";
        }
        break;
    }
    this.#at++;
    return this.#verbose && /\s/.test(char) ? "" : char;
  }

  #escape(inClass: boolean): string {
    const char = this.#source[this.#at + 1];
    if (char === undefined) throw new FunctionError("regular expression: incomplete escape at the end");
    this.#at += 2;
    const members = classes[char.toLowerCase()];
    if (members !== undefined) {
      if (char === char.toLowerCase()) return inClass ? members : `[${members}]`;
      if (inClass) throw new FunctionError(`regular expression: \\${char} inside of brackets is not supported`);
      return `[^${members}]`;
    }
    if (/[1-9]/.test(char)) throw new FunctionError("regular expression: backreferences are not supported");
    if (char === "u" || char === "U" || char === "x") return this.#codePoint(char);
    if (char === "b" && this.#source[this.#at] === "{") throw new FunctionError("regular expression: \\b{…} is not supported");
    if (char === "<" || char === ">") throw new FunctionError(`regular expression: \\${char} is not supported`);
    // Any other escaped punctuation stands for itself; in verbose patterns so does a space.
    return /[\s#&~@%"'`,:;=!/_-]/.test(char) ? (inClass && char === "-" ? "\\-" : char) : `\\${char}`;
  }

  #codePoint(kind: string): string {
    const digits = kind === "x" ? 2 : kind === "u" ? 4 : 8;
    const rest = this.#source.slice(this.#at);
    const match = /^\{([0-9a-fA-F]{1,8})\}/.exec(rest) ?? new RegExp(`^([0-9a-fA-F]{${digits}})`).exec(rest);
    if (match === null) throw new FunctionError(`regular expression: invalid \\${kind} escape`);
    this.#at += match[0].length;
    return `\\x{${match[1]}}`;
  }

  #group(): string {
    const rest = this.#source.slice(this.#at);
    if (/^\(\?<?[=!]/.test(rest))
      throw new FunctionError("regular expression: look-around, including look-ahead and look-behind, is not supported");
    const named = /^\(\?P?<([\p{L}_][\p{L}\p{N}_.[\]]*)>/u.exec(rest);
    if (named !== null) {
      this.groups.push(named[1]);
      this.#at += named[0].length;
      // By number alone: RE2 knows fewer names.
      return "(";
    }
    const inline = /^\(\?([a-zA-Z]*)(?:-([a-zA-Z]*))?([:)])/.exec(rest);
    if (inline !== null) {
      const letters = `${inline[1]}${inline[2] ?? ""}`.replaceAll("u", "");
      const unknown = [...letters].find((letter) => !"imsU".includes(letter));
      if (unknown !== undefined) throw new FunctionError(`regular expression: the flag ${unknown} is only supported as an argument`);
      this.#at += inline[0].length;
      return inline[0].replaceAll("u", "");
    }
    if (rest.startsWith("(?")) throw new FunctionError(`regular expression: unrecognized group ${rest.slice(0, 3)}`);
    this.groups.push(undefined);
    this.#at++;
    return "(";
  }

  #class(): string {
    let out = "[";
    this.#at++;
    if (this.#source[this.#at] === "^") {
      out += "^";
      this.#at++;
    }
    // A bracket right at the beginning stands for itself.
    if (this.#source[this.#at] === "]") {
      out += "\\]";
      this.#at++;
    }
    while (this.#at < this.#source.length) {
      const char = this.#source[this.#at] as string;
      const rest = this.#source.slice(this.#at, this.#at + 2);
      if (rest === "&&" || rest === "--" || rest === "~~")
        throw new FunctionError(`regular expression: ${rest} inside of brackets (set operations) is not supported`);
      if (char === "]") {
        this.#at++;
        return `${out}]`;
      }
      if (char === "[") {
        const named = /^\[:\^?[a-z]+:\]/.exec(this.#source.slice(this.#at));
        if (named === null) throw new FunctionError("regular expression: brackets inside of brackets are not supported");
        out += named[0];
        this.#at += named[0].length;
      } else if (char === "\\") out += this.#escape(true);
      else {
        if (!this.#verbose || !/\s/.test(char)) out += char;
        this.#at++;
      }
    }
    throw new FunctionError("regular expression: unclosed character class");
  }
}

/**
 * A replacement as RE2 writes it. DataFusion takes `\1` as well as Rust's `$1`, `${1}` and `$name`; a group that does not
 * exist is empty.
 */
export function translateReplacement(source: string, groups: readonly (string | undefined)[]): string {
  return source.replace(/\\(\d*)|\$\$|\$\{([^}]*)\}|\$([0-9A-Za-z_]+)/g, (match, digits?: string, braced?: string, bare?: string) => {
    if (match === "$$") return "$";
    // A backslash without a number is how texts are escaped twice.
    const name = digits ?? braced ?? bare ?? "";
    if (name === "") return "";
    const number = /^\d+$/.test(name) ? Number(name) : groups.indexOf(name) + 1 || -1;
    if (number < 0 || number > groups.length) return "";
    if (number > 9) throw new FunctionError("a replacement can only name the first 9 groups of a regular expression");
    return `\\${number}`;
  });
}
