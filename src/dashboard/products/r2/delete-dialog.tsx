/**
 * Deleting what was chosen: objects by their keys, and everything under chosen prefixes. Says how far it is, and which
 * objects stayed and why; a locked object stays, whatever was chosen.
 */
import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { Button } from "../../components/button.tsx";
import { ConfirmDialog, Dialog, FormDialog } from "../../components/dialog.tsx";
import { Progress } from "../../components/progress.tsx";
import { useToast } from "../../components/toast.tsx";
import { counted } from "../../platform/format.ts";
import type { ApiFailure } from "../../platform/rest.ts";
import { type BucketRef, bucketPath, deleteObject, listObjects } from "./api.ts";

interface Outcome {
  readonly deleted: number;
  readonly kept: readonly { readonly key: string; readonly reason: string }[];
}

const AT_ONCE = 8;
const KEPT_SHOWN = 100;
/** As many keys as a page of the list may have. */
const KEYS_PER_PAGE = 1000;

/** What was chosen. A key may end like a prefix: which one is meant is not read from the text. */
export interface Choice {
  readonly keys: readonly string[];
  readonly prefixes: readonly string[];
}

/** The keys behind the choice, a portion at a time. */
async function* keysOf(bucket: BucketRef, choice: Choice): AsyncGenerator<readonly string[]> {
  yield choice.keys;
  for (const prefix of choice.prefixes) {
    let cursor: string | undefined;
    do {
      const { result, info } = await listObjects(bucket, { prefix, cursor, perPage: KEYS_PER_PAGE });
      yield result.map(({ key }) => key);
      cursor = info.is_truncated ? info.cursor : undefined;
    } while (cursor !== undefined);
  }
}

async function deleteAll(
  bucket: BucketRef,
  choice: Choice,
  stopped: () => boolean,
  onProgress: (outcome: Outcome) => void,
): Promise<Outcome> {
  let outcome: Outcome = { deleted: 0, kept: [] };
  for await (const keys of keysOf(bucket, choice)) {
    const left = [...keys];
    const worker = async (): Promise<void> => {
      for (let key = left.shift(); key !== undefined && !stopped(); key = left.shift()) {
        try {
          await deleteObject(bucket, key);
          outcome = { ...outcome, deleted: outcome.deleted + 1 };
        } catch (error) {
          const { message, code } = error as ApiFailure;
          outcome = { ...outcome, kept: [...outcome.kept, { key, reason: code > 0 ? `${message} (code ${code})` : message }] };
        }
        onProgress(outcome);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    if (stopped()) break;
  }
  return outcome;
}

export function DeleteDialog({ bucket, choice, onClose }: { bucket: BucketRef; choice: Choice; onClose(): void }) {
  const client = useQueryClient();
  const toast = useToast();
  // What the dialog was opened for: the list behind it changes while it works.
  const [chosen] = useState(choice);
  const [outcome, setOutcome] = useState<Outcome>();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>();
  const stop = useRef(false);
  const { keys, prefixes } = chosen;

  const run = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      const final = await deleteAll(bucket, chosen, () => stop.current, setOutcome);
      setOutcome(final);
      toast(`${counted(final.deleted, "object")} deleted`);
      if (final.kept.length === 0) onClose();
    } catch (error) {
      setFailure(error);
    } finally {
      setBusy(false);
      await client.invalidateQueries({ queryKey: [`${bucketPath(bucket)}/objects`] });
    }
  };
  const close = () => {
    stop.current = true;
    onClose();
  };

  if (outcome !== undefined && !busy && failure === undefined && outcome.kept.length > 0) {
    return (
      <Dialog title={`${counted(outcome.kept.length, "object")} stayed`} onClose={close} wide>
        <p className="text-sm text-soft">{counted(outcome.deleted, "object")} deleted. The others could not be:</p>
        <ul className="my-3 flex max-h-72 flex-col gap-1.5 overflow-y-auto text-sm">
          {outcome.kept.slice(0, KEPT_SHOWN).map(({ key, reason }) => (
            <li key={key}>
              <span className="font-medium break-all">{key}</span>
              <span className="text-soft">: {reason}</span>
            </li>
          ))}
        </ul>
        <div className="flex justify-end">
          <Button onClick={close}>Close</Button>
        </div>
      </Dialog>
    );
  }
  const only = keys.length === 1 ? keys[0] : undefined;
  const text =
    prefixes.length > 0
      ? `Everything under ${prefixes.length === 1 ? prefixes[0] : counted(prefixes.length, "folder")} is deleted${
          keys.length > 0 ? `, and ${counted(keys.length, "object")} beside it` : ""
        }.`
      : only !== undefined
        ? `${only} is deleted.`
        : `${counted(keys.length, "object")} are deleted.`;
  const body = (
    <>
      <p>{text} This cannot be undone. Locked objects stay.</p>
      {busy && outcome && (
        <div className="mt-3 flex flex-col gap-1">
          {/* How much lies under a prefix is not known before its end. */}
          {prefixes.length === 0 && <Progress label="Deleting" value={(outcome.deleted + outcome.kept.length) / keys.length} />}
          <span>{counted(outcome.deleted, "object")} deleted</span>
        </div>
      )}
    </>
  );
  const common = { busy, error: failure, onClose: close };
  if (prefixes.length > 0) {
    return (
      <ConfirmDialog title="Delete folders" word="delete" submit="Delete" onConfirm={() => void run()} {...common}>
        {body}
      </ConfirmDialog>
    );
  }
  return (
    <FormDialog
      title={only === undefined ? `Delete ${counted(keys.length, "object")}` : "Delete object"}
      submit="Delete"
      look="danger"
      onSubmit={() => void run()}
      {...common}
    >
      <div className="text-sm text-soft">{body}</div>
    </FormDialog>
  );
}
