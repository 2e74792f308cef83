/**
 * Reads ingest bodies by events, not by async iteration, which costs a third of the request rate. Bounded in size, in time
 * without progress, and in all bodies together; one timer watches all of them.
 */
import type { IncomingMessage } from "node:http";
import { ingestError } from "./errors.ts";

export interface BodyReader {
  /** The whole body. Throws `pipelines.ingest.tooLarge`, `.timeout` or `.overloaded`. */
  read(request: IncomingMessage): Promise<Buffer>;
  stop(): void;
}

/** Bytes of bodies in memory that are not complete yet. */
const UNFINISHED_BYTES_MAX = 256 * 1024 * 1024;
/** A body that is too large is read to its end and thrown away up to here: closing on a client that sends loses the answer. */
export const DRAIN_BYTES_MAX = 16 * 1024 * 1024;

interface Unfinished {
  lastSize: number;
  size: number;
  /** Consecutive checks without progress. */
  idleChecks: number;
  fail(error: Error): void;
}

export function bodyReader(maxBytes: number, idleTimeoutMs: number): BodyReader {
  const unfinished = new Set<Unfinished>();
  let held = 0;
  // A body is given up after two checks without a byte in between: between one and two times the interval.
  const watch = setInterval(() => {
    for (const body of unfinished) {
      if (body.size !== body.lastSize) {
        body.lastSize = body.size;
        body.idleChecks = 0;
      } else if (++body.idleChecks >= 2) body.fail(ingestError("timeout"));
    }
  }, idleTimeoutMs / 2);
  watch.unref();

  return {
    stop: () => clearInterval(watch),
    read(request) {
      const announced = Number(request.headers["content-length"] ?? 0);
      if (announced > DRAIN_BYTES_MAX) return Promise.reject(ingestError("tooLarge"));
      return new Promise((resolve, reject) => {
        const chunks: Buffer[] = [];
        const body: Unfinished = { size: 0, lastSize: 0, idleChecks: 0, fail };
        let kept = 0;
        unfinished.add(body);
        const settle = (): void => {
          unfinished.delete(body);
          held -= kept;
          request.off("data", onData);
          request.off("end", onEnd);
          request.off("close", onClose);
        };
        function fail(error: Error): void {
          settle();
          // Nobody reads on: the answer closes the connection.
          request.pause();
          reject(error);
        }
        function onData(chunk: Buffer): void {
          body.size += chunk.length;
          if (body.size > DRAIN_BYTES_MAX) fail(ingestError("tooLarge"));
          else if (body.size > maxBytes) chunks.length = 0;
          else {
            kept += chunk.length;
            held += chunk.length;
            if (held > UNFINISHED_BYTES_MAX) fail(ingestError("overloaded"));
            else chunks.push(chunk);
          }
        }
        function onEnd(): void {
          settle();
          if (body.size > maxBytes) reject(ingestError("tooLarge"));
          else resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, body.size));
        }
        function onClose(): void {
          fail(ingestError("malformed", "The connection ended before the body"));
        }
        request.on("data", onData);
        request.on("end", onEnd);
        request.on("close", onClose);
      });
    },
  };
}
