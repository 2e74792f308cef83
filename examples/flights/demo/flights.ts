/** The data of the demo: real flights, read with DuckDB from the Parquet file of the npm package `vega-datasets`. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";

// The package's entry is build/index.js; its data lies beside that folder.
const data = join(dirname(createRequire(import.meta.url).resolve("vega-datasets")), "../data");
const parquet = join(data, "flights-3m.parquet");

export interface Airport {
  readonly iata: string;
  readonly name: string;
  readonly city: string | null;
  readonly state: string | null;
}

export interface Delay {
  readonly origin: string;
  readonly mean_delay: number;
  readonly flights: number;
}

export interface Flights {
  readonly total: number;
  /** Request bodies (JSON arrays) of at most `perBody` events each, and how many events each holds. */
  bodies(perBody: number): AsyncGenerator<{ body: string; events: number }>;
  airports(): Promise<Airport[]>;
  /** The demo's question, answered by DuckDB on the original file. */
  worstDelays(minFlights: number, limit: number): Promise<Delay[]>;
  close(): void;
}

/** Opens the flights; `limit` takes only the first ones. */
export async function openFlights(limit: number): Promise<Flights> {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  // A row's number in the file is its id: it tells events apart, so that losses and repeats can be counted.
  const source = `SELECT file_row_number AS id, * EXCLUDE (file_row_number) FROM read_parquet('${parquet}', file_row_number = true) WHERE file_row_number < ${limit}`;
  const rows = async <T>(sql: string): Promise<T[]> => (await connection.runAndReadAll(sql)).getRowObjectsJson() as T[];
  const [size] = await rows<{ n: string }>(`SELECT count(*) AS n FROM (${source})`);
  return {
    total: Number(size?.n),
    async *bodies(perBody) {
      const sql = `SELECT '[' || string_agg(event, ',') || ']' AS body, count(*)::INTEGER AS events FROM (
        SELECT id, to_json({id: id, date: epoch_ms(date), origin: origin, destination: destination, delay: delay, distance: distance})::VARCHAR AS event
        FROM (${source})) GROUP BY id // ${perBody}`;
      const result = await connection.stream(sql);
      for await (const chunk of result.yieldRowObjectJs()) {
        for (const row of chunk) yield { body: row.body as string, events: row.events as number };
      }
    },
    async airports() {
      return rows<Airport>(`SELECT iata, name, city, state FROM read_csv('${join(data, "airports.csv")}') WHERE length(iata) = 3`);
    },
    async worstDelays(minFlights, limit) {
      const found = await rows<{ origin: string; mean_delay: number; flights: string }>(
        `SELECT origin, avg(delay) AS mean_delay, count(*) AS flights FROM (${source}) WHERE distance > 0
         GROUP BY origin HAVING count(*) >= ${minFlights} ORDER BY mean_delay DESC LIMIT ${limit}`,
      );
      return found.map((row) => ({ ...row, flights: Number(row.flights) }));
    },
    close() {
      connection.closeSync();
      instance.closeSync();
    },
  };
}

/** The example folder's SQL, as wrangler takes it on its command line. */
export const pipelineSql = (): Promise<string> => readFile(join(import.meta.dirname, "../pipeline.sql"), "utf8");
