/** Rows that R2 SQL answers, for tests of other engines' tables. */
import assert from "node:assert/strict";
import type { TestPlatform } from "../harness/platform.ts";

// biome-ignore lint/suspicious/noExplicitAny: rows have as many shapes as there are queries.
export async function r2SqlRows(platform: TestPlatform, bucket: string, query: string): Promise<any[]> {
  const response = await platform.fetch(`${platform.host("sql")}/r2-sql/query/${bucket}`, {
    method: "POST",
    headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return (JSON.parse(text) as { result: { rows: unknown[] } }).result.rows;
}
