/** DataFusion's functions with regular expressions. Patterns that are literals are checked and translated when the SQL is. */
import { literal } from "../engine.ts";
import { checkFlags, inlineFlags, type Pattern, translatePattern, translateReplacement } from "./pattern.ts";
import { type Argument, bounded, constantRule, constantText, FunctionError, type FunctionTable, GROWN_BYTES_MAX } from "./rule.ts";

interface Call {
  readonly text: string;
  /** The pattern as SQL. */
  readonly pattern: string;
  /** Undefined for a pattern that is no literal. */
  readonly parsed: Pattern | undefined;
  readonly global: boolean;
}

function read(args: readonly Argument[], flagsAt: number, globalAllowed: boolean): Call {
  const given = args[flagsAt] === undefined ? "" : constantText(args[flagsAt], "the flags of a regular expression");
  const global = given.includes("g");
  if (global && !globalAllowed) throw new FunctionError('the flag "g" is only supported by regexp_replace');
  const flags = checkFlags(given.replaceAll("g", ""));
  const [text, pattern] = args as [Argument, Argument];
  if (typeof pattern.constant === "string") {
    const parsed = translatePattern(pattern.constant, flags);
    return { text: text.sql, pattern: literal(parsed.text), parsed, global };
  }
  if (flags.has("x") || flags.has("R")) throw new FunctionError("the flags x and R need a pattern that is a literal");
  const prefix = inlineFlags(flags);
  return { text: text.sql, pattern: prefix === "" ? pattern.sql : `(${literal(prefix)} || ${pattern.sql})`, parsed: undefined, global };
}

export const regexp: FunctionTable = {
  regexp_like: constantRule(2, 3, (args) => {
    const { text, pattern } = read(args, 2, false);
    return `regexp_matches(${text}, ${pattern})`;
  }),
  // The groups of the first match, or the match where there are none.
  regexp_match: constantRule(2, 3, (args) => {
    const { text, pattern, parsed } = read(args, 2, false);
    if (parsed === undefined) throw new FunctionError("the pattern of regexp_match must be a string literal");
    const count = parsed.groups.length;
    const names = Array.from({ length: count }, (_, i) => literal(`g${i}`)).join(", ");
    const found =
      count === 0
        ? `[regexp_extract(${text}, ${pattern})]`
        : `[${Array.from({ length: count }, (_, i) => `struct_extract(regexp_extract(${text}, ${pattern}, [${names}]), 'g${i}')`).join(", ")}]`;
    return `CASE WHEN regexp_matches(${text}, ${pattern}) THEN ${found} END`;
  }),
  regexp_replace: constantRule(3, 4, (args) => {
    const { text, pattern, parsed, global } = read(args, 3, true);
    const by = args[2] as Argument;
    const replacement =
      typeof by.constant === "string"
        ? literal(translateReplacement(by.constant, parsed?.groups ?? Array.from({ length: 9 }, () => undefined)))
        : `regexp_replace(regexp_replace(${by.sql}, '\\\\+([^0-9\\\\]|$)', '\\1', 'g'), '\\$\\{?([0-9])\\}?', '\\\\\\1', 'g')`;
    if (!global) return `regexp_replace(${text}, ${pattern}, ${replacement})`;
    // Once for each character of the text at most; a group that it repeats is two characters and part of the text.
    const size = `(strlen(${text}) + 1) * strlen(${replacement})`;
    return `regexp_replace(${text}, ${pattern}, ${bounded(replacement, size, GROWN_BYTES_MAX)}, 'g')`;
  }),
};
