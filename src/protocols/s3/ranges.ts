/** HTTP byte ranges as R2's S3 API reads them: one range, inclusive, refused when malformed. */
import { invalidArgument, S3Error } from "./errors.ts";

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export const invalidRange = (): S3Error =>
  new S3Error({ status: 416, code: "InvalidRange", message: "The requested range is not satisfiable" });

/**
 * The bytes of an object of `size` that a `Range` header asks for. Throws InvalidArgument when it is malformed,
 * InvalidRange when no byte of the object lies in it. The words are the service's own, quote included.
 */
export function parseRange(header: string, size: number): ByteRange {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header.trim());
  if (match === null || (match[1] === "" && match[2] === "")) {
    throw invalidArgument("range must be in format 'bytes=start-end', 'bytes=start-' or 'bytes=-suffix'.'");
  }
  if (match[1] === "") {
    const suffix = Math.min(Number(match[2]), size);
    if (suffix === 0) throw invalidRange();
    return { offset: size - suffix, length: suffix };
  }
  const start = Number(match[1]);
  const end = match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (match[2] !== "" && Number(match[2]) < start) throw invalidArgument("range must be positive.");
  if (start >= size) throw invalidRange();
  return { offset: start, length: end - start + 1 };
}

/** `x-amz-copy-source-range`: both ends are required; the end is cut to the object. */
export function parseCopyRange(header: string, size: number): ByteRange {
  const match = /^bytes=(\d+)-(\d+)$/.exec(header);
  if (match === null) throw invalidArgument(`Invalid x-amz-copy-source-range: ${header}`);
  const [start, end] = [Number(match[1]), Number(match[2])];
  if (end < start) throw invalidArgument("x-amz-copy-source-range must be positive.");
  if (start >= size) throw invalidRange();
  return { offset: start, length: Math.min(end, size - 1) - start + 1 };
}
