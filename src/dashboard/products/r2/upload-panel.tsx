/** What is being uploaded, in the corner of R2's pages. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import { Button, IconButton } from "../../components/button.tsx";
import { Icon } from "../../components/icon.tsx";
import { Progress } from "../../components/progress.tsx";
import { bytes, counted } from "../../platform/format.ts";
import { bucketPath } from "./api.ts";
import { type Upload, uploads } from "./uploads.ts";

/** More than these are counted, not listed. */
const SHOWN_MAX = 50;

export function UploadPanel() {
  const all = useSyncExternalStore(uploads.subscribe, uploads.all);
  const client = useQueryClient();
  useEffect(() => uploads.onDone((ref) => void client.invalidateQueries({ queryKey: [`${bucketPath(ref)}/objects`] })), [client]);
  if (all.length === 0) return null;
  const left = all.filter(({ state }) => state === "waiting" || state === "going").length;
  const failed = all.filter(({ state }) => state === "failed").length;
  const title =
    left > 0
      ? `Uploading ${counted(left, "file")}`
      : failed > 0
        ? `${counted(failed, "upload")} failed`
        : `${counted(all.length, "file")} uploaded`;
  const order: Readonly<Record<Upload["state"], number>> = { failed: 0, going: 1, waiting: 2, done: 3 };
  const shown = all.toSorted((a, b) => order[a.state] - order[b.state]).slice(0, SHOWN_MAX);
  return (
    <section
      aria-label="Uploads"
      className="fixed right-4 bottom-4 left-4 z-20 rounded-xl border border-line bg-surface shadow-lg sm:left-auto sm:w-96"
    >
      <div className="flex items-center justify-between border-b border-line py-1.5 pr-2 pl-4">
        <p role="status" className="text-sm font-medium">
          {title}
        </p>
        <Button look="quiet" onClick={uploads.clear} disabled={left === all.length}>
          Clear
        </Button>
      </div>
      <ul className="max-h-64 overflow-y-auto px-4 py-2">
        {shown.map((upload) => (
          <Row key={upload.id} upload={upload} />
        ))}
        {all.length > shown.length && <li className="py-1 text-xs text-soft">and {counted(all.length - shown.length, "other")}</li>}
      </ul>
    </section>
  );
}

function Row({ upload }: { upload: Upload }) {
  const { id, key, size, loaded, state, error } = upload;
  return (
    <li className="py-1.5 text-sm">
      <div className="flex items-center gap-2">
        <span className="min-w-0 flex-1 truncate" title={key}>
          {key}
        </span>
        <span className="text-xs whitespace-nowrap text-soft">
          {state === "going" ? `${bytes(loaded)} of ${bytes(size)}` : state === "waiting" ? "waiting" : bytes(size)}
        </span>
        {state === "done" && <Icon name="check" className="size-4 text-accent" />}
        {state === "failed" && (
          <IconButton label={`Upload ${key} again`} className="size-6" onClick={() => uploads.retry(id)}>
            <Icon name="refresh" />
          </IconButton>
        )}
        {state !== "done" && (
          <IconButton label={state === "failed" ? `Dismiss ${key}` : `Stop ${key}`} className="size-6" onClick={() => uploads.cancel(id)}>
            <Icon name="close" />
          </IconButton>
        )}
      </div>
      {state === "going" && <Progress label={`Upload of ${key}`} value={size === 0 ? 1 : loaded / size} />}
      {error && <p className="text-xs text-danger">{error}</p>}
    </li>
  );
}
