/** Figures side by side. */
export function Stats({ items }: { items: readonly { label: string; value: string; note?: string }[] }) {
  return (
    <dl className="grid grid-cols-2 gap-3 md:grid-cols-4">
      {items.map(({ label, value, note }) => (
        <div key={label} className="rounded-xl border border-line bg-surface px-4 py-3">
          <dt className="text-sm text-soft">{label}</dt>
          <dd className="mt-0.5 text-xl font-semibold tabular-nums">
            {value}
            {note && <span className="text-sm font-normal text-soft"> {note}</span>}
          </dd>
        </div>
      ))}
    </dl>
  );
}
