/**
 * Directories as squashfs archives, and back. A restored directory is the archive with a writable layer over it where the container
 * may use FUSE, and a copy of it otherwise: either way what is written there changes no archive.
 */
import { access, constants, mkdir, open, readdir, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { RuntimeError } from "./errors.ts";
import { quoted } from "./quoting.ts";
import type { CommandResult, Shell } from "./shell.ts";

const WORK = "/var/backups";
const MOUNTS = `${WORK}/mounts`;
const ALLOWED = ["/workspace", "/home", "/tmp", "/var/tmp", "/app"];
const COMPRESSIONS = ["gzip", "lz4", "zstd"];
const PART_ATTEMPTS = 3;
const PART_TIMEOUT_MS = 30 * 60 * 1000;

export interface ArchiveOptions {
  readonly dir: string;
  readonly archivePath: string;
  readonly gitignore?: boolean | undefined;
  readonly excludes?: readonly string[] | undefined;
  readonly compression?: { format?: string; threads?: number } | undefined;
}

export interface Part {
  readonly partNumber: number;
  readonly url: string;
  readonly offset: number;
  readonly size: number;
}

export async function createArchive(shell: Shell, options: ArchiveOptions): Promise<{ sizeBytes: number; archivePath: string }> {
  const { dir, archivePath } = options;
  checkPaths(dir, archivePath);
  const format = options.compression?.format ?? "lz4";
  if (!COMPRESSIONS.includes(format)) throw config(`compression.format must be one of: ${COMPRESSIONS.join(", ")}`);
  const threads = options.compression?.threads ?? 8;
  if (!Number.isInteger(threads) || threads < 1) throw config("compression.threads must be a positive integer");
  const there = await stat(dir).catch(() => undefined);
  if (!there?.isDirectory()) throw new RuntimeError("BACKUP_CREATE_FAILED", `Source directory does not exist: ${dir}`, { dir });
  await mkdir(WORK, { recursive: true });
  const excludes = await excluded(shell, options);
  const list = `${archivePath}.exclude`;
  try {
    if (excludes.length > 0) await writeFile(list, `${excludes.join("\n")}\n`);
    const made = await shell.run(
      `mksquashfs ${quoted(dir)} ${quoted(archivePath)} -comp ${format} -processors ${threads} -no-progress -noappend ${
        excludes.length > 0 ? `-wildcards -ef ${quoted(list)}` : ""
      }`,
    );
    if (made.exitCode !== 0) throw failed("BACKUP_CREATE_FAILED", "mksquashfs failed", made, { dir, archivePath });
  } finally {
    await rm(list, { force: true });
  }
  return { sizeBytes: (await stat(archivePath)).size, archivePath };
}

export async function restoreArchive(shell: Shell, dir: string, archivePath: string): Promise<void> {
  checkPaths(dir, archivePath);
  if (!(await stat(archivePath).catch(() => undefined))) {
    throw new RuntimeError("BACKUP_RESTORE_FAILED", `Archive file does not exist: ${archivePath}`, { dir, archivePath });
  }
  await mkdir(dir, { recursive: true });
  await unmount(shell, dir);
  const mount = join(MOUNTS, `${basename(archivePath, ".sqsh")}_${Date.now()}`);
  if (!(await fuseUsable())) {
    const copied = await shell.run(
      `find ${quoted(dir)} -mindepth 1 -delete && unsquashfs -force -no-progress -quiet -dest ${quoted(dir)} ${quoted(archivePath)}`,
    );
    if (copied.exitCode !== 0) throw failed("BACKUP_RESTORE_FAILED", "unsquashfs failed", copied, { dir, archivePath });
    return;
  }
  const [lower, upper, work] = ["lower", "upper", "work"].map((name) => join(mount, name)) as [string, string, string];
  for (const path of [lower, upper, work]) await mkdir(path, { recursive: true });
  const mounted = await shell.run(`squashfuse ${quoted(archivePath)} ${quoted(lower)}`);
  if (mounted.exitCode !== 0) throw failed("BACKUP_RESTORE_FAILED", "Failed to mount squashfs", mounted, { dir, archivePath });
  const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  const overlaid = await shell.run(`fuse-overlayfs -o ${quoted(layers)} ${quoted(dir)}`);
  if (overlaid.exitCode !== 0) {
    await shell.run(`fusermount3 -u ${quoted(lower)}`);
    throw failed("BACKUP_RESTORE_FAILED", "Failed to mount overlayfs", overlaid, { dir, archivePath });
  }
}

/** Puts pieces of an archive to the addresses that the Worker has signed for them. */
export async function uploadParts(archivePath: string, parts: readonly Part[]): Promise<{ partNumber: number; etag: string }[]> {
  checkArchive(archivePath);
  if (!Array.isArray(parts) || parts.length === 0) throw config("parts must be a non-empty array");
  for (const part of parts) checkPart(part);
  const file = await open(archivePath).catch(() => undefined);
  if (!file) throw new RuntimeError("BACKUP_CREATE_FAILED", `Backup archive does not exist: ${archivePath}`, { archivePath });
  try {
    const uploaded = [];
    for (const part of parts) {
      const body = Buffer.alloc(part.size);
      await file.read(body, 0, part.size, part.offset);
      uploaded.push({ partNumber: part.partNumber, etag: await put(part, body) });
    }
    return uploaded;
  } finally {
    await file.close();
  }
}

async function put(part: Part, body: Buffer<ArrayBuffer>): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      const headers = { "Content-Type": "application/octet-stream" };
      const response = await fetch(part.url, { method: "PUT", headers, body, signal: AbortSignal.timeout(PART_TIMEOUT_MS) });
      const etag = response.headers.get("etag");
      if (response.ok && etag) return etag;
      throw new Error(`part ${part.partNumber} failed with HTTP ${response.status}`);
    } catch (error) {
      if (attempt < PART_ATTEMPTS) continue;
      throw new RuntimeError("BACKUP_CREATE_FAILED", (error as Error).message, { partNumber: part.partNumber }, { cause: error });
    }
  }
}

/** What is mounted on the directory from an earlier restore, and its archive, are let go. */
async function unmount(shell: Shell, dir: string): Promise<void> {
  await shell.run(`while mountpoint -q ${quoted(dir)}; do fusermount3 -u ${quoted(dir)} || fusermount3 -uz ${quoted(dir)} || break; done`);
  for (const name of await readdir(MOUNTS).catch(() => [])) {
    const mount = join(MOUNTS, name);
    const inUse = await shell.run(`grep -q -- ${quoted(`${mount}/upper`)} /proc/mounts`);
    if (inUse.exitCode === 0) continue;
    await shell.run(`fusermount3 -u ${quoted(join(mount, "lower"))} 2>/dev/null; rm -rf --one-file-system ${quoted(mount)}`);
  }
}

/** Files that git ignores and patterns of the caller, in the form that mksquashfs knows. */
async function excluded(shell: Shell, options: ArchiveOptions): Promise<string[]> {
  if (options.gitignore !== undefined && typeof options.gitignore !== "boolean") throw config("gitignore must be a boolean");
  const { excludes = [] } = options;
  if (!Array.isArray(excludes) || !excludes.every((pattern) => typeof pattern === "string" && !pattern.includes("\n"))) {
    throw config("excludes must be an array of strings");
  }
  const patterns = excludes.map(withoutGlobstar).filter((pattern) => pattern !== "");
  if (options.gitignore) {
    const ignored = await shell.run(
      `git -C ${quoted(options.dir)} -c core.quotePath=false ls-files --others -i --exclude-standard --directory -- .`,
    );
    const paths = ignored.exitCode === 0 ? ignored.stdout.split("\n").map((path) => path.replace(/\/+$/, "")) : [];
    patterns.push(...paths.filter((path) => path !== "").map((path) => path.replace(/[\\*?[\]]/g, "\\$&")));
  }
  return [...new Set(patterns.flatMap((pattern) => [pattern, `... ${pattern}`]))];
}

function withoutGlobstar(pattern: string): string {
  return pattern
    .replace(/^(\*\*\/)+/, "")
    .replaceAll("/**/", "/")
    .replace(/\/?\*\*$/, "");
}

async function fuseUsable(): Promise<boolean> {
  try {
    const device = await open("/dev/fuse", "r+");
    await device.close();
    for (const program of ["/usr/bin/squashfuse", "/usr/bin/fuse-overlayfs"]) await access(program, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function checkPaths(dir: unknown, archivePath: string): void {
  if (typeof dir !== "string" || dir === "") throw config("Missing or invalid field: dir");
  if (dir.length > 4096) throw config("dir path exceeds maximum length");
  if (!dir.startsWith("/")) throw config("dir must be an absolute path");
  if (dir.includes("..")) throw config("dir must not contain path traversal sequences");
  if (dir.includes("\0")) throw config("dir must not contain null bytes");
  if (!ALLOWED.some((prefix) => dir === prefix || dir.startsWith(`${prefix}/`))) {
    throw config(`Directory not in allowed paths (${ALLOWED.join(", ")}): ${dir}`);
  }
  checkArchive(archivePath);
}

function checkArchive(archivePath: unknown): void {
  if (typeof archivePath !== "string" || archivePath.length > 4096) throw config("Missing or invalid field: archivePath");
  if (archivePath.includes("..") || archivePath.includes("\0")) throw config("archivePath must not contain path traversal sequences");
  if (!archivePath.startsWith(`${WORK}/`)) throw config("Invalid archivePath: must use designated backup directory");
}

function checkPart(part: Part): void {
  const whole = (value: unknown, least: number) => Number.isInteger(value) && (value as number) >= least;
  if (!whole(part?.partNumber, 1)) throw config("partNumber must be a positive integer");
  if (!URL.canParse(part.url) || new URL(part.url).protocol !== "https:") throw config("part url must use https");
  if (!whole(part.offset, 0)) throw config("part offset must be a non-negative integer");
  if (!whole(part.size, 1)) throw config("part size must be a positive integer");
}

function config(message: string): RuntimeError {
  return new RuntimeError("INVALID_BACKUP_CONFIG", message);
}

function failed(
  code: "BACKUP_CREATE_FAILED" | "BACKUP_RESTORE_FAILED",
  doing: string,
  { exitCode, stderr, stdout }: CommandResult,
  context: object,
) {
  return new RuntimeError(code, `${doing}: ${stderr || stdout}`, { ...context, exitCode, stderr });
}
