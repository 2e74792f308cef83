/** The GraphQL Analytics API as a client with an API token asks it. */
import assert from "node:assert/strict";
import type { TestPlatform } from "../harness/platform.ts";

interface Answer {
  readonly data: { readonly viewer: { readonly accounts: readonly Record<string, Record<string, unknown>[]>[] } } | null;
  readonly errors: readonly { readonly message: string }[] | null;
}

/** Everything the API answers. */
export async function askAnalytics(
  platform: TestPlatform,
  query: string,
  variables: Readonly<Record<string, unknown>> = {},
  token = platform.ready.api_token,
): Promise<Answer> {
  const response = await platform.fetch("/client/v4/graphql", {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  assert.equal(response.status, 200);
  return (await response.json()) as Answer;
}

/** Rows of one dataset since an hour ago, `where` being more of its filter. */
export async function rowsOf(platform: TestPlatform, dataset: string, where: string, more: string, selection: string) {
  const query = `query Rows($accountTag: String!, $from: Time!, $to: Time!) {
    viewer { accounts(filter: { accountTag: $accountTag }) {
      ${dataset}(limit: 10000, filter: { datetime_geq: $from, datetime_leq: $to ${where} } ${more}) { ${selection} }
    } }
  }`;
  const now = Date.now();
  const { data, errors } = await askAnalytics(platform, query, {
    accountTag: platform.ready.account_id,
    from: new Date(now - 3_600_000).toISOString(),
    to: new Date(now + 60_000).toISOString(),
  });
  assert.equal(errors, null);
  return data?.viewer.accounts[0]?.[dataset] ?? [];
}
