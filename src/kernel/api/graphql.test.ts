import assert from "node:assert/strict";
import { test } from "node:test";
import type { Dataset, Fact, RequestContext } from "../product.ts";
import { graphqlRoute } from "./graphql.ts";

const account = "a".repeat(32);
const now = Date.parse("2026-03-10T12:30:00Z");
const facts: Fact[] = [
  { time: Date.parse("2026-03-09T23:15:00Z"), dimensions: { db: "one" }, sum: { reads: 5, writes: 1 }, max: { size: 10 } },
  { time: Date.parse("2026-03-10T10:00:00Z"), dimensions: { db: "one" }, sum: { reads: 7, writes: 0 }, max: { size: 30 } },
  { time: Date.parse("2026-03-10T10:45:00Z"), dimensions: { db: "two" }, sum: { reads: 11, writes: 2 }, max: { size: 20 } },
];
let window: { from: number; to: number } | undefined;
const dataset: Dataset = {
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
  assert.deepEqual(window, { from: Date.parse("2026-03-10T10:00:00Z"), to: now });
  assert.deepEqual(await total('{ date: "2026-03-09" }'), is(5));
  assert.deepEqual(await total('{ date_lt: "2026-03-10" }'), is(5));
  assert.deepEqual(await total('{ db_neq: "one" }'), is(11));
  assert.deepEqual(await total('{ OR: [{ db: "two" }, { date: "2026-03-09" }] }'), is(16));
  assert.deepEqual(await total('{ db_in: ["one", "three"], db_like: "%n%" }'), is(12));
  assert.deepEqual(await total("{ db: $db }", { db: "two" }), is(11));
  assert.deepEqual(await total('{ db: "none" }'), []);
});

test("a dataset of rows answers facts one by one", async () => {
  assert.deepEqual(await rows('testAdaptive(filter: { db: "one" }, orderBy: [datetime_DESC]) { datetime db count }'), {
    testAdaptive: [
      { datetime: "2026-03-10T10:00:00Z", db: "one", count: 1 },
      { datetime: "2026-03-09T23:15:00Z", db: "one", count: 1 },
    ],
  });
});

test("what is not there is refused by name", async () => {
  await refused("otherAdaptiveGroups { count }", /"otherAdaptiveGroups": this dataset is not implemented/);
  await refused("testAdaptiveGroups { sum { nope } }", /unknown field "nope"/);
  await refused("testAdaptiveGroups { dimensions { nope } }", /unknown field "nope"/);
  await refused('testAdaptiveGroups(filter: { nope_geq: "1" }) { count }', /unknown arg "nope_geq"/);
  await refused('testAdaptiveGroups(filter: { date_geq: "yesterday" }) { count }', /"yesterday" is not a time/);
  await refused("testAdaptiveGroups(orderBy: [reads]) { count }", /unknown order "reads"/);
  await refused("testAdaptiveGroups { count", /unexpected the end/);
  await refused("__proto__ { count }", /not implemented/);
});

test("other accounts and tokens without the permission see nothing", async () => {
  await refused("testAdaptiveGroups { count }", /not authorized for dataset/, false);
  const other = await ask('{ viewer { accounts(filter: { accountTag: "b" }) { testAdaptiveGroups { count } } } }');
  assert.match(other.errors?.[0]?.message ?? "", /not authorized for that account/);
});
