/** The filters of the query builder, one below the other. */
import { useId } from "react";
import { Button, IconButton } from "../../components/button.tsx";
import { SelectField, TextField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import type { FieldType, Filter, Key } from "../../platform/telemetry.ts";

/** A filter as it is typed in. */
export interface Draft {
  readonly id: number;
  readonly key: string;
  readonly operation: string;
  readonly value: string;
}

const operations = [
  ["eq", "equals"],
  ["neq", "does not equal"],
  ["includes", "includes"],
  ["not_includes", "does not include"],
  ["starts_with", "starts with"],
  ["ends_with", "ends with"],
  ["regex", "matches"],
  ["in", "is one of"],
  ["not_in", "is none of"],
  ["gt", ">"],
  ["gte", "≥"],
  ["lt", "<"],
  ["lte", "≤"],
  ["exists", "exists"],
  ["is_null", "does not exist"],
] as const;
const valueless = new Set(["exists", "is_null"]);

/** The type that the field is known to have; text when nobody has seen it. */
export const typeOf = (key: string, keys: readonly Key[]): FieldType => keys.find((known) => known.key === key)?.type ?? "string";

export const filterOf = ({ key, operation, value }: Draft, keys: readonly Key[]): Filter => ({
  key,
  operation,
  type: typeOf(key, keys),
  ...(!valueless.has(operation) && { value }),
});

let drafts = 0;

export function QueryFilters({
  filters,
  keys,
  onChange,
}: {
  filters: readonly Draft[];
  keys: readonly Key[];
  onChange(filters: readonly Draft[]): void;
}) {
  const list = useId();
  const change = (id: number, part: Partial<Draft>): void => onChange(filters.map((one) => (one.id === id ? { ...one, ...part } : one)));
  return (
    <div className="flex flex-col gap-3">
      <datalist id={list}>
        {keys.map(({ key, type }) => (
          <option key={`${key} ${type}`} value={key} />
        ))}
      </datalist>
      {filters.map(({ id, key, operation, value }) => (
        <div key={id} className="grid items-end gap-2 sm:grid-cols-[1fr_11rem_1fr_2rem]">
          <TextField label="Field" list={list} value={key} onChange={(next) => change(id, { key: next })} />
          <SelectField label="Operation" value={operation} onChange={(next) => change(id, { operation: next })} options={operations} />
          {valueless.has(operation) ? <span /> : <TextField label="Value" value={value} onChange={(next) => change(id, { value: next })} />}
          <IconButton label="Remove filter" onClick={() => onChange(filters.filter((one) => one.id !== id))}>
            <Icon name="close" />
          </IconButton>
        </div>
      ))}
      <div>
        <Button onClick={() => onChange([...filters, { id: ++drafts, key: "", operation: "eq", value: "" }])}>
          <Icon name="plus" />
          Add filter
        </Button>
      </div>
    </div>
  );
}
