/**
 * The preview's pages in a frame. The frame's pages have an origin of their own and may do what pages do, but for leading
 * the window that they are in elsewhere.
 */
import { type FormEvent, useState } from "react";
import { IconButton } from "../../../components/button.tsx";
import { Icon } from "../../../components/icon.tsx";
import type { Running } from "./preview.ts";

export function PreviewPane({ running }: { running: Running | undefined }) {
  const [typed, setTyped] = useState("/");
  const [shown, setShown] = useState({ path: "/", loads: 0 });
  const go = (event: FormEvent) => {
    event.preventDefault();
    setShown(({ loads }) => ({ path: typed.startsWith("/") ? typed : `/${typed}`, loads: loads + 1 }));
  };
  return (
    <div className="flex h-full flex-col">
      <form onSubmit={go} className="flex items-center gap-1 border-b border-line p-1.5">
        <input
          aria-label="Path"
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
          spellCheck={false}
          autoComplete="off"
          className="min-w-0 flex-1 rounded-lg border border-line bg-canvas px-3 py-1 font-mono text-xs text-ink"
        />
        <IconButton type="submit" label="Load" disabled={running === undefined}>
          <Icon name="refresh" />
        </IconButton>
      </form>
      {running === undefined ? (
        <NotRunning />
      ) : (
        <iframe
          key={`${running.run} ${shown.loads}`}
          title="Preview"
          src={running.url + shown.path}
          sandbox="allow-scripts allow-same-origin allow-forms allow-modals allow-popups allow-downloads"
          referrerPolicy="no-referrer"
          className="min-h-0 w-full flex-1 bg-white"
        />
      )}
    </div>
  );
}

export const NotRunning = () => (
  <p className="flex flex-1 items-center justify-center p-6 text-center text-sm text-soft">Nothing runs yet. Press Run.</p>
);
