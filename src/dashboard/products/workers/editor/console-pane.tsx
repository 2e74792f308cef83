/** What the preview's Worker prints, and what it throws. */
import { useEffect, useRef } from "react";
import { Button } from "../../../components/button.tsx";
import type { ConsoleEntry } from "./preview.ts";

const tones: Readonly<Record<string, string>> = { error: "text-danger", warn: "text-warn" };

export function ConsolePane({ entries, onClear }: { entries: readonly ConsoleEntry[]; onClear(): void }) {
  const list = useRef<HTMLOListElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: to the newest entry whenever there is one.
  useEffect(() => {
    list.current?.scrollTo({ top: list.current.scrollHeight });
  }, [entries]);
  return (
    <section aria-label="Console" className="flex h-44 shrink-0 flex-col border-t border-line">
      <div className="flex items-center justify-between px-3 py-1">
        <h2 className="text-xs font-medium text-soft">Console</h2>
        <Button look="quiet" className="px-2 py-0.5 text-xs" disabled={entries.length === 0} onClick={onClear}>
          Clear
        </Button>
      </div>
      <ol ref={list} aria-live="polite" className="min-h-0 flex-1 overflow-y-auto px-3 pb-2 font-mono text-xs">
        {entries.map(({ id, level, text }) => (
          <li key={id} className={`border-t border-line py-1 break-words whitespace-pre-wrap first:border-t-0 ${tones[level] ?? ""}`}>
            {text}
          </li>
        ))}
      </ol>
    </section>
  );
}
