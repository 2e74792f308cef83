/** The frame of a page's content: title and actions, cards, badges, pairs of a name and a value, what is empty or went wrong. */
import { Link } from "@tanstack/react-router";
import { type ReactNode, useEffect } from "react";
import { ApiFailure } from "../platform/rest.ts";
import { Button } from "./button.tsx";
import { Icon } from "./icon.tsx";

export interface Crumb {
  readonly label: string;
  readonly to: string;
}

export function Page({
  title,
  lead,
  crumbs = [],
  actions,
  children,
}: {
  title: string;
  lead?: ReactNode;
  crumbs?: readonly Crumb[];
  actions?: ReactNode;
  children: ReactNode;
}) {
  useEffect(() => {
    document.title = `${title} · Freehold`;
  }, [title]);
  return (
    <div className="flex flex-col gap-5">
      <header className="flex flex-wrap items-end justify-between gap-x-6 gap-y-3">
        <div className="min-w-0">
          {crumbs.length > 0 && (
            <nav aria-label="Breadcrumb" className="mb-1 flex flex-wrap gap-1.5 text-sm text-soft">
              {crumbs.map(({ label, to }) => (
                <span key={to} className="flex gap-1.5">
                  <Link to={to} className="underline-offset-4 hover:text-ink hover:underline">
                    {label}
                  </Link>
                  <span aria-hidden="true">/</span>
                </span>
              ))}
            </nav>
          )}
          <h1 className="text-2xl font-semibold tracking-tight break-words">{title}</h1>
          {lead && <p className="mt-1 max-w-prose text-soft">{lead}</p>}
        </div>
        {actions && <div className="flex flex-wrap gap-2">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

/** Tabs of a page are links: each has an address, and the browser's back button works. */
export function Tabs({ items }: { items: readonly { label: string; to: string; exact?: boolean }[] }) {
  return (
    <nav aria-label="Sections" className="-mt-1 flex gap-1 overflow-x-auto border-b border-line">
      {items.map(({ label, to, exact = false }) => (
        <Link
          key={to}
          to={to}
          activeOptions={{ exact, includeSearch: false }}
          className="-mb-px border-b-2 border-transparent px-3 py-2 text-sm font-medium whitespace-nowrap text-soft hover:text-ink aria-[current=page]:border-accent aria-[current=page]:text-ink"
        >
          {label}
        </Link>
      ))}
    </nav>
  );
}

export function Card({ title, lead, actions, children }: { title?: string; lead?: ReactNode; actions?: ReactNode; children?: ReactNode }) {
  return (
    <section aria-label={title} className="rounded-xl border border-line bg-surface p-5">
      {title !== undefined && (
        <div className="flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
          <div className="min-w-0">
            <h2 className="font-semibold">{title}</h2>
            {lead && <p className="mt-0.5 max-w-prose text-sm text-soft">{lead}</p>}
          </div>
          {actions && <div className="flex flex-wrap gap-2">{actions}</div>}
        </div>
      )}
      {children && <div className={title === undefined ? "" : "mt-4 empty:hidden"}>{children}</div>}
    </section>
  );
}

export type Tone = "good" | "plain" | "warn" | "bad";

const tones: Readonly<Record<Tone, string>> = {
  good: "bg-accent-wash text-accent",
  plain: "bg-raised text-soft",
  warn: "bg-warn-wash text-warn",
  bad: "bg-danger-wash text-danger",
};

export function Badge({ tone = "plain", children }: { tone?: Tone; children: ReactNode }) {
  return (
    <span className={`inline-flex items-center gap-1 rounded-full px-2 py-0.5 text-xs font-medium whitespace-nowrap ${tones[tone]}`}>
      {children}
    </span>
  );
}

/** Names and values in two columns, one below the other where it is narrow. */
export function Facts({ items }: { items: readonly (readonly [string, ReactNode] | false)[] }) {
  return (
    <dl className="grid items-center gap-x-6 text-sm sm:gap-y-2 sm:grid-cols-[9.5rem_1fr]">
      {items
        .filter((item) => item !== false)
        .map(([name, value]) => (
          <div key={name} className="contents">
            <dt className="self-start py-0.5 text-soft max-sm:mt-2 sm:leading-6">{name}</dt>
            <dd className="min-w-0 break-words sm:leading-6">{value}</dd>
          </div>
        ))}
    </dl>
  );
}

/** Nothing here yet: says what would be, and how to get it. */
export function Empty({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="flex flex-col items-center gap-3 rounded-xl border border-dashed border-line px-6 py-12 text-center">
      <p className="text-lg font-medium">{title}</p>
      {children && <div className="max-w-prose text-sm text-soft">{children}</div>}
      {action && <div className="mt-1">{action}</div>}
    </div>
  );
}

/** What to do about a failure, by the API's status. */
function remedy(error: ApiFailure): string | undefined {
  if (error.status === 0) return "Start it with `freehold up`, then try again.";
  if (error.status === 403)
    return "The token that you are signed in with may not do this. Sign in with one that has the permission, or through `freehold dash`.";
  if (error.status === 429) return "Wait a moment, then try again.";
  if (error.status === 507) return "Free some space on the disk that holds the data directory.";
  if (error.status >= 500) return "The platform's log has the details.";
  return undefined;
}

export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  if (error === null || error === undefined) return null;
  const failure = error instanceof ApiFailure ? error : new ApiFailure(String((error as Error).message ?? error), 0, -1);
  const next = failure.code === -1 ? undefined : remedy(failure);
  return (
    <div role="alert" className="flex flex-wrap items-start gap-3 rounded-lg bg-danger-wash p-3 text-sm text-ink">
      <Icon name="alert" className="mt-0.5 size-4 text-danger" />
      <div className="min-w-0 flex-1 break-words">
        <p>
          {failure.message}
          {failure.code > 0 && <span className="text-soft"> (code {failure.code})</span>}
        </p>
        {next && <p className="mt-1 text-soft">{next}</p>}
      </div>
      {retry && (
        <Button look="quiet" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  );
}

/** Holds the place of something that is being asked for. */
export function Loading({ rows = 3 }: { rows?: number }) {
  return (
    <div role="status" className="flex flex-col gap-3 py-2">
      <span className="sr-only">Loading</span>
      {Array.from({ length: rows }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: bars without identity
        <span key={i} className="h-5 animate-pulse rounded bg-raised" />
      ))}
    </div>
  );
}
