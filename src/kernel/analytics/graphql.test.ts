import assert from "node:assert/strict";
import { test } from "node:test";
import { buildClientSchema, getIntrospectionQuery, parse, validate } from "graphql";
import type { Dataset, DatasetWindow, Fact, RequestContext } from "../product.ts";
import { graphqlRoute } from "./graphql.ts";

const account = "a".repeat(32);
const now = Date.parse("2026-03-10T12:30:00Z");
const facts: Fact[] = [
  { time: Date.parse("2026-03-09T23:15:00Z"), dimensions: { db: "one" }, sum: { reads: 5, writes: 1 }, max: { size: 10 } },
  { time: Date.parse("2026-03-10T10:00:00Z"), dimensions: { db: "one" }, sum: { reads: 7, writes: 0 }, max: { size: 30 } },
  { time: Date.parse("2026-03-10T10:45:00Z"), dimensions: { db: "two" }, sum: { reads: 11, writes: 2 }, max: { size: 20 } },
];
let window: DatasetWindow | undefined;
const dataset: Dataset = {
  description: "Reads and writes",
  dimensions: { db: "string", status: "uint64" },
  sum: ["reads", "writes"],
  max: ["size"],
  avg: ["reads"],
  quantiles: ["reads"],
  permission: ["Account Analytics Read"],
  async facts(asked) {
    window = asked;
    return facts;
  },
};

async function ask(query: string, variables: object = {}, can = true): Promise<{ data: unknown; errors: { message: string }[] | null }> {
  const route = graphqlRoute({
    datasets: { testAdaptiveGroups: dataset, testAdaptive: dataset },
    accountId: account,
    clock: { now: () => now },
  });
  const context = { principal: { can: () => can }, json: async () => ({ query, variables: { tag: account, ...variables } }) };
  return ((await route.handle(context as unknown as RequestContext)) as Response).json() as never;
}

const rows = async (inner: string, variables?: object) => {
  const { data, errors } = await ask(`query Q($tag: string) { viewer { accounts(filter: { accountTag: $tag }) { ${inner} } } }`, variables);
  assert.equal(errors, null);
  return (data as { viewer: { accounts: Record<string, unknown>[] } }).viewer.accounts[0];
};
const refused = async (inner: string, message: RegExp, can = true) => {
  const { data, errors } = await ask(`{ viewer { accounts(filter: { accountTag: "${account}" }) { ${inner} } } }`, {}, can);
  assert.equal(data, null);
  assert.match(errors?.[0]?.message ?? "", message);
};

test("facts are grouped by the dimensions that are selected, and summed", async () => {
  assert.deepEqual(await rows("testAdaptiveGroups { sum { reads writes } max { size } count }"), {
    testAdaptiveGroups: [{ sum: { reads: 23, writes: 3 }, max: { size: 30 }, count: 3 }],
  });
  assert.deepEqual(await rows("g: testAdaptiveGroups(orderBy: [date_DESC, sum_reads_ASC]) { sum { r: reads } dimensions { date db } }"), {
    g: [
      { sum: { r: 7 }, dimensions: { date: "2026-03-10", db: "one" } },
      { sum: { r: 11 }, dimensions: { date: "2026-03-10", db: "two" } },
      { sum: { r: 5 }, dimensions: { date: "2026-03-09", db: "one" } },
    ],
  });
  assert.deepEqual(await rows("testAdaptiveGroups(limit: 1, orderBy: [count_DESC]) { count dimensions { datetimeHour } }"), {
    testAdaptiveGroups: [{ count: 2, dimensions: { datetimeHour: "2026-03-10T10:00:00Z" } }],
  });
});

test("filters compare times and texts, and narrow the window that a product reads", async () => {
  const total = async (filter: string, variables?: object) =>
    (await rows(`testAdaptiveGroups(filter: ${filter}) { sum { reads } }`, variables))?.testAdaptiveGroups;
  const is = (reads: number) => [{ sum: { reads } }];
  assert.deepEqual(
    await total('{ AND: [{ datetimeHour_geq: "2026-03-10T10:00:00Z", datetimeHour_leq: "2026-03-10T12:30:00.000Z" }] }'),
    is(18),
  );
  assert.deepEqual(window, { from: Date.parse("2026-03-10T10:00:00Z"), to: now + 1, unit: Number.POSITIVE_INFINITY });
  assert.deepEqual(await total('{ date: "2026-03-09" }'), is(5));
  assert.deepEqual(await total('{ date_lt: "2026-03-10" }'), is(5));
  assert.deepEqual(await total('{ db_neq: "one" }'), is(11));
  assert.deepEqual(await total('{ OR: [{ db: "two" }, { date: "2026-03-09" }] }'), is(16));
  assert.deepEqual(await total('{ db_in: ["one", "three"], db_like: "%n%" }'), is(12));
  assert.deepEqual(await total("{ db: $db }", { db: "two" }), is(11));
  assert.deepEqual(await total('{ db: "none" }'), []);
});

test("a product may sum facts up as far as the query does not tell them apart", async () => {
  const unit = async (filter: string, dimensions: string): Promise<number | undefined> => {
    await rows(`testAdaptiveGroups(filter: ${filter}) { count dimensions { db ${dimensions} } }`);
    return window?.unit;
  };
  assert.equal(await unit('{ datetime_gt: "2026-03-10T10:00:01Z" }', ""), Number.POSITIVE_INFINITY);
  assert.equal(await unit("{}", "date datetimeMinute"), 60_000);
  assert.equal(await unit('{ datetime_neq: "2026-03-10T10:00:01Z" }', "date"), 1);
  assert.equal(await unit('{ OR: [{ db: "one" }, { AND: [{ datetimeHour_gt: "2026-03-10T10:00:00Z" }] }] }', "date"), 1);
});

test("means and quantiles weigh facts by the events that they stand for", async () => {
  assert.deepEqual(await rows("testAdaptiveGroups { avg { reads } quantiles { readsP50 readsP99 } }"), {
    testAdaptiveGroups: [{ avg: { reads: 23 / 3 }, quantiles: { readsP50: 7, readsP99: 11 } }],
  });
});

test("a dataset of events answers them one by one", async () => {
  assert.deepEqual(await rows('testAdaptive(filter: { db: "one" }, orderBy: [datetime_DESC]) { datetime db }'), {
    testAdaptive: [
      { datetime: "2026-03-10T10:00:00Z", db: "one" },
      { datetime: "2026-03-09T23:15:00Z", db: "one" },
    ],
  });
});

test("introspection describes what can be asked for: the reference implementation builds a schema of it", async () => {
  const { data, errors } = await ask(getIntrospectionQuery({ inputValueDeprecation: true, specifiedByUrl: true, schemaDescription: true }));
  assert.equal(errors, null);
  const schema = buildClientSchema(data as never);
  const valid = (query: string) => validate(schema, parse(query)).map(({ message }) => message);
  const query = (inner: string) =>
    `query Q($tag: String!, $from: Time!) { viewer { accounts(filter: { accountTag: $tag }) { ${inner} } } }`;
  assert.deepEqual(
    valid(
      query(`testAdaptiveGroups(limit: 10, orderBy: [sum_reads_DESC, date_ASC], filter: { datetime_geq: $from, OR: [{ db_in: ["a"] }, { status_lt: 5 }] }) {
        count dimensions { date db } sum { reads } max { size } avg { reads } quantiles { readsP90 } }`),
    ),
    [],
  );
  assert.match(valid(query("testAdaptiveGroups(filter: { datetime_geq: $from }) { sum { nope } }"))[0] ?? "", /Cannot query field "nope"/);
  const type = await ask(
    '{ __type(name: "AccountTestAdaptiveGroupsDimensions") { kind fields { name type { kind ofType { name } } } } none: __type(name: "x") { kind } }',
  );
  const found = type.data as { __type: { kind: string; fields: { name: string }[] }; none: unknown };
  assert.deepEqual(
    [found.none, found.__type.kind, found.__type.fields.at(-1)],
    [null, "OBJECT", { name: "status", type: { kind: "NON_NULL", ofType: { name: "uint64" } } }],
  );
});

test("what is not there is refused by name", async () => {
  await refused("otherAdaptiveGroups { count }", /"otherAdaptiveGroups": this dataset is not implemented/);
  await refused("testAdaptiveGroups { sum { nope } }", /unknown field "nope"/);
  await refused("testAdaptiveGroups { dimensions { nope } }", /unknown field "nope"/);
  await refused('testAdaptiveGroups(filter: { nope_geq: "1" }) { count }', /unknown arg "nope_geq"/);
  await refused('testAdaptiveGroups(filter: { date_geq: "yesterday" }) { count }', /"yesterday" is not a time/);
  await refused("testAdaptiveGroups(orderBy: [reads]) { count }", /unknown order "reads"/);
  // Also where no fact could show it.
  await refused('testAdaptiveGroups(filter: { date: "1999-01-01" }) { sum { nope } }', /unknown field "nope"/);
  await refused('testAdaptiveGroups(filter: { date: "1999-01-01", status_like: "%" }) { count }', /unknown arg "status_like"/);
  await refused("testAdaptiveGroups(orderBy: [sum_nope_ASC]) { count }", /unknown order "sum_nope_ASC"/);
  await refused("testAdaptiveGroups(filter: { db_in: 5 }) { count }", /db_in takes a list/);
  await refused("testAdaptiveGroups { count", /unexpected the end/);
  await refused("__proto__ { count }", /not implemented/);
});

test("other accounts and tokens without the permission see nothing", async () => {
  await refused("testAdaptiveGroups { count }", /not authorized for dataset/, false);
  const other = await ask('{ viewer { accounts(filter: { accountTag: "b" }) { testAdaptiveGroups { count } } } }');
  assert.match(other.errors?.[0]?.message ?? "", /not authorized for that account/);
});
