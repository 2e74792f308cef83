/**
 * Files of the sandbox, by path. A relative path counts from where its session's shell stands. There is no path a sandbox's owner
 * may not name: the container is the border, and everything inside it is his.
 */
import type { Dirent } from "node:fs";
import { createReadStream } from "node:fs";
import { lstat, mkdir, readdir, readFile, rename, stat, unlink, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { invalid, RuntimeError } from "./errors.ts";
import { isText, mimeType } from "./mime.ts";
import type { Shell } from "./shell.ts";

/** Contents answer in one JSON document. */
const MAX_ENCODED_BYTES = 32 * 1024 * 1024;
const CHUNK_BYTES = 65535;
const MAX_LISTED = 100_000;
const PERMISSIONS = ["---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx"];

export interface FileContent {
  readonly content: string;
  readonly encoding: "utf-8" | "base64";
  readonly isBinary: boolean;
  readonly mimeType: string;
  readonly size: number;
}

export type FileEvent =
  | { type: "metadata"; mimeType: string; size: number; isBinary: boolean; encoding: "utf-8" | "base64" }
  | { type: "chunk"; data: string }
  | { type: "complete"; bytesRead: number }
  | { type: "error"; error: string };

export class Files {
  async read(shell: Shell, path: string, encoding?: string): Promise<FileContent> {
    const file = await found(shell, path, "file.read");
    if (file.size > MAX_ENCODED_BYTES) {
      const message = `File too large. Size ${file.size} bytes exceeds the 32 MiB limit. Use readFile() with { encoding: 'none' } and the RPC transport for large files.`;
      throw new RuntimeError("FILE_TOO_LARGE", message, { path, actualSize: file.size, maxSize: MAX_ENCODED_BYTES });
    }
    const bytes = await io(`Failed to read file '${path}'`, path, () => readFile(file.path));
    const type = mimeType(file.path, bytes);
    const base64 = encoding === "base64" || (encoding === undefined && !isText(type));
    if (encoding !== undefined && !["base64", "utf-8", "utf8"].includes(encoding)) throw invalid(`Unsupported encoding: ${encoding}`);
    return {
      content: bytes.toString(base64 ? "base64" : "utf8"),
      encoding: base64 ? "base64" : "utf-8",
      isBinary: base64,
      mimeType: type,
      size: file.size,
    };
  }

  /** The file in pieces: text as it is, anything else in base64. */
  async *stream(shell: Shell, path: string): AsyncGenerator<FileEvent> {
    const file = await found(shell, path, "file.read");
    const source = createReadStream(file.path, { highWaterMark: CHUNK_BYTES });
    const decoder = new StringDecoder("utf8");
    let bytesRead = 0;
    let text: boolean | undefined;
    for await (const bytes of source as AsyncIterable<Buffer>) {
      if (text === undefined) {
        const type = mimeType(file.path, bytes);
        text = isText(type);
        yield { type: "metadata", mimeType: type, size: file.size, isBinary: !text, encoding: text ? "utf-8" : "base64" };
      }
      bytesRead += bytes.length;
      yield { type: "chunk", data: text ? decoder.write(bytes) : bytes.toString("base64") };
    }
    if (text === undefined) yield { type: "metadata", mimeType: "text/plain", size: 0, isBinary: false, encoding: "utf-8" };
    const rest = decoder.end();
    if (rest !== "") yield { type: "chunk", data: rest };
    yield { type: "complete", bytesRead };
  }

  async write(shell: Shell, path: string, content: string, encoding = "utf-8"): Promise<void> {
    if (!["utf-8", "utf8", "base64"].includes(encoding)) throw invalid(`Unsupported encoding: ${encoding}`);
    if (encoding === "base64" && !/^[A-Za-z0-9+/=]*$/.test(content)) {
      throw invalid(`Invalid base64 content for '${path}': must contain only A-Z, a-z, 0-9, +, /, =`);
    }
    const target = await resolved(shell, path);
    await io(`Failed to write file '${path}'`, path, async () => {
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, content, encoding === "base64" ? "base64" : "utf8");
    });
  }

  async delete(shell: Shell, path: string): Promise<void> {
    const file = await found(shell, path, "file.delete", "any");
    if (file.directory) {
      const message = `Cannot delete directory with deleteFile() at '${path}'. Use exec('rm -rf <path>') instead.`;
      throw new RuntimeError("IS_DIRECTORY", message, { path });
    }
    await io(`Failed to delete file '${path}'`, path, () => unlink(file.path));
  }

  async move(shell: Shell, from: string, to: string): Promise<void> {
    const source = await resolved(shell, from);
    if (!(await exists(source))) throw new RuntimeError("FILE_NOT_FOUND", `Source file not found: ${from}`, { path: from });
    let target = await resolved(shell, to);
    // As `mv` does it.
    if (await isDirectory(target)) target = join(target, basename(source));
    await io(`Failed to move '${from}' to '${to}'`, from, () =>
      rename(source, target).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== "EXDEV") throw error;
        const { cp, rm } = await import("node:fs/promises");
        await cp(source, target, { recursive: true, preserveTimestamps: true });
        await rm(source, { recursive: true });
      }),
    );
  }

  async mkdir(shell: Shell, path: string, recursive: boolean): Promise<void> {
    const target = await resolved(shell, path);
    await io(`Failed to create directory '${path}'`, path, () => mkdir(target, { recursive }));
  }

  async exists(shell: Shell, path: string): Promise<boolean> {
    return exists(await resolved(shell, path));
  }

  async list(shell: Shell, path: string, options: { recursive?: boolean; includeHidden?: boolean }): Promise<object[]> {
    const root = await found(shell, path, "directory.list", "any", `Directory not found: ${path}`);
    if (!root.directory) throw new RuntimeError("NOT_DIRECTORY", `Path is not a directory: ${path}`, { path });
    return io(`Failed to list files in '${path}'`, path, () => entries(root.path, options));
  }
}

async function entries(root: string, options: { recursive?: boolean; includeHidden?: boolean }): Promise<object[]> {
  const listed: object[] = [];
  const directories = [root];
  for (let directory = directories.shift(); directory !== undefined; directory = directories.shift()) {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (!options.includeHidden && entry.name.startsWith(".")) continue;
      const path = join(directory, entry.name);
      const facts = await lstat(path).catch(() => undefined);
      if (!facts) continue;
      if (listed.length === MAX_LISTED) throw new Error(`more than ${MAX_LISTED} entries`);
      const owner = (facts.mode >> 6) & 7;
      listed.push({
        name: entry.name,
        absolutePath: path,
        relativePath: relative(root, path),
        type: kind(entry),
        size: facts.size,
        modifiedAt: facts.mtime.toISOString(),
        mode: [6, 3, 0].map((shift) => PERMISSIONS[(facts.mode >> shift) & 7]).join(""),
        permissions: { readable: (owner & 4) !== 0, writable: (owner & 2) !== 0, executable: (owner & 1) !== 0 },
      });
      if (options.recursive && entry.isDirectory()) directories.push(path);
    }
  }
  return listed;
}

function kind(entry: Dirent): string {
  if (entry.isFile()) return "file";
  if (entry.isDirectory()) return "directory";
  return entry.isSymbolicLink() ? "symlink" : "other";
}

export async function resolved(shell: Shell, path: unknown): Promise<string> {
  if (typeof path !== "string" || path === "") throw invalid(`Invalid path format for '${path}': Path must be a non-empty string`);
  if (path.includes("\0")) throw invalid(`Invalid path format for '${path}': Path contains null bytes`);
  if (path.length > 4096) throw invalid(`Invalid path format for '${path}': Path too long (max 4096 characters)`);
  return path.startsWith("/") ? resolve(path) : resolve((await shell.state()).cwd, path);
}

async function found(shell: Shell, path: string, operation: string, want: "file" | "any" = "file", message = `File not found: ${path}`) {
  const absolute = await resolved(shell, path);
  const facts = await stat(absolute).catch(() => (want === "any" ? lstat(absolute).catch(() => undefined) : undefined));
  if (!facts) throw new RuntimeError("FILE_NOT_FOUND", message, { path, operation });
  if (want === "file" && facts.isDirectory()) throw new RuntimeError("IS_DIRECTORY", `Path is a directory: ${path}`, { path, operation });
  return { path: absolute, size: facts.size, directory: facts.isDirectory() };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (facts) => facts.isDirectory(),
    () => false,
  );
}

async function io<T>(doing: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { message } = error as Error;
    throw new RuntimeError("FILESYSTEM_ERROR", `${doing}: ${message}`, { path, stderr: message }, { cause: error });
  }
}
