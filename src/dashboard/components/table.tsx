/**
 * Tables of things: columns by description, one heading row, rows that can be chosen. Where it is narrow the table scrolls
 * sideways inside its frame, and columns that say `wide` are left out.
 */
import type { ReactNode } from "react";

export interface Column<T> {
  readonly title: string;
  /** Where titles repeat. */
  readonly key?: string;
  readonly cell: (row: T) => ReactNode;
  readonly align?: "right";
  /** Left out below the width at which it would crowd the others. */
  readonly wide?: true;
}

export interface Selection {
  readonly chosen: ReadonlySet<string>;
  readonly onChange: (chosen: ReadonlySet<string>) => void;
}

export function Table<T>({
  label,
  columns,
  rows,
  id,
  selection,
  actions,
}: {
  label: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  id: (row: T) => string;
  selection?: Selection;
  /** Buttons at the row's end. */
  actions?: (row: T) => ReactNode;
}) {
  const all = rows.length > 0 && rows.every((row) => selection?.chosen.has(id(row)));
  const toggle = (ids: readonly string[], on: boolean) => {
    const chosen = new Set(selection?.chosen);
    for (const one of ids)
      if (on) chosen.add(one);
      else chosen.delete(one);
    selection?.onChange(chosen);
  };
  const side = (column: Column<T>) => `${column.align === "right" ? "text-right" : "text-left"} ${column.wide ? "max-md:hidden" : ""}`;
  return (
    <div className="overflow-x-auto rounded-xl border border-line bg-surface">
      <table aria-label={label} className="w-full border-collapse text-sm">
        <thead>
          <tr className="border-b border-line text-xs text-soft">
            {selection && (
              <th scope="col" className="w-10 py-2.5 pl-4 text-left">
                <input
                  type="checkbox"
                  aria-label="Select all"
                  className="block"
                  checked={all}
                  onChange={(event) => toggle(rows.map(id), event.target.checked)}
                />
              </th>
            )}
            {columns.map((column) => (
              <th key={column.key ?? column.title} scope="col" className={`px-4 py-2.5 font-medium ${side(column)}`}>
                {column.title}
              </th>
            ))}
            {actions && (
              <th scope="col" className="py-2.5 pr-2">
                <span className="sr-only">Actions</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const key = id(row);
            return (
              <tr key={key} className="border-b border-line last:border-0 hover:bg-raised/60">
                {selection && (
                  <td className="py-2 pl-4">
                    <input
                      type="checkbox"
                      aria-label={`Select ${key}`}
                      className="block"
                      checked={selection.chosen.has(key)}
                      onChange={(event) => toggle([key], event.target.checked)}
                    />
                  </td>
                )}
                {columns.map((column) => (
                  <td key={column.key ?? column.title} className={`px-4 py-2 ${side(column)}`}>
                    {column.cell(row)}
                  </td>
                ))}
                {actions && (
                  <td className="py-1 pr-2">
                    <div className="flex justify-end">{actions(row)}</div>
                  </td>
                )}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
