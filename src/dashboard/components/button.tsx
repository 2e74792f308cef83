/** Buttons, and links that look like them. While `busy` a button takes no clicks and says so. */
import type { AnchorHTMLAttributes, ButtonHTMLAttributes } from "react";

export type Look = "primary" | "plain" | "danger" | "quiet";

const looks: Readonly<Record<Look, string>> = {
  primary: "bg-accent text-accent-ink border-transparent hover:opacity-90",
  plain: "bg-surface text-ink border-line hover:bg-raised",
  danger: "bg-danger text-danger-ink border-transparent hover:opacity-90",
  quiet: "bg-transparent text-soft border-transparent hover:bg-raised hover:text-ink",
};

const shape =
  "inline-flex items-center justify-center gap-2 rounded-lg border px-3 py-1.5 text-sm font-medium whitespace-nowrap transition-colors disabled:opacity-50";

interface Style {
  readonly look?: Look;
}

export function Button({
  look = "plain",
  busy = false,
  className = "",
  disabled,
  children,
  ...rest
}: ButtonHTMLAttributes<HTMLButtonElement> & Style & { busy?: boolean }) {
  return (
    <button type="button" {...rest} disabled={disabled || busy} aria-busy={busy} className={`${shape} ${looks[look]} ${className}`}>
      {busy && <span aria-hidden="true" className="size-3.5 animate-spin rounded-full border-2 border-current border-r-transparent" />}
      {children}
    </button>
  );
}

/** A button that is a drawing alone; `label` is its name for those who do not see it, and its tooltip. */
export function IconButton({
  label,
  className = "",
  ...rest
}: Omit<ButtonHTMLAttributes<HTMLButtonElement>, "aria-label" | "title"> & { label: string }) {
  return (
    <button
      type="button"
      {...rest}
      aria-label={label}
      title={label}
      className={`inline-flex size-8 items-center justify-center rounded-lg text-soft hover:bg-raised hover:text-ink disabled:opacity-40 ${className}`}
    />
  );
}

export const linkShape = (look: Look = "plain"): string => `${shape} ${looks[look]}`;

export function ButtonLink({ look = "plain", className = "", ...rest }: AnchorHTMLAttributes<HTMLAnchorElement> & Style) {
  return <a {...rest} className={`${linkShape(look)} ${className}`} />;
}
