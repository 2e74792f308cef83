/**
 * What the platform does inside an object for its owner, who looks at or edits the object's data, or deletes it. Runs before
 * the user's classes (`main-module.ts`), under the same limits; all statements of a call take effect, or none.
 * https://developers.cloudflare.com/durable-objects/observability/data-studio/
 */
import { DELETE_METHOD, DELETED, QUERY_METHOD, type SqlParameter, type Statement, type StatementResult } from "./remote-protocol.worker.ts";

type Constructor = new (ctx: DurableObjectState, env: unknown) => object;

/** Past either a query is refused: the result is held in memory. */
const ROWS_MAX = 10_000;
const RESULT_MAX_BYTES = 16 * 1024 * 1024;

const bound = (value: SqlParameter): unknown => {
  if (typeof value === "boolean") return Number(value);
  return Array.isArray(value) ? new Uint8Array(value).buffer : value;
};

function run(sql: SqlStorage, { sql: text, params = [] }: Statement): StatementResult {
  const cursor = sql.exec(text, ...params.map(bound));
  const rows: StatementResult["rows"][number][] = [];
  let size = 0;
  for (const row of cursor.raw()) {
    for (const value of row) size += typeof value === "string" ? value.length : value instanceof ArrayBuffer ? value.byteLength * 4 : 8;
    if (rows.length === ROWS_MAX) throw new Error(`The result has more than ${ROWS_MAX} rows: add a LIMIT.`);
    if (size > RESULT_MAX_BYTES) throw new Error(`The result is larger than ${RESULT_MAX_BYTES} bytes: add a LIMIT.`);
    rows.push(row.map((value) => (value instanceof ArrayBuffer ? [...new Uint8Array(value)] : value)));
  }
  return { columns: cursor.columnNames, rows, meta: { rows_read: cursor.rowsRead, rows_written: cursor.rowsWritten } };
}

/** The user's class, whose objects answer the platform's queries. */
export function queryable(base: Constructor): Constructor {
  const { [base.name]: named } = {
    [base.name]: class extends base {
      readonly #ctx: DurableObjectState;

      constructor(ctx: DurableObjectState, env: unknown) {
        super(ctx, env);
        this.#ctx = ctx;
      }

      [QUERY_METHOD](statements: readonly Statement[]): StatementResult[] {
        const { storage } = this.#ctx;
        return storage.transactionSync(() => statements.map((statement) => run(storage.sql, statement)));
      }

      /** Never returns: the instance ends when nothing is stored any more, so that the next call meets a new one. */
      async [DELETE_METHOD](): Promise<void> {
        const { storage } = this.#ctx;
        await storage.deleteAlarm();
        await storage.deleteAll();
        await storage.sync();
        this.#ctx.abort(DELETED);
      }
    },
  };
  return named as Constructor;
}
