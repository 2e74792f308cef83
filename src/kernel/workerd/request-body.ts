/** Bodies of requests that come from Workers' processes, whole in memory. For small ones: what may be large streams. */
import type { IncomingMessage } from "node:http";

/**
 * The body, or undefined when it is longer than `maxBytes`; read to its end in any case, or workerd would report a lost
 * connection instead of the answer. Rejects when the client goes away before the end.
 */
export function bodyOf(request: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.byteLength;
      if (size <= maxBytes) chunks.push(chunk);
    });
    request.once("end", () => resolve(size > maxBytes ? undefined : chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    request.once("error", reject);
    request.once("close", () => {
      if (!request.complete) reject(new Error("the client went away before the end of its request"));
    });
  });
}
