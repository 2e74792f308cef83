/** Form fields. A field ties its label, hint and error to the control, for eyes and for screen readers. */
import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, type TextareaHTMLAttributes, useId } from "react";

interface FieldProps {
  readonly label: string;
  readonly hint?: ReactNode;
  readonly error?: string | undefined;
}

const control =
  "w-full rounded-lg border border-line bg-surface px-3 py-1.5 text-sm text-ink placeholder:text-soft/70 aria-[invalid=true]:border-danger disabled:opacity-60";

function Field({
  label,
  hint,
  error,
  children,
}: FieldProps & { children: (ids: { id: string; "aria-describedby": string | undefined; "aria-invalid": boolean }) => ReactNode }) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  return (
    <div className="flex min-w-0 flex-col gap-1">
      <label htmlFor={id} className="text-sm font-medium">
        {label}
      </label>
      {children({ id, "aria-describedby": described, "aria-invalid": error !== undefined })}
      {hint && (
        <p id={`${id}-hint`} className="text-xs text-soft">
          {hint}
        </p>
      )}
      {error && (
        <p id={`${id}-error`} className="text-xs text-danger">
          {error}
        </p>
      )}
    </div>
  );
}

type Changes<T> = Omit<T, "onChange" | "value"> & FieldProps & { value: string; onChange(value: string): void };

export function TextField({ label, hint, error, onChange, className = "", ...rest }: Changes<InputHTMLAttributes<HTMLInputElement>>) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(ids) => (
        <input
          type="text"
          autoComplete="off"
          spellCheck={false}
          {...rest}
          {...ids}
          onChange={(event) => onChange(event.target.value)}
          className={`${control} ${className}`}
        />
      )}
    </Field>
  );
}

/** Several lines of code: SQL, JSON. */
export function CodeField({ label, hint, error, onChange, rows = 8, ...rest }: Changes<TextareaHTMLAttributes<HTMLTextAreaElement>>) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(ids) => (
        <textarea
          spellCheck={false}
          autoComplete="off"
          rows={rows}
          {...rest}
          {...ids}
          onChange={(event) => onChange(event.target.value)}
          className={`${control} font-mono leading-relaxed`}
        />
      )}
    </Field>
  );
}

export function SelectField({
  label,
  hint,
  error,
  onChange,
  options,
  ...rest
}: Changes<SelectHTMLAttributes<HTMLSelectElement>> & { options: readonly (readonly [value: string, label: string])[] }) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(ids) => (
        <select {...rest} {...ids} onChange={(event) => onChange(event.target.value)} className={control}>
          {options.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

export function Switch({
  label,
  checked,
  onChange,
  disabled,
}: {
  label: string;
  checked: boolean;
  onChange(checked: boolean): void;
  disabled?: boolean;
}) {
  return (
    <label className="inline-flex cursor-pointer items-center gap-2 text-sm">
      <input
        type="checkbox"
        role="switch"
        aria-checked={checked}
        checked={checked}
        disabled={disabled}
        onChange={(event) => onChange(event.target.checked)}
        className="relative h-5 w-9 shrink-0 cursor-pointer appearance-none rounded-full border border-line bg-raised transition-colors before:absolute before:top-0.5 before:left-0.5 before:size-3.5 before:rounded-full before:bg-soft before:transition-transform checked:bg-accent checked:before:translate-x-4 checked:before:bg-accent-ink disabled:opacity-50"
      />
      {label}
    </label>
  );
}
