/**
 * How much larger than the event a value of a SELECT can become. DuckDB makes every value of a vector before the next step
 * looks at it, in the platform's memory: `v || v` in twenty CTEs, each over the one before, is a million times the event. So
 * it is counted in the syntax tree, before anything runs, how often a value can hold a column of the stream, or a text that
 * a function makes.
 *
 * Invariant: a statement that passes makes no value of more than `growth` times its event, and the rolls that it runs on
 * of large events are smaller by as much (`reader.ts`).
 */
import type { SyntaxNode } from "../../../kernel/duckdb/parser.ts";
import { functionRule, isJoiner, isMaker } from "./functions.ts";
import { SqlError } from "./sql-error.ts";

/** How often a value can hold each column of the stream; `MADE` stands for what functions make. */
export type Holding = ReadonlyMap<string, number>;

const COLUMN_MAX = 16;
const MADE_MAX = 8;
/** No name of a column: those are not empty. */
const MADE = "";
const NOTHING: Holding = new Map();

export const holdingOnce = (column: string): Holding => new Map([[column, 1]]);

export interface Growth {
  /** What the value of an expression can hold. Throws `SqlError` when that, or a value on the way to it, is too much. */
  of(node: SyntaxNode): Holding;
}

/** `column` gives the holding of a column reference, `onValue` hears of the times of each value. */
export function growth(column: (names: readonly string[]) => Holding, onValue: (times: number) => void): Growth {
  function checked(holding: Holding): Holding {
    for (const [name, times] of holding) {
      if (name === MADE && times > MADE_MAX)
        throw new SqlError(`a value would join more than ${MADE_MAX} texts or arrays that functions make`);
      if (times > COLUMN_MAX) throw new SqlError(`a value would hold the column "${name}" more than ${COLUMN_MAX} times`);
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
        return largest([...checks.map((check) => of(check.then_expr)), of(node.else_expr as SyntaxNode)]);
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
        if (node.type === "ARRAY_CONSTRUCTOR") return sum(parts);
        return /^(COMPARE_|OPERATOR_(NOT|IS_))/.test(String(node.type)) ? NOTHING : largest(parts);
      }
      case "FUNCTION": {
        const parts = all(node.children);
        const name = (node.function_name as string).toLowerCase();
        const rule = functionRule(name);
        const joined = name === "||" || (rule !== undefined && isJoiner(rule)) ? sum(parts) : largest(parts);
        return rule !== undefined && isMaker(rule) ? sum([joined, holdingOnce(MADE)]) : joined;
      }
    }
    return NOTHING;
  }

  return { of };
}

const merged = (parts: readonly Holding[], merge: (a: number, b: number) => number): Holding => {
  const [first = NOTHING, ...more] = parts;
  if (more.length === 0) return first;
  const result = new Map(first);
  for (const part of more) for (const [name, times] of part) result.set(name, merge(result.get(name) ?? 0, times));
  return result;
};
const sum = (parts: readonly Holding[]): Holding => merged(parts, (a, b) => a + b);
const largest = (parts: readonly Holding[]): Holding => merged(parts, Math.max);
