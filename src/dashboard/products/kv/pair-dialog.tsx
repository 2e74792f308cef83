/** One entry: a new one, or one that is there with its value as text. Large values and those that are no text are not edited here. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Button } from "../../components/button.tsx";
import { Dialog, FormDialog } from "../../components/dialog.tsx";
import { CodeField, TextField } from "../../components/form.tsx";
import { Failure, Loading } from "../../components/page.tsx";
import { bytes } from "../../platform/format.ts";
import { useAction } from "../../platform/queries.ts";
import { onAccount, rawOnAccount } from "../../platform/rest.ts";
import { type Key, namespacePath, valuePath } from "./api.ts";

const EDITED_MAX_BYTES = 1_000_000;

/** The value as text, or why it is not shown. */
async function readValue(path: string, signal: AbortSignal): Promise<{ text: string } | { refused: string }> {
  const response = await rawOnAccount(path, signal);
  const body = await response.blob();
  if (body.size > EDITED_MAX_BYTES) return { refused: `The value has ${bytes(body.size)}: too large to be edited here.` };
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await body.arrayBuffer());
    return text.includes("\r") ? { refused: "The value has ends of lines that a text field would change." } : { text };
  } catch {
    // Bytes that are no text would come back changed.
    return { refused: `The value is no text, but ${bytes(body.size)} of other data.` };
  }
}

export function PairDialog({ namespace, entry, onClose }: { namespace: string; entry: Key | undefined; onClose(): void }) {
  const value = useQuery({
    queryKey: ["kv value", namespace, entry?.name],
    queryFn: ({ signal }) => readValue(valuePath(namespace, entry?.name ?? ""), signal),
    enabled: entry !== undefined,
    gcTime: 0,
    staleTime: 0,
  });
  if (entry === undefined) return <Editor namespace={namespace} entry={undefined} text="" onClose={onClose} />;
  if (value.data !== undefined && "text" in value.data) {
    return <Editor namespace={namespace} entry={entry} text={value.data.text} onClose={onClose} />;
  }
  return (
    <Dialog title={entry.name} onClose={onClose}>
      {value.isPending && <Loading rows={2} />}
      <Failure error={value.error} />
      {value.data && "refused" in value.data && <p className="text-sm text-soft">{value.data.refused}</p>}
      <div className="mt-4 flex justify-end">
        <Button onClick={onClose}>Close</Button>
      </div>
    </Dialog>
  );
}

function Editor({ namespace, entry, text, onClose }: { namespace: string; entry: Key | undefined; text: string; onClose(): void }) {
  const [key, setKey] = useState(entry?.name ?? "");
  const [value, setValue] = useState(text);
  const [metadata, setMetadata] = useState(entry?.metadata === undefined ? "" : JSON.stringify(entry.metadata));
  const [ttl, setTtl] = useState("");
  const save = useAction(
    async () => {
      const form = new FormData();
      // As files: in the text of a form a browser changes the ends of lines.
      form.set("value", new Blob([value]));
      if (metadata.trim() !== "") form.set("metadata", new Blob([metadata]));
      // An expiration that is there stays, unless another is given.
      const query = ttl !== "" ? `?expiration_ttl=${ttl}` : entry?.expiration === undefined ? "" : `?expiration=${entry.expiration}`;
      return onAccount(`${valuePath(namespace, key)}${query}`, { method: "PUT", raw: form });
    },
    { stale: [`${namespacePath(namespace)}/keys`], done: `${key} saved`, onDone: onClose },
  );
  const badMetadata = metadata.trim() !== "" && !isJson(metadata);
  return (
    <FormDialog
      title={entry === undefined ? "Add entry" : entry.name}
      submit="Save"
      wide
      busy={save.isPending}
      ready={key !== "" && !badMetadata && /^\d*$/.test(ttl)}
      error={save.error}
      onSubmit={() => save.mutate()}
      onClose={onClose}
    >
      {entry === undefined && <TextField label="Key" value={key} onChange={setKey} autoFocus />}
      <CodeField label="Value" value={value} onChange={setValue} />
      <TextField
        label="Metadata as JSON"
        value={metadata}
        onChange={setMetadata}
        error={badMetadata ? "This is not JSON" : undefined}
        hint="Listed with the key; empty for none."
      />
      <TextField
        label="Expires after seconds"
        inputMode="numeric"
        value={ttl}
        onChange={setTtl}
        hint="At least 60; empty to leave it as it is."
      />
    </FormDialog>
  );
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
