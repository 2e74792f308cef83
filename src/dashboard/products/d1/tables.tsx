/** The tables of a database, and the rows of one, page by page. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { createRoute, Link } from "@tanstack/react-router";
import { linkShape } from "../../components/button.tsx";
import { SelectField } from "../../components/form.tsx";
import { Empty, Failure, Loading } from "../../components/page.tsx";
import { Rows } from "../../components/sql-rows.tsx";
import { count } from "../../platform/format.ts";
import { quoted, TABLES } from "../../platform/sql.ts";
import { databasePath, query } from "./api.ts";
import { databaseRoute } from "./database.tsx";

export const tablesRoute = createRoute({
  getParentRoute: () => databaseRoute,
  path: "/",
  validateSearch: (search: Record<string, unknown>): { table?: string; page?: number } => ({
    ...(typeof search.table === "string" && { table: search.table }),
    ...(Number.isInteger(search.page) && Number(search.page) > 1 && { page: Number(search.page) }),
  }),
  component: Tables,
});

const PAGE = 50;

function Tables() {
  const { database } = databaseRoute.useParams();
  const { table } = tablesRoute.useSearch();
  const navigate = tablesRoute.useNavigate();
  const tables = useQuery({
    queryKey: [databasePath(database), "tables"],
    queryFn: async ({ signal }) => (await query(database, TABLES, [], signal))[0]?.results.rows.map(([name]) => String(name)) ?? [],
  });
  if (tables.isPending) return <Loading />;
  if (tables.error) return <Failure error={tables.error} retry={() => void tables.refetch()} />;
  const [first] = tables.data;
  if (first === undefined) {
    return (
      <Empty
        title="No table yet"
        action={
          <Link to="/d1/$database/console" params={{ database }} className={linkShape("primary")}>
            Open the console
          </Link>
        }
      >
        Make one in the console: <code>CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)</code>, or with migrations.
      </Empty>
    );
  }
  return (
    <div className="flex flex-col gap-4">
      <div className="max-w-xs">
        <SelectField
          label="Table"
          value={table ?? first}
          onChange={(name) => void navigate({ search: { table: name } })}
          options={tables.data.map((name) => [name, name] as const)}
        />
      </div>
      <Browser database={database} table={table ?? first} />
    </div>
  );
}

function Browser({ database, table }: { database: string; table: string }) {
  const { page = 1 } = tablesRoute.useSearch();
  const rows = useQuery({
    queryKey: [databasePath(database), "rows", table, page],
    queryFn: async ({ signal }) => {
      const from = quoted(table);
      const [total, found] = await query(
        database,
        `SELECT COUNT(*) FROM ${from}; SELECT * FROM ${from} LIMIT ${PAGE} OFFSET ${(page - 1) * PAGE}`,
        [],
        signal,
      );
      return { total: Number(total?.results.rows[0]?.[0] ?? 0), columns: found?.results.columns ?? [], rows: found?.results.rows ?? [] };
    },
    placeholderData: keepPreviousData,
  });
  if (rows.isPending) return <Loading />;
  if (rows.error) return <Failure error={rows.error} retry={() => void rows.refetch()} />;
  const { total } = rows.data;
  const last = Math.max(1, Math.ceil(total / PAGE));
  const turn = (to: number, text: string) =>
    to >= 1 &&
    to <= last && (
      <Link to="/d1/$database" params={{ database }} search={{ table, ...(to > 1 && { page: to }) }} className={linkShape()}>
        {text}
      </Link>
    );
  return (
    <>
      {total === 0 ? <Empty title="No row yet" /> : <Rows label={`Rows of ${table}`} columns={rows.data.columns} rows={rows.data.rows} />}
      {total > 0 && (
        <nav aria-label="Pages" className="flex items-center justify-between text-sm text-soft">
          <span>
            {count((page - 1) * PAGE + 1)} to {count(Math.min(page * PAGE, total))} of {count(total)}
          </span>
          <span className="flex gap-2">
            {turn(page - 1, "Previous")}
            {turn(page + 1, "Next")}
          </span>
        </nav>
      )}
    </>
  );
}
