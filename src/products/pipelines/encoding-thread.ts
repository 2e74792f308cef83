/**
 * The thread behind `encoder.ts`: checks and encodes bodies, one after another. Memory comes and goes with the messages,
 * nothing is copied and nothing is kept.
 */
import { isMarkedAsUntransferable, parentPort } from "node:worker_threads";
import { PlatformError } from "../../kernel/errors.ts";
import type { Field } from "./fields.ts";
import { type RecordCheck, recordCheck } from "./record-check.ts";
import { type Batch, encodeBatch, type LineForm } from "./records.ts";

export interface EncodingRequest {
  readonly id: number;
  /** The whole of its buffer. */
  readonly body: Uint8Array<ArrayBuffer>;
  /** Undefined: an unstructured stream. */
  readonly fields: readonly Field[] | undefined;
  readonly time: number;
  readonly form: LineForm;
}

export type EncodingAnswer = { readonly id: number } & (
  | { readonly kind: "encoded"; readonly batch: Batch | undefined }
  /** The body is the client's mistake: the key and the message of an `ingestError`. */
  | { readonly kind: "refused"; readonly code: string; readonly message: string }
  | { readonly kind: "failed"; readonly message: string }
);

const port = parentPort;
if (port === null) throw new Error("encoding-thread.ts is a worker thread's program");

port.on("message", ({ id, body, fields, time, form }: EncodingRequest) => {
  try {
    const check: RecordCheck | undefined = fields && recordCheck(fields);
    const batch = encodeBatch(Buffer.from(body.buffer), check, time, form);
    const memory = batch === undefined ? [] : [batch.payload.buffer, batch.body.buffer, batch.bounds.buffer];
    // A payload of a few kilobytes lies in Node's pool, which stays here: it is copied.
    const moved = (memory as ArrayBuffer[]).filter((buffer) => !isMarkedAsUntransferable(buffer));
    port.postMessage({ id, kind: "encoded", batch } satisfies EncodingAnswer, moved);
  } catch (error) {
    const answer: EncodingAnswer =
      error instanceof PlatformError
        ? { id, kind: "refused", code: error.code, message: error.message }
        : { id, kind: "failed", message: error instanceof Error ? error.message : String(error) };
    port.postMessage(answer);
  }
});
