/** The syntax tree of a query. What has no node here cannot be said. */
export type Expression = Span & Node;

interface Span {
  /** Where it stands in the query. */
  readonly start: number;
  readonly end: number;
}

export type Node =
  | { readonly kind: "number"; readonly text: string }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "column"; readonly name: string }
  | { readonly kind: "interval"; readonly amount: number; readonly unit: Unit }
  | { readonly kind: "negate" | "not"; readonly of: Expression }
  | { readonly kind: "operator"; readonly operator: Operator; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "in"; readonly of: Expression; readonly list: readonly Expression[]; readonly not: boolean }
  | { readonly kind: "between"; readonly of: Expression; readonly low: Expression; readonly high: Expression; readonly not: boolean }
  | { readonly kind: "like"; readonly of: Expression; readonly pattern: Expression; readonly not: boolean; readonly anyCase: boolean }
  | Call;

export interface Call {
  readonly kind: "call";
  readonly name: string;
  /** Of `quantileExactWeighted(0.5)(…)`. */
  readonly parameters: readonly Expression[] | undefined;
  readonly args: readonly Expression[];
  readonly distinct: boolean;
}

export type Operator = "+" | "-" | "*" | "/" | "%" | "=" | "<>" | "<" | ">" | "<=" | ">=" | "AND" | "OR" | "||";

export const units = ["YEAR", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"] as const;
export type Unit = (typeof units)[number];

export interface Item {
  /** Undefined for `*`. */
  readonly of: Expression | undefined;
  readonly alias: string | undefined;
}

export interface Select {
  readonly items: readonly Item[];
  readonly from: { readonly table: string } | { readonly select: Select } | undefined;
  readonly where: Expression | undefined;
  readonly groupBy: readonly Expression[];
  readonly having: Expression | undefined;
  readonly orderBy: readonly { readonly of: Expression; readonly descending: boolean }[];
  readonly limit: number | undefined;
  readonly offset: number;
}

export const formats = ["JSON", "JSONEachRow", "TabSeparated"] as const;
export type Format = (typeof formats)[number];

export interface Query {
  readonly statement: { readonly show: "TABLES" | "TIMEZONES" | "TIMEZONE" } | { readonly select: Select };
  readonly format: Format;
  /** The text that spans point into. */
  readonly text: string;
}
