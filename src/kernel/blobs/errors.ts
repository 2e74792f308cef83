/** Errors of the blob store. A full disk is `platform.storageFull`. */
import { defineErrors } from "../errors.ts";

export const blobError = defineErrors("blobs", {
  notFound: { status: 404, apiCode: 10404, message: "There is no such blob" },
  invalidRange: { status: 416, apiCode: 10416, message: "The range does not lie inside the blob" },
});
