/** Which fields there are, and which values one of them has. */
import { conditionOf, field, found } from "./condition.ts";
import type { Run } from "./query-engine.ts";
import type { KeysQuery, ValuesQuery } from "./query-schema.ts";

export async function keys(run: Run, query: KeysQuery) {
  const rows = await run.all<{ key: string; type: string; seen: number }>((values) => {
    const condition = conditionOf(query, values);
    const wanted = query.keyNeedle === undefined ? "true" : found("key", query.keyNeedle, values);
    return `, matching AS (SELECT ts, s, n, b FROM stored WHERE ${condition}),
      named AS (
        SELECT unnest(map_keys(s)) AS key, 'string' AS type, ts FROM matching
        UNION ALL SELECT unnest(map_keys(n)), 'number', ts FROM matching
        UNION ALL SELECT unnest(map_keys(b)), 'boolean', ts FROM matching
      )
      SELECT key, type, max(ts)::DOUBLE AS seen FROM named WHERE ${wanted} GROUP BY key, type ORDER BY key, type LIMIT ${query.limit}`;
  });
  return rows.map(({ key, type, seen }) => ({ key, type, lastSeenAt: seen }));
}

export async function values(run: Run, query: ValuesQuery) {
  const { key, type, limit } = query;
  const rows = await run.all<{ value: string | number | boolean; dataset: string }>((parameters) => {
    const value = field(key, type, parameters);
    return `SELECT value, dataset FROM (SELECT ${value} AS value, dataset, ts FROM stored WHERE ${conditionOf(query, parameters)})
      WHERE value IS NOT NULL GROUP BY value, dataset ORDER BY count(*) DESC, value LIMIT ${limit}`;
  });
  return rows.map(({ value, dataset }) => ({ key, type, value, dataset }));
}
