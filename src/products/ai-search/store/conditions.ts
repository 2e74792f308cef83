/** Conditions on items (`../filter.ts`) as SQL over the table `items`, with every value a parameter. */
import type { SQLInputValue } from "node:sqlite";
import type { FilterCondition, FilterValue } from "../filter.ts";

const COLUMNS: Readonly<Record<string, string>> = { folder: "folder", filename: "key", timestamp: "modified / 1000 * 1000" };
const COMPARE = { eq: "IS", ne: "IS NOT", gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

export interface Sql {
  readonly text: string;
  readonly parameters: readonly SQLInputValue[];
}

const parameter = (value: FilterValue): SQLInputValue => (typeof value === "boolean" ? Number(value) : value);

function termOf({ field, op, values }: FilterCondition): Sql {
  const column = COLUMNS[field];
  const subject: Sql =
    column === undefined ? { text: "json_extract(metadata, ?)", parameters: [`$."${field}"`] } : { text: column, parameters: [] };
  const given = values.map(parameter);
  const list = `(${given.map(() => "?").join(", ")})`;
  switch (op) {
    case "in":
      return { text: `${subject.text} IN ${list}`, parameters: [...subject.parameters, ...given] };
    case "nin":
      // What has no such value is none of them.
      return { text: `coalesce(${subject.text} NOT IN ${list}, 1)`, parameters: [...subject.parameters, ...given] };
    case "prefix":
      return {
        text: `substr(${subject.text}, 1, length(?)) = ?`,
        parameters: [...subject.parameters, ...given, ...given],
      };
    default:
      return { text: `${subject.text} ${COMPARE[op]} ?`, parameters: [...subject.parameters, ...given] };
  }
}

/** An expression that is true for items that meet all of them. Text compares by its UTF-8 bytes. */
export function conditionsSql(conditions: readonly FilterCondition[]): Sql {
  const terms = conditions.map(termOf);
  return { text: terms.map(({ text }) => `(${text})`).join(" AND ") || "1", parameters: terms.flatMap(({ parameters }) => parameters) };
}
