/** Archives (ZIP) of office documents, unpacked within bounds: an archive that says it is larger than that is refused unread. */
import { unzipSync } from "fflate";

const ENTRIES_MAX = 10_000;

export class ArchiveError extends Error {}

/** The entries that `wanted` picks, each as large as the archive says. Throws an `ArchiveError`. */
export function unpack(bytes: Uint8Array, maxBytes: number, wanted: (name: string) => boolean): Record<string, Uint8Array> {
  let total = 0;
  let entries = 0;
  try {
    return unzipSync(bytes, {
      filter({ name, originalSize }) {
        if (++entries > ENTRIES_MAX) throw new ArchiveError("the document has too many parts");
        if (!wanted(name)) return false;
        total += originalSize;
        if (total > maxBytes) throw new ArchiveError("the document is too large when unpacked");
        return true;
      },
    });
  } catch (cause) {
    if (cause instanceof ArchiveError) throw cause;
    throw new ArchiveError(`the document is damaged: ${(cause as Error).message}`, { cause });
  }
}

export function textOf(files: Readonly<Record<string, Uint8Array>>, name: string): string | undefined {
  const bytes = files[name];
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}
