/** What an expression stands in: the columns that it sees, the types of what it is made of, and the limits of one statement. */
import { BIGINT, BOOLEAN, DOUBLE, type DuckDBType, SQLNULL, VARCHAR } from "@duckdb/node-api";
import { SqlError } from "./sql-error.ts";

export interface Scope {
  /** SQL of a column reference; throws `SqlError` when there is no such column. */
  column(names: readonly string[]): string;
  readonly types: Types;
  /** `now()` is fixed when the pipeline is created. Milliseconds since the epoch. */
  readonly now: number;
  /** The expression is for batches on which the plain form failed: integers wrap around instead of failing. */
  readonly guarded: boolean;
  /** Called for functions that give another value at every call: DuckDB cannot guard them. */
  onVolatile(): void;
  /** Called for functions whose results are as large as an argument says; throws `SqlError` at too many. */
  onMaker(): void;
}

/** Types of SQL expressions. The simple ones are known as they are made, the others are asked of the engine, once. */
export class Types {
  readonly #known = new Map<string, DuckDBType>();
  readonly #ask: (sql: readonly string[]) => Promise<readonly DuckDBType[]>;
  readonly #budget: { questions: number };

  /** `budget` is shared by all of a statement: questions to the engine that it may still cost. */
  constructor(ask: (sql: readonly string[]) => Promise<readonly DuckDBType[]>, budget: { questions: number }) {
    this.#ask = ask;
    this.#budget = budget;
  }

  /** Makes a type known, and gives the expression back. */
  note(sql: string, type: DuckDBType | undefined): string {
    if (type !== undefined) this.#known.set(sql, type);
    return sql;
  }

  known(sql: string): DuckDBType | undefined {
    return this.#known.get(sql);
  }

  async of(sql: string): Promise<DuckDBType> {
    const [type] = await this.all([sql]);
    return type as DuckDBType;
  }

  async all(sqls: readonly string[]): Promise<readonly DuckDBType[]> {
    const missing = [...new Set(sqls.filter((sql) => !this.#known.has(sql)))];
    if (missing.length > 0) {
      if (this.#budget.questions-- <= 0) throw new SqlError("the statement is too complex");
      const types = await this.#ask(missing);
      for (const [i, sql] of missing.entries()) this.#known.set(sql, types[i] as DuckDBType);
    }
    return sqls.map((sql) => this.#known.get(sql) as DuckDBType);
  }
}

/** DuckDB's types of constants and of the casts that are common. */
export const plainTypes: Readonly<Record<string, DuckDBType>> = {
  bigint: BIGINT,
  number: DOUBLE,
  string: VARCHAR,
  boolean: BOOLEAN,
  object: SQLNULL,
};
export const castResults: Readonly<Record<string, DuckDBType>> = { BIGINT, DOUBLE, VARCHAR, BOOLEAN };
