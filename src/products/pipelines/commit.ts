/** Appending a batch to a journal, with an ingest door's errors. */
import { PlatformError } from "../../kernel/errors.ts";
import type { Journal } from "../../kernel/journal/journal.ts";
import { ingestError } from "./errors.ts";
import type { Batch } from "./records.ts";

/** Durable when it resolves: from then on the events are delivered, whatever happens to this process. */
export async function commitBatch(journal: Journal, batch: Batch): Promise<void> {
  try {
    await journal.append(batch.payload, batch.count);
  } catch (cause) {
    throw failure(cause);
  }
}

function failure(cause: unknown): unknown {
  if (!(cause instanceof PlatformError)) return cause;
  if (cause.code === "journal.overloaded") return ingestError("overloaded", undefined, { cause });
  if (cause.code === "journal.full") return ingestError("diskFull", undefined, { cause });
  // Its owner was deleted meanwhile.
  if (cause.code === "journal.closed") return ingestError("notFound", undefined, { cause });
  return cause;
}
