/**
 * Dialogs on the browser's own <dialog>: it keeps the focus inside, closes on Escape, and gives the focus back. Rendered
 * only while open, so that each opening begins afresh.
 */
import { type FormEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { Button } from "./button.tsx";
import { TextField } from "./form.tsx";
import { Icon } from "./icon.tsx";
import { Failure } from "./page.tsx";

export function Dialog({
  title,
  onClose,
  wide = false,
  children,
}: {
  title: string;
  onClose(): void;
  wide?: boolean;
  children: ReactNode;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (dialog !== null && !dialog.open) dialog.showModal();
  }, []);
  return (
    <dialog
      ref={ref}
      aria-labelledby={id}
      onClose={onClose}
      className={`m-auto max-h-[calc(100dvh-2rem)] w-[calc(100vw-2rem)] overflow-y-auto rounded-2xl border border-line bg-surface p-0 text-ink shadow-xl ${wide ? "max-w-2xl" : "max-w-lg"}`}
    >
      <div className="flex items-center justify-between gap-4 border-b border-line px-5 py-3">
        <h2 id={id} className="min-w-0 font-semibold break-words">
          {title}
        </h2>
        <button
          type="button"
          aria-label="Close"
          onClick={() => ref.current?.close()}
          className="inline-flex size-8 shrink-0 items-center justify-center rounded-lg text-soft hover:bg-raised hover:text-ink"
        >
          <Icon name="close" />
        </button>
      </div>
      <div className="p-5">{children}</div>
    </dialog>
  );
}

/** A form in a dialog: fields, failure, and the button that sends it. */
export function FormDialog({
  title,
  submit,
  look = "primary",
  busy,
  ready = true,
  error,
  wide,
  onSubmit,
  onClose,
  children,
}: {
  title: string;
  submit: string;
  look?: "primary" | "danger";
  busy: boolean;
  ready?: boolean;
  error: unknown;
  wide?: boolean;
  onSubmit(): void;
  onClose(): void;
  children: ReactNode;
}) {
  const send = (event: FormEvent) => {
    event.preventDefault();
    if (ready && !busy) onSubmit();
  };
  return (
    <Dialog title={title} onClose={onClose} wide={wide}>
      <form onSubmit={send} className="flex flex-col gap-4" noValidate>
        {children}
        <Failure error={error} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look={look} busy={busy} disabled={!ready}>
            {submit}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** Asks before something that cannot be undone; the button works once `word` has been typed. */
export function ConfirmDialog({
  title,
  word,
  submit,
  look = "danger",
  busy,
  error,
  onConfirm,
  onClose,
  children,
}: {
  title: string;
  word: string;
  submit: string;
  look?: "primary" | "danger";
  busy: boolean;
  error: unknown;
  onConfirm(): void;
  onClose(): void;
  children: ReactNode;
}) {
  const [typed, setTyped] = useState("");
  return (
    <FormDialog
      title={title}
      submit={submit}
      look={look}
      busy={busy}
      ready={typed === word}
      error={error}
      onSubmit={onConfirm}
      onClose={onClose}
    >
      <div className="text-sm text-soft">{children}</div>
      <TextField label={`Type ${word} to confirm`} value={typed} onChange={setTyped} autoFocus />
    </FormDialog>
  );
}
