/**
 * Where code is edited and seen running: modules on the left; preview, requests by hand and console on the right. Nothing
 * runs before Run is pressed, since the code may have come by a link; from then on each change runs by itself.
 */
import { lazy, type ReactNode, Suspense, useEffect, useRef, useState } from "react";
import { Button } from "../../../components/button.tsx";
import { Failure, Loading } from "../../../components/page.tsx";
import type { WorkerCode } from "./code.ts";
import { ConsolePane } from "./console-pane.tsx";
import { HttpPane } from "./http-pane.tsx";
import { ModuleTabs } from "./module-tabs.tsx";
import { usePreview } from "./preview.ts";
import { PreviewPane } from "./preview-pane.tsx";

const CodeEditor = lazy(() => import("./code-editor.tsx"));

/** A pause in typing after which a change runs. */
const PAUSE_MS = 700;
const NOTHING: Readonly<Record<string, unknown>> = {};

export function Workbench({
  name,
  code,
  onChange,
  metadata = NOTHING,
  actions,
}: {
  /** Worker that the preview passes for. */
  name: string;
  code: WorkerCode;
  onChange(code: WorkerCode): void;
  /** Of the preview's uploads, besides the code. The same object as long as its content is. */
  metadata?: Readonly<Record<string, unknown>>;
  actions: ReactNode;
}) {
  const [open, setOpen] = useState(code.main);
  const [tab, setTab] = useState<"preview" | "http">("preview");
  const preview = usePreview(name, metadata);
  const { run } = preview;
  const asked = useRef<WorkerCode>(undefined);
  const start = () => {
    asked.current = code;
    void run(code);
  };

  useEffect(() => {
    if (asked.current === undefined || asked.current === code) return;
    const timer = setTimeout(() => {
      asked.current = code;
      void run(code);
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [code, run]);

  const module = code.modules.find((each) => each.name === open);
  const edit = (content: string) =>
    onChange({ ...code, modules: code.modules.map((each) => (each.name === open ? { ...each, content } : each)) });
  return (
    <>
      <div className="flex flex-wrap items-center gap-2">
        <Button look="primary" busy={preview.busy} onClick={start}>
          Run
        </Button>
        {actions}
      </div>
      <Failure error={preview.error} />
      <div className="grid gap-4 lg:h-[calc(100dvh-15rem)] lg:min-h-[32rem] lg:grid-cols-2">
        <section
          aria-label="Code"
          className="flex h-[28rem] min-w-0 flex-col overflow-hidden rounded-xl border border-line bg-surface lg:h-auto"
        >
          <ModuleTabs code={code} open={open} onOpen={setOpen} onChange={onChange} />
          {typeof module?.content === "string" ? (
            <Suspense fallback={<Loading />}>
              <CodeEditor name={module.name} text={module.content} onChange={edit} onRun={start} />
            </Suspense>
          ) : (
            <p className="p-6 text-sm text-soft">A module of {module?.content.size ?? 0} bytes, which stays as it is.</p>
          )}
        </section>
        <section
          aria-label="Result"
          className="flex h-[36rem] min-w-0 flex-col overflow-hidden rounded-xl border border-line bg-surface lg:h-auto"
        >
          <div role="tablist" aria-label="Result" className="flex gap-1 border-b border-line px-2">
            {(["preview", "http"] as const).map((each) => (
              <button
                key={each}
                type="button"
                role="tab"
                aria-selected={tab === each}
                onClick={() => setTab(each)}
                className="-mb-px border-b-2 border-transparent px-3 py-2 text-sm font-medium text-soft hover:text-ink aria-selected:border-accent aria-selected:text-ink"
              >
                {each === "preview" ? "Preview" : "HTTP"}
              </button>
            ))}
          </div>
          <div className="flex min-h-0 flex-1 flex-col">
            {tab === "preview" ? <PreviewPane running={preview.running} /> : <HttpPane running={preview.running} />}
          </div>
          <ConsolePane entries={preview.entries} onClear={preview.clear} />
        </section>
      </div>
    </>
  );
}
