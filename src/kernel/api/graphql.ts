/**
 * The GraphQL Analytics API (POST /graphql): `viewer.accounts(filter: {accountTag}).<dataset>(filter, limit, orderBy)`.
 * Products offer datasets of dated facts; filtering, grouping by the dimensions that a query selects, summing and
 * ordering are here. What is not there is refused by name, never answered with zeros.
 */
import { type Field, GraphqlSyntaxError, parseDocument, type Value } from "../../protocols/graphql/parse.ts";
import type { Clock } from "../clock.ts";
import type { Dataset, Fact, RequestContext, Route } from "../product.ts";
import type { Principal } from "./tokens.ts";

const BODY_MAX_BYTES = 256 * 1024;
const DAY_MS = 86_400_000;
/** The longest window of the real service's datasets. */
const KEEP_MS = 31 * DAY_MS;
const LIMIT_MAX = 10_000;
const LIMIT_DEFAULT = 10_000;

interface Options {
  readonly datasets: Readonly<Record<string, Dataset>>;
  readonly accountId: string;
  readonly clock: Clock;
}

/** A mistake in the query: its text is the answer's. */
class QueryError extends Error {}

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
type Scope = Readonly<Record<string, Json>>;

export function graphqlRoute(options: Options): Route {
  return {
    op: "graphql.query",
    method: "POST",
    path: "/graphql",
    permission: [],
    async handle(context) {
      try {
        return Response.json({ data: await execute(context, options), errors: null });
      } catch (error) {
        if (!(error instanceof QueryError || error instanceof GraphqlSyntaxError)) throw error;
        const extensions = { timestamp: new Date(options.clock.now()).toISOString() };
        return Response.json({ data: null, errors: [{ message: error.message, path: null, extensions }] });
      }
    },
  };
}

async function execute(context: RequestContext, options: Options): Promise<Json> {
  const body = (await context.json({ parse: (value: unknown) => value }, BODY_MAX_BYTES)) as {
    query?: unknown;
    operationName?: unknown;
    variables?: Scope;
  } | null;
  if (typeof body?.query !== "string") throw new QueryError("the request has no query");
  const operations = parseDocument(body.query);
  const operation = operations.find(({ name }) => !body.operationName || name === body.operationName);
  if (operation === undefined) throw new QueryError(`unknown operation "${String(body.operationName)}"`);
  const defaults = Object.entries(operation.defaults).map(([name, value]) => [name, plain(value, {})]);
  const scope: Scope = { ...Object.fromEntries(defaults), ...body.variables };
  const answer: Record<string, Json> = {};
  for (const field of operation.selection) {
    if (field.name !== "viewer") throw unknown(field);
    answer[field.key] = await viewer(field, scope, context.principal, options);
  }
  return answer;
}

async function viewer(field: Field, scope: Scope, principal: Principal, options: Options): Promise<Json> {
  const answer: Record<string, Json> = {};
  for (const part of field.selection) {
    if (part.name !== "accounts") throw unknown(part);
    const { filter } = argumentsOf(part, scope);
    const tag = isObject(filter) ? filter.accountTag : undefined;
    if (tag !== undefined && tag !== options.accountId) throw new QueryError("not authorized for that account");
    const account: Record<string, Json> = {};
    for (const set of part.selection) account[set.key] = await dataset(set, scope, principal, options);
    answer[part.key] = [account];
  }
  return answer;
}

async function dataset(field: Field, scope: Scope, principal: Principal, { datasets, clock }: Options): Promise<Json> {
  const found = Object.hasOwn(datasets, field.name) ? datasets[field.name] : undefined;
  if (found === undefined)
    throw new QueryError(`unknown field "${field.name}": this dataset is not implemented by this version of Freehold`);
  if (!found.permission.some((group) => principal.can(group))) throw new QueryError(`not authorized for dataset "${field.name}"`);
  const { filter, limit, orderBy } = argumentsOf(field, scope);
  const condition = isObject(filter) ? filter : {};
  const now = clock.now();
  const facts = await found.facts(windowOf(condition, { from: now - KEEP_MS, to: now }));
  const kept = facts
    .map((fact) => ({ ...fact, dimensions: { ...timesOf(fact.time), ...fact.dimensions } }))
    .filter((f) => matches(f, condition));
  const rows = field.name.endsWith("Groups")
    ? groups(kept, field.selection)
    : kept.map((fact) => ({ ...fact.dimensions, ...counts(fact) }));
  const ordered = order(rows, orderBy);
  const count = typeof limit === "number" ? Math.max(0, Math.min(limit, LIMIT_MAX)) : LIMIT_DEFAULT;
  return ordered.slice(0, count).map((row) => project(row, field.selection));
}

// --- time ---------------------------------------------------------------------------------------------------

const UNITS: Readonly<Record<string, number>> = {
  date: DAY_MS,
  datetimeHour: 3_600_000,
  datetimeFifteenMinutes: 900_000,
  datetimeFiveMinutes: 300_000,
  datetimeMinute: 60_000,
  datetime: 1_000,
};

/** The dimensions that every dataset has by its facts' times. */
function timesOf(time: number): Record<string, string> {
  return Object.fromEntries(
    Object.entries(UNITS).map(([name, unit]) => {
      const iso = new Date(Math.floor(time / unit) * unit).toISOString();
      return [name, name === "date" ? iso.slice(0, 10) : `${iso.slice(0, 19)}Z`];
    }),
  );
}

/** The window that conditions on time leave; wider than exact, because `matches` decides. */
function windowOf(filter: Scope, window: { from: number; to: number }): { from: number; to: number } {
  let { from, to } = window;
  for (const [name, value] of Object.entries(filter)) {
    if (name === "AND" && Array.isArray(value)) {
      for (const part of value) if (isObject(part)) ({ from, to } = windowOf(part, { from, to }));
      continue;
    }
    const [, field = "", operator] = /^(.*?)(?:_(geq|gt|leq|lt))?$/.exec(name) ?? [];
    const unit = UNITS[field];
    if (unit === undefined || value === null) continue;
    const at = timeOf(value, name);
    if (operator !== "leq" && operator !== "lt") from = Math.max(from, at);
    if (operator !== "geq" && operator !== "gt") to = Math.min(to, at + unit);
  }
  return { from, to };
}

function timeOf(value: Json | undefined, name: string): number {
  const time = typeof value === "string" ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time)) throw new QueryError(`"${String(value)}" is not a time (${name})`);
  return time;
}

// --- filters ------------------------------------------------------------------------------------------------

const OPERATORS: Readonly<Record<string, (order: number) => boolean>> = {
  geq: (order) => order >= 0,
  gt: (order) => order > 0,
  leq: (order) => order <= 0,
  lt: (order) => order < 0,
  neq: (order) => order !== 0,
};

function matches(fact: Fact, filter: Scope): boolean {
  return Object.entries(filter).every(([name, value]) => {
    if (value === null || value === undefined) return true;
    if (name === "AND" || name === "OR") {
      if (!Array.isArray(value)) throw new QueryError(`${name} takes a list of filters`);
      const parts = value.map((part) => isObject(part) && matches(fact, part));
      return name === "AND" ? parts.every(Boolean) : parts.some(Boolean);
    }
    const [, field = "", operator] = /^(.*?)(?:_(geq|gt|leq|lt|neq|in|notin|like))?$/.exec(name) ?? [];
    const actual = fact.dimensions[field];
    if (actual === undefined) throw new QueryError(`unknown arg "${name}"`);
    if (operator === "in" || operator === "notin") {
      if (!Array.isArray(value)) throw new QueryError(`${name} takes a list`);
      return value.some((one) => compare(field, actual, one) === 0) === (operator === "in");
    }
    if (operator === "like") return like(String(actual), String(value));
    return (operator === undefined ? (o: number) => o === 0 : (OPERATORS[operator] as (order: number) => boolean))(
      compare(field, actual, value),
    );
  });
}

function compare(field: string, actual: string | number, wanted: Json): number {
  if (UNITS[field] !== undefined) return Date.parse(String(actual)) - timeOf(wanted, field);
  if (typeof actual === "number") return actual - Number(wanted);
  return actual < String(wanted) ? -1 : actual > String(wanted) ? 1 : 0;
}

/** SQL's LIKE with % alone, as the real API has it. */
function like(text: string, pattern: string): boolean {
  const [first = "", ...rest] = pattern.toLowerCase().split("%");
  const value = text.toLowerCase();
  if (rest.length === 0) return value === first;
  const last = rest.pop() as string;
  if (!value.startsWith(first) || !value.endsWith(last) || value.length < first.length + last.length) return false;
  let at = first.length;
  for (const part of rest) {
    const found = value.indexOf(part, at);
    if (found < 0 || found + part.length > value.length - last.length) return false;
    at = found + part.length;
  }
  return true;
}

// --- rows ---------------------------------------------------------------------------------------------------

type Row = Readonly<Record<string, Json>>;

const counts = (fact: Fact): Record<string, Json> => ({
  count: fact.count ?? 1,
  ...(fact.sum && { sum: fact.sum }),
  ...(fact.max && { max: fact.max }),
});

/** One row for each combination of the selected dimensions; without any, one for all. */
function groups(facts: readonly Fact[], selection: readonly Field[]): Row[] {
  const names = selection.filter(({ name }) => name === "dimensions").flatMap((field) => field.selection.map(({ name }) => name));
  const byKey = new Map<
    string,
    { dimensions: Record<string, string | number>; count: number; sum: Record<string, number>; max: Record<string, number> }
  >();
  for (const fact of facts) {
    const dimensions: Record<string, string | number> = {};
    for (const name of names) {
      const value = fact.dimensions[name];
      if (value === undefined) throw new QueryError(`unknown field "${name}"`);
      dimensions[name] = value;
    }
    const key = JSON.stringify(dimensions);
    const group = byKey.get(key) ?? { dimensions, count: 0, sum: {}, max: {} };
    byKey.set(key, group);
    group.count += fact.count ?? 1;
    for (const [name, value] of Object.entries(fact.sum ?? {})) group.sum[name] = (group.sum[name] ?? 0) + value;
    for (const [name, value] of Object.entries(fact.max ?? {})) group.max[name] = Math.max(group.max[name] ?? value, value);
  }
  return [...byKey.values()];
}

/** `orderBy: [date_ASC, sum_readQueries_DESC, count_DESC]`. */
function order(rows: readonly Row[], orderBy: Json | undefined): readonly Row[] {
  if (orderBy === undefined || orderBy === null) return rows;
  const keys = (Array.isArray(orderBy) ? orderBy : [orderBy]).map((text) => {
    const match = /^(?:(sum|max|dimensions)_)?(\w+)_(ASC|DESC)$/.exec(String(text));
    if (match === null) throw new QueryError(`unknown order "${String(text)}"`);
    return { group: match[1], name: match[2] as string, sign: match[3] === "ASC" ? 1 : -1 };
  });
  const sortValue = (row: Row, { group, name }: (typeof keys)[number]): Json | undefined => {
    const holder = group === undefined ? { ...(isObject(row.dimensions) && row.dimensions), ...row } : row[group];
    return isObject(holder) ? (holder as Scope)[name] : undefined;
  };
  return rows.toSorted((a, b) => {
    for (const key of keys) {
      const [x, y] = [sortValue(a, key) ?? 0, sortValue(b, key) ?? 0];
      if (x !== y) return x < y ? -key.sign : key.sign;
    }
    return 0;
  });
}

/** What the query selected of a row. */
function project(value: Row, selection: readonly Field[]): Json {
  const answer: Record<string, Json> = {};
  for (const { name, key, selection: inner } of selection) {
    const found = value[name];
    if (inner.length > 0) {
      if (!isObject(found)) throw new QueryError(`unknown field "${name}"`);
      answer[key] = project(found, inner);
    } else if (found !== undefined) answer[key] = found;
    else throw new QueryError(`unknown field "${name}"`);
  }
  return answer;
}

// --- values -------------------------------------------------------------------------------------------------

function argumentsOf(field: Field, scope: Scope): Readonly<Record<string, Json | undefined>> {
  return Object.fromEntries(Object.entries(field.arguments).map(([name, value]) => [name, plain(value, scope)]));
}

function plain(value: Value, scope: Scope): Json {
  switch (value.kind) {
    case "literal":
      return value.value;
    case "enum":
      return value.name;
    case "variable":
      return scope[value.name] ?? null;
    case "list":
      return value.items.map((item) => plain(item, scope));
    case "object":
      return Object.fromEntries(Object.entries(value.fields).map(([name, inner]) => [name, plain(inner, scope)]));
  }
}

const unknown = (field: Field): QueryError => new QueryError(`unknown field "${field.name}"`);

const isObject = (value: unknown): value is { readonly [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);
