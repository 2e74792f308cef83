/** Rows of an SQL result as a table. NULL and bytes look different from text that says so. */
import type { ReactNode } from "react";
import type { Value } from "../platform/sql.ts";
import { Table } from "./table.tsx";

interface Row {
  readonly id: string;
  readonly values: readonly Value[];
}

export function Rows({
  label,
  columns,
  rows,
  actions,
}: {
  label: string;
  columns: readonly string[];
  rows: readonly (readonly Value[])[];
  /** Buttons at the end of the row with this place. */
  actions?: (index: number) => ReactNode;
}) {
  return (
    <Table
      label={label}
      rows={rows.map((values, i): Row => ({ id: String(i), values }))}
      id={({ id }) => id}
      columns={columns.map((title, i) => ({ title, key: String(i), cell: (row: Row) => <Cell value={row.values[i] ?? null} /> }))}
      {...(actions && { actions: ({ id }: Row) => actions(Number(id)) })}
    />
  );
}

function Cell({ value }: { value: Value }) {
  if (value === null) return <span className="text-soft italic">NULL</span>;
  if (typeof value === "object") return <span className="text-soft italic">{value.length} bytes</span>;
  return <span className="break-words whitespace-pre-wrap">{String(value)}</span>;
}
