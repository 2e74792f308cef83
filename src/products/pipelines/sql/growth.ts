/**
 * How much larger than the event a value of a SELECT can become. DuckDB makes every value of a vector before the next step
 * looks at it, in the platform's memory: `v || v` in twenty CTEs, each over the one before, is a million times the event. So
 * it is counted in the syntax tree, before anything runs, how often a value can hold a part of the event, or a text that
 * a function makes. Parts beside each other (two members, two keys of a JSON document) are not held twice.
 *
 * Invariant: a statement that passes makes no value of more than `growth` times its event, and the rolls that it runs on
 * of large events are smaller by as much (`reader.ts`).
 */
import type { SyntaxNode } from "../../../kernel/duckdb/parser.ts";
import { constantOf } from "./constants.ts";
import { functionRule, isJoiner, isMaker } from "./functions.ts";
import { SqlError } from "./sql-error.ts";
import { JSON_OPERATORS } from "./statements.ts";

/** How often a value can hold each part of the event, by the part's path from a column of the stream. */
export type Holding = ReadonlyMap<string, number>;

const PART_MAX = 16;
const MADE_MAX = 8;
/** Stands for what functions make; no path of a part, as columns have names. */
const MADE = "";
const NOTHING: Holding = new Map();
/** Between the steps of a path: in no name. */
const STEP = "\u0000";
/** Marks what was made of parts: its own members are not theirs. */
const BUILT = "\u0001";

export const holdingOnce = (column: string): Holding => new Map([[column, 1]]);

/** What is left of a value when one takes these members or keys of it: of what was made of parts, it may be any of them. */
export const partOf = (holding: Holding, steps: readonly unknown[]): Holding =>
  steps.length === 0 || holding.has(BUILT) ? holding : new Map([...holding].map(([path, times]) => [[path, ...steps].join(STEP), times]));

/** Functions and operators that take a part of their first argument, named by the others. */
const takers = new Set<unknown>([
  JSON_OPERATORS["->"],
  JSON_OPERATORS["->>"],
  ..."json_get json_get_str json_get_int json_get_float json_get_bool json_get_json json_as_text array_element list_element array_extract list_extract".split(
    " ",
  ),
]);

export interface Growth {
  /** What the value of an expression can hold. Throws `SqlError` when that, or a value on the way to it, is too much. */
  of(node: SyntaxNode): Holding;
}

/** `column` gives the holding of a column reference, `onValue` hears of the times of each value. */
export function growth(column: (names: readonly string[]) => Holding, onValue: (times: number) => void): Growth {
  function checked(holding: Holding): Holding {
    for (const path of holding.keys()) {
      if (path === BUILT) continue;
      // What lies at the path is also in everything around it.
      const steps = path.split(STEP);
      const times = steps.reduce((sum, _, i) => sum + (holding.get(steps.slice(0, i + 1).join(STEP)) ?? 0), 0);
      if (path === MADE && times > MADE_MAX)
        throw new SqlError(`a value would join more than ${MADE_MAX} texts or arrays that functions make`);
      if (times > PART_MAX) throw new SqlError(`a value would hold the column "${steps[0]}", or a part of it, more than ${PART_MAX} times`);
      onValue(times);
    }
    return holding;
  }
  const all = (nodes: unknown): Holding[] => ((nodes ?? []) as SyntaxNode[]).map(of);

  function of(node: SyntaxNode): Holding {
    return checked(held(node));
  }

  function held(node: SyntaxNode): Holding {
    switch (node.class) {
      case "COLUMN_REF":
        return column(node.column_names as string[]);
      case "CAST":
        return of(node.child as SyntaxNode);
      case "CASE": {
        const checks = node.case_checks as { when_expr: SyntaxNode; then_expr: SyntaxNode }[];
        for (const check of checks) of(check.when_expr);
        return built(largest([...checks.map((check) => of(check.then_expr)), of(node.else_expr as SyntaxNode)]));
      }
      case "COMPARISON":
        all([node.left, node.right]);
        return NOTHING;
      case "BETWEEN":
        all([node.input, node.lower, node.upper]);
        return NOTHING;
      case "CONJUNCTION":
        all(node.children);
        return NOTHING;
      case "OPERATOR": {
        const parts = all(node.children);
        if (node.type === "ARRAY_CONSTRUCTOR") return built(sum(parts));
        if (node.type === "ARRAY_EXTRACT" || node.type === "STRUCT_EXTRACT") return taken(node.children as SyntaxNode[], parts);
        return /^(COMPARE_|OPERATOR_(NOT|IS_))/.test(String(node.type)) ? NOTHING : built(largest(parts));
      }
      case "FUNCTION": {
        const parts = all(node.children);
        const name = (node.function_name as string).toLowerCase();
        if (takers.has(name)) return taken(node.children as SyntaxNode[], parts);
        const rule = functionRule(name);
        const joined = name === "||" || (rule !== undefined && isJoiner(rule)) ? sum(parts) : largest(parts);
        return built(rule !== undefined && isMaker(rule) ? sum([joined, holdingOnce(MADE)]) : joined);
      }
    }
    return NOTHING;
  }

  /** The part that constants name, else anything of the whole. */
  function taken(nodes: readonly SyntaxNode[], parts: readonly Holding[]): Holding {
    const steps = nodes.slice(1).map(constantOf);
    return steps.every((step) => step !== undefined) ? partOf(parts[0] ?? NOTHING, steps) : largest(parts);
  }

  return { of };
}

const built = (holding: Holding): Holding => (holding.size === 0 ? holding : new Map(holding).set(BUILT, 1));
const merged = (parts: readonly Holding[], merge: (a: number, b: number) => number): Holding => {
  const [first = NOTHING, ...more] = parts;
  if (more.length === 0) return first;
  const result = new Map(first);
  for (const part of more) for (const [name, times] of part) result.set(name, merge(result.get(name) ?? 0, times));
  return result;
};
const sum = (parts: readonly Holding[]): Holding => merged(parts, (a, b) => a + b);
const largest = (parts: readonly Holding[]): Holding => merged(parts, Math.max);
