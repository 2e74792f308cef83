/**
 * The GraphQL Analytics API (POST /graphql): `viewer.accounts(filter: {accountTag}).<dataset>(filter, limit, orderBy)`, the
 * same below `viewer.zones(filter: {zoneTag})` for datasets with the dimension `zoneTag`, and introspection of it. Products offer datasets of dated facts; filtering, grouping by the dimensions that a query selects,
 * summing and ordering are here. What is not there is refused by name, never answered with zeros.
 */
import { type Field, GraphqlSyntaxError, parseDocument, type Value } from "../../protocols/graphql/parse.ts";
import { type Principal, zoneResource } from "../api/tokens.ts";
import type { Clock } from "../clock.ts";
import type { Dataset, RequestContext, Route } from "../product.ts";
import { KEEP_MS } from "./counter-table.ts";
import { checkFilter, matches } from "./filter.ts";
import { QueryError } from "./query-error.ts";
import { checkSelection, events, expanded, groups, ordered, orderKeys, project, selectedDimensions } from "./rows.ts";
import { type Schema, schemaOf } from "./schema.ts";
import { hasZones, isGrouped, shapeOf } from "./shape.ts";
import { timeUnits, windowOf } from "./time.ts";
import { isObject, type Json, type JsonObject } from "./values.ts";

const BODY_MAX_BYTES = 256 * 1024;
const LIMIT_MAX = 10_000;
const LIMIT_DEFAULT = 10_000;

interface Options {
  readonly datasets: Readonly<Record<string, Dataset>>;
  readonly accountId: string;
  readonly clock: Clock;
}

export function graphqlRoute(options: Options): Route {
  let schema: Schema | undefined;
  const introspect = (field: Field, scope: JsonObject): Json => {
    schema ??= schemaOf(options.datasets);
    if (field.name === "__schema") return project(schema, field.selection);
    const { name } = argumentsOf(field, scope);
    return project(schema.types.find((type) => type.name === name) ?? null, field.selection);
  };
  return {
    op: "graphql.query",
    method: "POST",
    path: "/graphql",
    permission: [],
    async handle(context) {
      try {
        return Response.json({ data: await execute(context, options, introspect), errors: null });
      } catch (error) {
        if (!(error instanceof QueryError || error instanceof GraphqlSyntaxError)) throw error;
        const extensions = { timestamp: new Date(options.clock.now()).toISOString() };
        return Response.json({ data: null, errors: [{ message: error.message, path: null, extensions }] });
      }
    },
  };
}

async function execute(context: RequestContext, options: Options, introspect: (field: Field, scope: JsonObject) => Json): Promise<Json> {
  const body = (await context.json({ parse: (value: unknown) => value }, BODY_MAX_BYTES)) as {
    query?: unknown;
    operationName?: unknown;
    variables?: JsonObject;
  } | null;
  if (typeof body?.query !== "string") throw new QueryError("the request has no query");
  const operations = parseDocument(body.query);
  const operation = operations.find(({ name }) => !body.operationName || name === body.operationName);
  if (operation === undefined) throw new QueryError(`unknown operation "${String(body.operationName)}"`);
  const defaults = Object.entries(operation.defaults).map(([name, value]) => [name, plain(value, {})]);
  const scope: JsonObject = { ...Object.fromEntries(defaults), ...body.variables };
  const answer: Record<string, Json> = {};
  for (const field of operation.selection) {
    if (field.name === "__schema" || field.name === "__type") answer[field.key] = introspect(field, scope);
    else if (field.name === "viewer") answer[field.key] = await viewer(field, scope, context.principal, options);
    else throw unknown(field);
  }
  return answer;
}

async function viewer(field: Field, scope: JsonObject, principal: Principal, options: Options): Promise<Json> {
  const answer: Record<string, Json> = {};
  for (const part of field.selection) {
    if (part.name !== "accounts" && part.name !== "zones") throw unknown(part);
    const { filter } = argumentsOf(part, scope);
    const given = isObject(filter) ? filter : {};
    const owner = part.name === "accounts" ? accountOf(given, options) : zoneOf(given);
    const sets: Record<string, Json> = {};
    for (const set of part.selection) sets[set.key] = await rowsOf(set, scope, owner, principal, options);
    answer[part.key] = [sets];
  }
  return answer;
}

/** Whose figures are asked for. */
interface Owner {
  /** What a token needs the permission on. On the account as a whole: one for a bucket must not see figures of others. */
  readonly resource: string;
  readonly zone?: string;
}

function accountOf({ accountTag }: JsonObject, { accountId }: Options): Owner {
  if (accountTag !== undefined && accountTag !== accountId) throw new QueryError("not authorized for that account");
  return { resource: `com.cloudflare.api.account.${accountId}` };
}

function zoneOf({ zoneTag }: JsonObject): Owner {
  if (typeof zoneTag !== "string") throw new QueryError("zones needs the filter zoneTag");
  return { resource: zoneResource(zoneTag), zone: zoneTag };
}

async function rowsOf(
  field: Field,
  scope: JsonObject,
  { resource, zone }: Owner,
  principal: Principal,
  { datasets, clock }: Options,
): Promise<Json> {
  const { name, selection } = field;
  const dataset = Object.hasOwn(datasets, name) ? datasets[name] : undefined;
  if (dataset === undefined) throw new QueryError(`unknown field "${name}": this dataset is not implemented by this version of Freehold`);
  if (zone !== undefined && !hasZones(dataset)) throw unknown(field);
  if (!dataset.permission.some((group) => principal.can(group, resource))) throw new QueryError(`not authorized for dataset "${name}"`);

  const { filter: given, limit, orderBy } = argumentsOf(field, scope);
  const filter = isObject(given) ? given : {};
  const shape = shapeOf(name, dataset);
  const grouped = isGrouped(name, dataset);
  checkFilter(filter, dataset);
  checkSelection(selection, shape);
  const keys = orderKeys(orderBy, shape);

  const now = clock.now();
  const { exact, from, to } = windowOf(filter, { from: now - KEEP_MS, to: now + 1 });
  const units = (grouped ? selectedDimensions(selection) : Object.keys(timeUnits)).flatMap((dimension) => timeUnits[dimension] ?? []);
  const facts = from < to ? await dataset.facts({ from, to, unit: exact ? Math.min(...units) : 1 }) : [];
  const own = zone === undefined ? facts : facts.filter(({ dimensions }) => dimensions.zoneTag === zone);
  const kept = own.filter((fact) => fact.time >= from && fact.time < to && matches(fact, filter, dataset, exact));

  const count = typeof limit === "number" ? Math.max(0, Math.min(limit, LIMIT_MAX)) : LIMIT_DEFAULT;
  const rows = ordered(grouped ? groups(kept, selection) : events(kept, dataset), keys);
  return project(grouped ? rows.slice(0, count) : expanded(rows, count), selection);
}

// --- values -------------------------------------------------------------------------------------------------

function argumentsOf(field: Field, scope: JsonObject): Readonly<Record<string, Json | undefined>> {
  return Object.fromEntries(Object.entries(field.arguments).map(([name, value]) => [name, plain(value, scope)]));
}

function plain(value: Value, scope: JsonObject): Json {
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
