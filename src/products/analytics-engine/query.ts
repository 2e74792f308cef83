/** Runs a query of the SQL API over the stored points, within its bounds of time, memory, rows and bytes. */

import type { Clock } from "../../kernel/clock.ts";
import type { Config } from "../../kernel/config.ts";
import { DuckDbError, literal } from "../../kernel/duckdb/engine.ts";
import { QueriesWait, type Run, timelineRunner } from "../../kernel/timeline/runner.ts";
import { QueryError } from "./errors.ts";
import { type Encoded, encode, encodeTexts } from "./formats.ts";
import { limits } from "./limits.ts";
import type { Points } from "./points.ts";
import { type Compiled, compile, type Source } from "./sql/compile.ts";
import { printed, zoneNames } from "./sql/dates.ts";
import { parse } from "./sql/parser.ts";
import type { Format, Select } from "./sql/tree.ts";
import type { Value } from "./sql/values.ts";

export interface Queries {
  /** The answer to a query's text. Throws `QueryError`. */
  run(sql: string): Promise<Encoded>;
}

export function openQueries(points: Points, clock: Clock, config: Config): Queries {
  const runner = timelineRunner(points.timeline, config["analytics_engine.query_timeout_ms"]);
  const most = { rows: config["analytics_engine.result_rows_max"], bytes: config["analytics_engine.result_max_bytes"] };

  async function select(statement: Select, text: string, format: Format): Promise<Encoded> {
    const now = clock.now();
    const environment = { text, now, rowsMax: most.rows };
    const table = (name: string): Source => {
      if (!points.datasets().includes(name)) throw new QueryError(`unknown table: ${name}`);
      return { sql: `(${RUN}) AS s`, columns };
    };
    // What is wrong with a query is said before it waits for its turn.
    compile(statement, { ...environment, table });
    const { result } = await runner.run({ from: 0, to: now + 1_000_000_000 }, async ({ connection, items, within, signal }) => {
      const compiled = compile(statement, { ...environment, table: (name) => rowsOf(name, { items, within }) });
      const rows = await connection.query(shown(compiled), [], { signal });
      return encode(rows, compiled.columns, format, most);
    });
    return result;
  }

  return {
    async run(sql) {
      const { statement, format, text } = parse(sql);
      if ("show" in statement) {
        if (statement.show === "TABLES") return encodeTexts("dataset", points.datasets(), format);
        return encodeTexts("timezone", statement.show === "TIMEZONE" ? ["Etc/UTC"] : zoneNames(), format);
      }
      try {
        return await select(statement.select, text, format);
      } catch (error) {
        if (error instanceof QueriesWait) throw new QueryError(error.message, 429);
        throw error instanceof DuckDbError ? explained(error) : error;
      }
    },
  };
}

/** Stands for the rows when a query is only looked at. */
const RUN = "SELECT 1";

const numbered = (name: string, count: number, type: Value["type"]): [string, Value][] =>
  Array.from({ length: count }, (_, i) => [`${name}${i + 1}`, { sql: `${name}${i + 1}`, type }]);

/** Columns of every dataset (SQL API, Table structure). */
const columns: ReadonlyMap<string, Value> = new Map<string, Value>([
  ["dataset", { sql: "dataset", type: "String" }],
  ["timestamp", { sql: "timestamp", type: "DateTime" }],
  ["_sample_interval", { sql: "_sample_interval", type: "UInt32" }],
  ["index1", { sql: "index1", type: "String" }],
  ...numbered("blob", limits.blobs, "String"),
  ...numbered("double", limits.doubles, "Float64"),
]);

/** A dataset's rows. Nothing is sampled: each stands for itself. */
function rowsOf(dataset: string, { items, within }: Pick<Run, "items" | "within">): Source {
  const own = [...columns.keys()].filter((name) => name !== "timestamp" && name !== "_sample_interval");
  const chosen = [...own, "make_timestamp((ts // 1000) * 1000000) AS timestamp", "CAST(1 AS UINTEGER) AS _sample_interval"].join(", ");
  const where = `dataset = ${literal(dataset)} AND ts >= ${within.from} AND ts < ${within.to}`;
  return { sql: `(${items.map((item) => `SELECT ${chosen} FROM ${item} WHERE ${where}`).join(" UNION ALL ")}) AS s`, columns };
}

/** Datetimes as their texts. */
const shown = ({ sql, columns: out }: Compiled): string =>
  `SELECT ${out.map(({ type, zone }, i) => (type === "DateTime" ? printed({ sql: `c${i}`, type, zone }) : `c${i}`)).join(", ")} FROM (${sql}) AS q`;

/** What a query can do to the engine without being wrong by its text; anything else is ours. */
function explained(error: DuckDbError): Error {
  switch (error.kind) {
    case "interrupted":
      return new QueryError("the query took too long: read less, or sum up more", 504);
    case "memory":
      return new QueryError("the query needs more memory than it may have: read less, or sum up more");
    case "range":
    case "conversion":
    case "input":
      return new QueryError(`Input was invalid: ${error.message}`);
    default:
      return error;
  }
}
