/** The choice of how far back figures go. */
import { SelectField } from "./form.tsx";

const windows = [
  ["24", "Last 24 hours"],
  ["168", "Last 7 days"],
  ["720", "Last 30 days"],
] as const;

export const DEFAULT_HOURS = 24;

/** Hours from an address, where everything may stand. */
export const hoursOf = (value: unknown): number =>
  windows.some(([hours]) => Number(hours) === Number(value)) ? Number(value) : DEFAULT_HOURS;

export function WindowField({ hours, onChange }: { hours: number; onChange(hours: number): void }) {
  return (
    <div className="w-44">
      <SelectField label="Time" value={String(hours)} onChange={(value) => onChange(Number(value))} options={windows} />
    </div>
  );
}
