/** Errors of the journal. Callers match on the code; a surface that answers clients maps them to its own documented error. */
import { defineErrors } from "../errors.ts";

export const journalError = defineErrors("journal", {
  full: {
    status: 507,
    apiCode: 10507,
    message: "The data directory's disk is full; writes resume by themselves when space is freed",
    retryable: true,
  },
  overloaded: { status: 429, apiCode: 10429, message: "More bytes are waiting for the disk than may wait; try again", retryable: true },
  failed: { status: 503, apiCode: 10503, message: "The entry could not be written to the disk", retryable: true },
  tooLarge: { status: 413, apiCode: 10413, message: "The entry is larger than the bytes that may wait for the disk" },
  trimmed: { status: 410, apiCode: 10410, message: "The records at this offset have been trimmed" },
  damaged: { status: 500, apiCode: 10500, message: "The journal is damaged" },
  closed: { status: 503, apiCode: 10503, message: "The journal is closed", retryable: true },
  invalidName: { status: 400, apiCode: 10021, message: "A journal's name is 1 to 128 characters of a-z, 0-9 and -" },
});
