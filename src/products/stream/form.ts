/**
 * Forms that upload a file: `multipart/form-data`, read piece by piece into a file on disk, so that memory stays flat
 * whatever comes. The file is the caller's; fields are few and small.
 */
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Busboy } from "@fastify/busboy";
import { bodyChunks } from "../../kernel/api/body.ts";
import { streamError } from "./errors.ts";

export interface UploadedForm {
  readonly fields: Readonly<Record<string, string>>;
  /** Absent when the form has no file. */
  readonly file: { readonly name: string; readonly type: string; readonly size: number } | undefined;
}

const REST_MAX_BYTES = 1024 * 1024;

/** Writes the form's `file` to `path`. Throws `stream.tooLarge` past `maxBytes`, `stream.badRequest` for what is no form. */
export async function receiveForm(
  body: AsyncIterable<Uint8Array> | null,
  contentType: string | null,
  path: string,
  limits: { readonly maxBytes: number; readonly idleTimeoutMs: number },
): Promise<UploadedForm> {
  const chunks = bodyChunks(body, { maxBytes: limits.maxBytes + REST_MAX_BYTES, idleTimeoutMs: limits.idleTimeoutMs });
  if (!/^multipart\/form-data\s*;/i.test(contentType ?? "")) {
    // Read first: a client whose body is left lying loses its connection.
    for await (const _ of chunks);
    throw streamError("badRequest", "Bad Request: a file is uploaded as multipart/form-data");
  }
  const fields: Record<string, string> = Object.create(null);
  let file: UploadedForm["file"];
  let writing: Promise<void> | undefined;
  let truncated = false;
  try {
    const parser = new Busboy({
      headers: { "content-type": contentType as string },
      limits: { fileSize: limits.maxBytes, files: 1, fields: 20, fieldSize: 64 * 1024, parts: 30, headerPairs: 20 },
    });
    parser.on("field", (name, value) => {
      fields[name] = value;
    });
    parser.on("file", (field, stream, name, _encoding, type) => {
      if (field !== "file") return void stream.resume();
      let size = 0;
      stream.on("data", (chunk: Buffer) => {
        size += chunk.byteLength;
      });
      writing = pipeline(stream, createWriteStream(path)).then(() => {
        truncated = stream.truncated;
        file = { name, type, size };
      });
      // Awaited below, once the parser is done.
      writing.catch(() => undefined);
    });
    await pipeline(Readable.from(chunks, { objectMode: false }), parser);
    await writing;
  } catch (cause) {
    if (cause instanceof Error && (cause as { code?: string }).code === "platform.bodyTooLarge") throw streamError("tooLarge");
    if (cause instanceof Error && "spec" in cause) throw cause;
    if ((cause as NodeJS.ErrnoException).syscall !== undefined) throw cause;
    throw streamError("badRequest", "Bad Request: the form cannot be read", { cause });
  }
  if (truncated) throw streamError("tooLarge");
  return { fields, file };
}
