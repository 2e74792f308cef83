/**
 * Objects that are no single file (inline, in parts), written out as files of this machine. A copy that nobody holds stays
 * for a while, within a bound, so that who reads the object again finds the same file under the same path: engines keep
 * what they have open by path. No cache of contents for requests: those read the blobs.
 *
 * Invariant: a copy has the bytes of one version of an object, is whole before it is given out, and is never written again.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../../kernel/log.ts";
import { newVersion } from "./objects.ts";

export interface LocalCopiesOptions {
  /** For the files; emptied at start by its owner. */
  readonly directory: string;
  /** Bytes of copies that nobody holds; the longest unused go first. */
  readonly idleMaxBytes: number;
  /** A copy that nobody asked for goes after this long, at the latest: its object may have been deleted. */
  readonly idleMs: number;
  readonly log: Log;
}

interface Copy {
  readonly path: string;
  readonly size: number;
  readonly made: Promise<void>;
  holders: number;
  expiry?: NodeJS.Timeout;
}

/** How long a copy stays that nobody asks for. */
export const COPY_IDLE_MS = 60_000;

/** Idle copies at most, however small. */
const IDLE_MAX = 2000;

export class LocalCopies {
  readonly #options: LocalCopiesOptions;
  readonly #copies = new Map<string, Copy>();
  /** Versions whose copies nobody holds, the longest unused first. */
  readonly #idle = new Set<string>();
  readonly #removals = new Set<Promise<void>>();
  #idleBytes = 0;

  constructor(options: LocalCopiesOptions) {
    this.#options = options;
  }

  /** The copy of an object's version, made by `write` if there is none. Stays until `release`. */
  async hold(version: string, size: number, write: (path: string) => Promise<void>): Promise<{ path: string; release(): void }> {
    const copy = this.#copies.get(version) ?? this.#make(version, size, write);
    this.#take(version, copy);
    try {
      await copy.made;
    } catch (cause) {
      this.#forget(version, copy);
      throw cause;
    }
    return { path: copy.path, release: () => this.#release(version, copy) };
  }

  /** Removes idle copies. One that is still held stays until the directory is emptied, at the next start. */
  async stop(): Promise<void> {
    for (const version of [...this.#idle]) this.#drop(version);
    await Promise.all(this.#removals);
  }

  #make(version: string, size: number, write: (path: string) => Promise<void>): Copy {
    // A name of its own: the removal of an earlier copy may still be under way.
    const path = join(this.#options.directory, `r2-${newVersion()}`);
    const copy: Copy = { path, size, made: write(path), holders: 0 };
    this.#copies.set(version, copy);
    return copy;
  }

  #take(version: string, copy: Copy): void {
    copy.holders++;
    if (!this.#idle.delete(version)) return;
    this.#idleBytes -= copy.size;
    clearTimeout(copy.expiry);
  }

  #release(version: string, copy: Copy): void {
    copy.holders--;
    if (copy.holders > 0) return;
    this.#idle.add(version);
    this.#idleBytes += copy.size;
    copy.expiry = setTimeout(() => this.#drop(version), this.#options.idleMs).unref();
    for (const longest of this.#idle) {
      if (this.#idleBytes <= this.#options.idleMaxBytes && this.#idle.size <= IDLE_MAX) break;
      this.#drop(longest);
    }
  }

  #drop(version: string): void {
    const copy = this.#copies.get(version) as Copy;
    clearTimeout(copy.expiry);
    this.#idle.delete(version);
    this.#idleBytes -= copy.size;
    this.#forget(version, copy);
  }

  /** The next who asks for the version gets another copy. */
  #forget(version: string, copy: Copy): void {
    if (this.#copies.get(version) !== copy) return;
    this.#copies.delete(version);
    const removal = rm(copy.path, { force: true })
      .catch((cause: unknown) => this.#options.log.warn("r2.copy_not_removed", { path: copy.path, error: cause }))
      .finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }
}
