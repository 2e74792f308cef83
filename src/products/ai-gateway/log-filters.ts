/** Which logs a list or a deletion is about, as SQL: the SDK's parameters and its `filters`. */
import type { SqlValue } from "../../kernel/meta/meta.ts";
import { gatewayError } from "./errors.ts";

export interface Condition {
  readonly sql: string;
  readonly params: readonly SqlValue[];
}

const COLUMNS: Readonly<Record<string, string>> = {
  id: "id",
  created_at: "created_at",
  request_content_type: "request_content_type",
  response_content_type: "response_content_type",
  request_type: "request_type",
  model_type: "request_type",
  success: "success",
  cached: "cached",
  provider: "provider",
  model: "model",
  cost: "cost",
  tokens: "(COALESCE(tokens_in, 0) + COALESCE(tokens_out, 0))",
  tokens_in: "tokens_in",
  tokens_out: "tokens_out",
  duration: "duration",
  feedback: "feedback",
  event_id: "event_id",
  authentication: "authentication",
  user_agent: "user_agent",
  status_code: "status_code",
};
const ORDERS = [
  "created_at",
  "provider",
  "model",
  "model_type",
  "success",
  "cached",
  "cost",
  "tokens_in",
  "tokens_out",
  "duration",
  "feedback",
];

interface Filter {
  readonly key: string;
  readonly operator: string;
  readonly value: readonly unknown[];
}

/** The condition of all parameters together; ends with nothing that must follow. */
export function conditionOf(query: URLSearchParams): Condition {
  const parts: Condition[] = [];
  for (const name of [
    "provider",
    "model",
    "model_type",
    "success",
    "cached",
    "feedback",
    "request_content_type",
    "response_content_type",
  ]) {
    const value = query.get(name);
    if (value !== null) parts.push(comparison({ key: name, operator: "eq", value: [value] }));
  }
  for (const name of ["cost", "duration", "tokens_in", "tokens_out"]) parts.push(...range(COLUMNS[name] as string, name, query));
  parts.push(...range(COLUMNS.tokens as string, "total_tokens", query));
  for (const [name, operator] of [
    ["start_date", ">="],
    ["end_date", "<="],
  ] as const) {
    const value = query.get(name);
    if (value !== null) parts.push({ sql: `created_at ${operator} ?`, params: [timeOf(value)] });
  }
  const search = query.get("search");
  if (search !== null) {
    const pattern = `%${search.replace(/[\\%_]/g, "\\$&")}%`;
    const columns = ["id", "provider", "model", "path", "metadata"];
    parts.push({
      sql: `(${columns.map((column) => `${column} LIKE ? ESCAPE '\\'`).join(" OR ")})`,
      params: columns.map(() => pattern),
    });
  }
  parts.push(...filtersOf(query).map(comparison));
  return {
    sql: parts.length === 0 ? "1 = 1" : parts.map(({ sql }) => sql).join(" AND "),
    params: parts.flatMap(({ params }) => params),
  };
}

/** "created_at DESC", or as the request says. */
export function orderOf(query: URLSearchParams): string {
  const column = ORDERS.find((name) => name === query.get("order_by")) ?? "created_at";
  const direction = (query.get("order_by_direction") ?? query.get("direction")) === "asc" ? "ASC" : "DESC";
  return `${COLUMNS[column] ?? column} ${direction}, id ${direction}`;
}

function range(column: string, name: string, query: URLSearchParams): Condition[] {
  return (["min", "max"] as const).flatMap((end) => {
    const value = query.get(`${end}_${name}`);
    return value === null ? [] : [{ sql: `${column} ${end === "min" ? ">=" : "<="} ?`, params: [Number(value)] }];
  });
}

/** `filters` as JSON, or as the SDK writes it: each `filters.key` begins the next filter. */
function filtersOf(query: URLSearchParams): Filter[] {
  const json = query.get("filters");
  if (json !== null) {
    try {
      return (JSON.parse(json) as Filter[]).map(({ key, operator, value }) => ({ key, operator, value: [value].flat() }));
    } catch (cause) {
      throw gatewayError("invalidConfig", "filters: must be a JSON array", { cause });
    }
  }
  const filters: { key: string; operator: string; value: string[] }[] = [];
  for (const [name, value] of query) {
    const last = filters.at(-1);
    if (/^filters(\[\d*\])?[.[]key\]?$/.test(name)) filters.push({ key: value, operator: "eq", value: [] });
    else if (last !== undefined && /[.[]operator\]?$/.test(name)) last.operator = value;
    else if (last !== undefined && /^filters.*[.[]value(\])?(\[\d*\])?$/.test(name)) last.value.push(value);
  }
  return filters;
}

function comparison({ key, operator, value }: Filter): Condition {
  if (key === "metadata.key" || key === "metadata.value") {
    const column = key === "metadata.key" ? "entry.key" : "CAST(entry.value AS TEXT)";
    const inner = oneOf(column, operator, value.map(String));
    const exists = `EXISTS (SELECT 1 FROM json_each(metadata) AS entry WHERE ${inner.sql})`;
    return { sql: `(metadata IS NOT NULL AND ${exists})`, params: inner.params };
  }
  const column = COLUMNS[key];
  if (column === undefined) throw gatewayError("invalidConfig", `filters: "${key.slice(0, 50)}" is no key of logs`);
  return oneOf(
    column,
    operator,
    value.map((one) => sqlValue(key, one)),
  );
}

function oneOf(column: string, operator: string, values: readonly SqlValue[]): Condition {
  if (values.length === 0) throw gatewayError("invalidConfig", "filters: value must not be empty");
  const places = values.map(() => "?").join(", ");
  switch (operator) {
    case "eq":
      return { sql: `${column} IN (${places})`, params: values };
    case "neq":
      return { sql: `(${column} IS NULL OR ${column} NOT IN (${places}))`, params: values };
    case "contains":
      return {
        sql: `(${values.map(() => `instr(lower(CAST(${column} AS TEXT)), lower(?)) > 0`).join(" OR ")})`,
        params: values.map(String),
      };
    case "lt":
    case "gt":
      return { sql: `${column} ${operator === "lt" ? "<" : ">"} ?`, params: [values[0] as SqlValue] };
    default:
      throw gatewayError("invalidConfig", `filters: "${operator.slice(0, 50)}" is no operator`);
  }
}

const NUMBERS = ["cost", "tokens", "tokens_in", "tokens_out", "duration", "feedback", "status_code"];
const FLAGS = ["success", "cached", "authentication"];

function sqlValue(key: string, value: unknown): SqlValue {
  if (key === "created_at") return timeOf(String(value));
  if (FLAGS.includes(key)) return String(value) === "true" || String(value) === "1" ? 1 : 0;
  return NUMBERS.includes(key) ? Number(value) : String(value);
}

function timeOf(text: string): number {
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw gatewayError("invalidConfig", `"${text.slice(0, 50)}" is no date`);
  return time;
}
