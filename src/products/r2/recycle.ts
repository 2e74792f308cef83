/** A chunk that the socket gave us has memory of its own; smaller ones may share theirs. */
const OWN_BYTES = 16 * 1024;

/**
 * Gives a chunk's memory back at once instead of at the next collection. Bodies arrive in chunks of 64 KiB, each with
 * memory of its own, and V8 runs a full collection for every 64 MiB of them: a second of each gigabyte. Only for
 * chunks of a request's body or of a blob that nobody reads any more.
 */
export function recycle(chunk: Buffer): void {
  const { buffer, byteOffset, byteLength } = chunk;
  if (byteLength >= OWN_BYTES && byteOffset === 0 && byteLength === buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
