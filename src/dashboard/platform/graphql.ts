/** The GraphQL Analytics API: figures of the account. */
import { useQuery } from "@tanstack/react-query";
import { ApiFailure, failureOf, PAGE_HEADER } from "./rest.ts";
import { session } from "./session.ts";

interface Result<T> {
  readonly data: { readonly viewer: { readonly accounts: readonly T[] } } | null;
  readonly errors: readonly { readonly message: string }[] | null;
}

/** What the query selects of the account. The query declares `$account: String!`; throws `ApiFailure`. */
export async function analytics<T>(query: string, variables: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<T> {
  const { accountId } = await session();
  const response = await fetch("/client/v4/graphql", {
    method: "POST",
    headers: { ...PAGE_HEADER, "content-type": "application/json" },
    body: JSON.stringify({ query, variables: { account: accountId, ...variables } }),
    ...(signal && { signal }),
  });
  const body = (await response.json().catch(() => undefined)) as Result<T> | undefined;
  if (!response.ok) throw failureOf(response.status, body);
  const account = body?.data?.viewer.accounts[0];
  if (account === undefined) throw new ApiFailure(body?.errors?.[0]?.message ?? "The answer has no figures.", response.status, 0);
  return account;
}

const REFRESH_MS = 30_000;

/** Figures of the last so many hours. `make` builds the variables from the window, so that each refresh asks up to now. */
export function useAnalytics<T>(name: string, query: string, hours: number, variables: Readonly<Record<string, unknown>>) {
  return useQuery({
    queryKey: ["analytics", name, hours, variables],
    queryFn: async ({ signal }) => {
      const window = windowOf(hours, Date.now());
      const figures = await analytics<T>(query, { ...variables, ...window }, signal);
      return { figures, window };
    },
    refetchInterval: REFRESH_MS,
  });
}

export interface Window {
  /** ISO times. */
  readonly from: string;
  readonly to: string;
}

export const windowOf = (hours: number, now: number): Window => ({
  from: new Date(now - hours * 3_600_000).toISOString(),
  to: new Date(now).toISOString(),
});

/** Dimensions of time that charts group by, each with its length. */
export const buckets = { datetimeHour: 3_600_000, date: 86_400_000 } as const;
export type TimeBucket = keyof typeof buckets;

/** Hours up to a week, days beyond. */
export const bucketOf = (hours: number): TimeBucket => (hours <= 168 ? "datetimeHour" : "date");

/** The bucket's beginnings in the window, in milliseconds: a chart has a point for each, also where there are no figures. */
export function bucketsIn({ from, to }: Window, bucket: TimeBucket): number[] {
  const length = buckets[bucket];
  const times: number[] = [];
  for (let time = Math.floor(Date.parse(from) / length) * length; time <= Date.parse(to); time += length) times.push(time);
  return times;
}

/** Picks a figure for each time; 0 where the answer has no row. */
export function byTime<T extends { readonly dimensions: Readonly<Record<string, string>> }>(
  rows: readonly T[],
  bucket: TimeBucket,
  times: readonly number[],
) {
  const found = new Map(rows.map((row) => [Date.parse(row.dimensions[bucket] ?? ""), row]));
  return (of: (row: T) => number): number[] =>
    times.map((time) => {
      const row = found.get(time);
      return row === undefined ? 0 : of(row);
    });
}
