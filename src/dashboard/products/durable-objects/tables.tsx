/** Data Studio: the tables of an object, and the rows of one, which can be changed. */
import { useQuery } from "@tanstack/react-query";
import { createRoute } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { FormDialog } from "../../components/dialog.tsx";
import { SelectField, TextField } from "../../components/form.tsx";
import { Empty, Failure, Loading } from "../../components/page.tsx";
import { Rows } from "../../components/sql-rows.tsx";
import { useAction } from "../../platform/queries.ts";
import { quoted, TABLES, type Value } from "../../platform/sql.ts";
import { namespacePath, query } from "./api.ts";
import { objectRoute } from "./object.tsx";

export const tablesRoute = createRoute({ getParentRoute: () => objectRoute, path: "/", component: Tables });

const ROWS_MAX = 100;

function Tables() {
  const { namespace, object } = objectRoute.useParams();
  const [chosen, choose] = useState<string>();
  const tables = useQuery({
    queryKey: [namespacePath(namespace), object, "tables"],
    queryFn: async ({ signal }) => (await query(namespace, object, [{ sql: TABLES }], signal))[0]?.rows.map(([name]) => String(name)) ?? [],
  });
  if (tables.isPending) return <Loading />;
  if (tables.error) return <Failure error={tables.error} retry={() => void tables.refetch()} />;
  const table = chosen ?? tables.data[0];
  if (table === undefined) return <Empty title="No table yet">The object has made none with its SQL API.</Empty>;
  return (
    <div className="flex flex-col gap-4">
      <div className="max-w-xs">
        <SelectField label="Table" value={table} onChange={choose} options={tables.data.map((name) => [name, name] as const)} />
      </div>
      <Browser table={table} />
    </div>
  );
}

function Browser({ table }: { table: string }) {
  const { namespace, object } = objectRoute.useParams();
  const [editing, edit] = useState<readonly Value[]>();
  const rows = useQuery({
    queryKey: [namespacePath(namespace), object, "rows", table],
    queryFn: async ({ signal }) => {
      const [kind] = await query(namespace, object, [{ sql: "SELECT type, wr FROM pragma_table_list(?)", params: [table] }], signal);
      const [type, withoutRowid] = kind?.rows[0] ?? [];
      const editable = type === "table" && withoutRowid === 0;
      const sql = `SELECT ${editable ? "rowid, " : ""}* FROM ${quoted(table)} LIMIT ${ROWS_MAX}`;
      const [found] = await query(namespace, object, [{ sql }], signal);
      const skip = editable ? 1 : 0;
      return { editable, columns: found?.columns.slice(skip) ?? [], skip, rows: found?.rows ?? [] };
    },
  });
  if (rows.isPending) return <Loading />;
  if (rows.error) return <Failure error={rows.error} retry={() => void rows.refetch()} />;
  const { editable, columns, skip, rows: found } = rows.data;
  if (found.length === 0) return <Empty title="No row yet" />;
  return (
    <>
      <Rows
        label={`Rows of ${table}`}
        columns={columns}
        rows={found.map((row) => row.slice(skip))}
        {...(editable && { actions: (i: number) => <Button onClick={() => edit(found[i])}>Edit</Button> })}
      />
      {found.length === ROWS_MAX && <p className="text-sm text-soft">The first {ROWS_MAX} rows; others are a query away.</p>}
      {editing && <EditRow table={table} columns={columns} row={editing} onClose={() => edit(undefined)} />}
    </>
  );
}

/** What was typed, as the kind of value that was there. */
function typed(text: string, before: Value): Value {
  if (before === null && text === "") return null;
  return typeof before === "number" && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** `row` begins with the row's id. */
function EditRow({
  table,
  columns,
  row: [rowid = null, ...values],
  onClose,
}: {
  table: string;
  columns: readonly string[];
  row: readonly Value[];
  onClose(): void;
}) {
  const { namespace, object } = objectRoute.useParams();
  const [texts, setTexts] = useState<Readonly<Record<string, string>>>({});
  const save = useAction(
    async () => {
      const changed = Object.keys(texts);
      const set = changed.map((column) => `${quoted(column)} = ?`).join(", ");
      const params = changed.map((column) => typed(texts[column] ?? "", values[columns.indexOf(column)] ?? null));
      await query(namespace, object, [{ sql: `UPDATE ${quoted(table)} SET ${set} WHERE rowid = ?`, params: [...params, rowid] }]);
    },
    { stale: [namespacePath(namespace)], done: "Row saved", onDone: onClose },
  );
  return (
    <FormDialog
      title="Edit row"
      submit="Save"
      busy={save.isPending}
      ready={Object.keys(texts).length > 0}
      error={save.error}
      onSubmit={() => save.mutate()}
      onClose={onClose}
    >
      {columns.map((column, i) => {
        const value = values[i] ?? null;
        if (typeof value === "object" && value !== null) return null;
        return (
          <TextField
            key={column}
            label={column}
            value={texts[column] ?? String(value ?? "")}
            placeholder={value === null ? "NULL" : ""}
            onChange={(text) => setTexts({ ...texts, [column]: text })}
          />
        );
      })}
    </FormDialog>
  );
}
