/** Events one below the other, newest first; each opens to all of its fields. */
import type { ReactNode } from "react";
import { messageOf, type TelemetryEvent } from "../platform/telemetry.ts";
import { Badge, type Tone } from "./page.tsx";

const tones: Readonly<Record<string, Tone>> = { error: "bad", warn: "warn" };

const time = (ms: number): string => {
  const date = new Date(ms);
  return `${date.toLocaleDateString(undefined, { month: "short", day: "numeric" })} ${date.toLocaleTimeString(undefined, { hour12: false })}.${String(ms % 1_000).padStart(3, "0")}`;
};

export function EventList({ label, events, service = false }: { label: string; events: readonly TelemetryEvent[]; service?: boolean }) {
  return (
    <ul aria-label={label} className="divide-y divide-line overflow-hidden rounded-xl border border-line bg-surface">
      {events.map((event) => (
        <li key={event.$metadata.id}>
          <Event event={event} lead={service && <span className="text-soft">{event.$metadata.service}</span>} />
        </li>
      ))}
    </ul>
  );
}

function Event({ event, lead }: { event: TelemetryEvent; lead: ReactNode }) {
  const level = String(event.$metadata.level ?? (event.dataset === "otel" ? "span" : "log"));
  const { dataset: _, ...shown } = event;
  return (
    <details>
      <summary className="flex flex-wrap items-baseline gap-x-3 gap-y-1 px-4 py-2 font-mono text-xs hover:bg-raised/60">
        <time dateTime={new Date(event.timestamp).toISOString()} className="whitespace-nowrap text-soft">
          {time(event.timestamp)}
        </time>
        <Badge tone={tones[level] ?? "plain"}>{level}</Badge>
        {lead}
        <span className="min-w-0 flex-1 basis-64 truncate">{messageOf(event).slice(0, 500)}</span>
      </summary>
      <pre className="max-h-96 overflow-auto bg-raised px-4 py-3 font-mono text-xs whitespace-pre-wrap break-words">
        {JSON.stringify(shown, null, 2)}
      </pre>
    </details>
  );
}
