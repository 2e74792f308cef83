/**
 * How a function of DataFusion's dialect is written in DuckDB's SQL. The tables beside this file hold the rules by group;
 * products pick from them what their documentation has. Not a dialect: names that a product does not list do not exist.
 *
 * Invariant: a rule's SQL works on whole vectors, and is bounded: no argument can make it ask for unbounded memory. What
 * DataFusion refuses while running (a value out of range, a text that is no date) is NULL, or fails in DuckDB.
 */
import type { DuckDBType } from "@duckdb/node-api";

/** The value of a literal. Integers are bigint. */
export type Constant = string | number | bigint | boolean | null | readonly Constant[];

export interface Argument {
  /** A name, a literal, a call or in parentheses: it can stand anywhere. */
  readonly sql: string;
  /** Undefined for everything but literals. */
  readonly constant?: Constant | undefined;
  /** Known where the rule is `typed`. */
  readonly type?: DuckDBType | undefined;
}

export interface FunctionRule {
  /** Least and most arguments. */
  readonly min: number;
  readonly max: number;
  /** The rule looks at the types of its arguments. */
  readonly typed: boolean;
  /** Throws `FunctionError` for arguments that it can refuse without running. */
  sql(args: readonly Argument[]): string;
}

export type FunctionTable = Readonly<Record<string, FunctionRule>>;

/** Arguments that a function cannot take; the text is for the user. */
export class FunctionError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "FunctionError";
  }
}

/** `max` of functions with any number of arguments. */
export const MANY = 255;

export const rule = (min: number, max: number, sql: (...args: string[]) => string): FunctionRule => ({
  min,
  max,
  typed: false,
  sql: (args) => sql(...args.map((arg) => arg.sql)),
});

/** A rule that looks at literals. */
export const constantRule = (min: number, max: number, sql: (args: readonly Argument[]) => string): FunctionRule => ({
  min,
  max,
  typed: false,
  sql,
});

/** A rule that looks at literals and types. */
export const typedRule = (min: number, max: number, sql: (args: readonly TypedArgument[]) => string): FunctionRule => ({
  min,
  max,
  typed: true,
  sql: (args) => sql(args as readonly TypedArgument[]),
});

export type TypedArgument = Argument & { readonly type: DuckDBType };

/** DuckDB's function of that name. */
export const same = (name: string, min: number, max = min): FunctionRule => rule(min, max, (...args) => `${name}(${args.join(", ")})`);

/** The text of a literal argument. `what` names it in the refusal of anything else. */
export function constantText(arg: Argument | undefined, what: string): string {
  if (typeof arg?.constant !== "string") throw new FunctionError(`${what} must be a string literal`);
  return arg.constant;
}

export const asDouble = (sql: string): string => `CAST(${sql} AS DOUBLE)`;
export const asInteger = (sql: string): string => `CAST(${sql} AS INTEGER)`;
export const asBigint = (sql: string): string => `CAST(${sql} AS BIGINT)`;

/** Elements that one call may make, and bytes of one text: past them the result is NULL. */
export const ELEMENTS_MAX = 1_000_000;
export const TEXT_BYTES_MAX = 1024 * 1024;
/** Bytes that a text may grow to when parts of it are replaced or joined. */
export const GROWN_BYTES_MAX = 64 * 1024 * 1024;

/** The size, or NULL when `cost` is past the bound. DuckDB evaluates arguments before conditions around a call, so the bound is part of the argument. */
export const bounded = (size: string, cost: string, max: number): string => `CASE WHEN ${cost} <= ${max} THEN ${size} END`;

/** `value` once, under a name, for a body that needs it more than once or inside a lambda. */
export const withValue = (value: string, name: string, body: string): string => `list_transform([${value}], lambda ${name}: ${body})[1]`;
