/**
 * Changes of files, as `inotifywait` tells them. A live watch is one reader's and ends with it. A retained one (`checkChanges`)
 * only counts its changes, and is dropped when nobody has asked for RETAINED_MS.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { invalid, RuntimeError } from "./errors.ts";

export interface WatchOptions {
  readonly path: string;
  readonly recursive?: boolean | undefined;
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}

export type WatchEvent =
  | { type: "watching"; path: string; watchId: string }
  | { type: "event"; eventType: string; path: string; isDirectory: boolean; timestamp: string }
  | { type: "error"; error: string }
  | { type: "stopped"; reason: string };

const EXCLUDED = [".git", "node_modules", ".DS_Store"];
const EVENTS: readonly [string, string][] = [
  ["CREATE", "create"],
  ["MODIFY", "modify"],
  ["DELETE", "delete"],
  ["MOVED_FROM", "move_from"],
  ["MOVED_TO", "move_to"],
  ["ATTRIB", "attrib"],
];
const RETAINED_MS = 10 * 60 * 1000;
const MAX_RETAINED = 100;

interface Retained {
  readonly id: string;
  readonly ready: Promise<void>;
  cursor: number;
  readonly stop: AbortController;
  timer: NodeJS.Timeout;
}

export class Watches {
  readonly #workspace: string;
  readonly #retained = new Map<string, Retained>();
  #count = 0;

  constructor(workspace: string) {
    this.#workspace = workspace;
  }

  watch(options: WatchOptions, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    return this.#events(this.#checked(options), this.#nextId(), signal);
  }

  /** Whether something has changed since the version that an earlier call answered with. */
  async check(options: WatchOptions & { since?: string | undefined }): Promise<object> {
    const checked = this.#checked(options);
    const key = JSON.stringify(checked);
    const known = this.#retained.get(key);
    const watch = known ?? this.#retain(key, checked);
    await watch.ready;
    watch.timer.refresh();
    const answer = { success: true, version: `${watch.id}:${watch.cursor}`, timestamp: new Date().toISOString() };
    if (options.since === undefined) return { ...answer, status: "unchanged" };
    const since = /^(.+):(\d+)$/.exec(options.since);
    if (!since) throw invalid("since must be a version returned by checkChanges()", { since: options.since });
    if (since[1] !== watch.id) return { ...answer, status: "resync", reason: known ? "restarted" : "expired" };
    return { ...answer, status: Number(since[2]) === watch.cursor ? "unchanged" : "changed" };
  }

  stop(): void {
    for (const watch of this.#retained.values()) watch.stop.abort();
  }

  #nextId(): string {
    return `watch-${++this.#count}-${Date.now()}`;
  }

  #retain(key: string, options: WatchOptions): Retained {
    if (this.#retained.size >= MAX_RETAINED) throw new RuntimeError("WATCH_START_ERROR", "Too many retained watches");
    const stop = new AbortController();
    const ready = Promise.withResolvers<void>();
    const watch: Retained = {
      id: this.#nextId(),
      ready: ready.promise,
      cursor: 0,
      stop,
      timer: setTimeout(() => stop.abort(), RETAINED_MS),
    };
    this.#retained.set(key, watch);
    void (async () => {
      try {
        for await (const event of this.#events(options, watch.id, stop.signal)) {
          if (event.type === "watching") ready.resolve();
          else if (event.type === "event") watch.cursor++;
          else if (event.type === "error") throw new RuntimeError("WATCH_START_ERROR", event.error);
        }
      } catch (error) {
        ready.reject(error);
      } finally {
        clearTimeout(watch.timer);
        this.#retained.delete(key);
      }
    })();
    return watch;
  }

  #checked(options: WatchOptions): WatchOptions {
    const { include, exclude } = options;
    if (typeof options.path !== "string" || options.path.trim() === "") throw invalid("path is required and must be a non-empty string");
    if (options.path.includes("\0")) throw invalid("path contains invalid null bytes");
    if (include?.length && exclude?.length) {
      throw invalid("include and exclude cannot be used together. Use include to whitelist patterns, or exclude to blacklist patterns.", {
        include,
        exclude,
      });
    }
    for (const [name, patterns] of Object.entries({ include, exclude })) checkPatterns(name, patterns);
    const path = resolve(this.#workspace, options.path.trim());
    if (path !== this.#workspace && !path.startsWith(`${this.#workspace}/`)) {
      throw new RuntimeError("PERMISSION_DENIED", `path must be inside ${this.#workspace}`, { path: options.path, resolvedPath: path });
    }
    if (!existsSync(path)) throw new RuntimeError("FILE_NOT_FOUND", `Path does not exist: ${path}`, { path });
    return { path, recursive: options.recursive !== false, include, exclude: include?.length ? undefined : (exclude ?? EXCLUDED) };
  }

  async *#events(options: WatchOptions, watchId: string, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const child = inotifywait(options);
    const onAbort = () => child.kill();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const lines = createInterface({ input: child.stdout as Readable });
      const said = await established(child);
      if (said !== undefined) {
        yield { type: "error", error: said };
        return;
      }
      yield { type: "watching", path: options.path, watchId };
      for await (const line of lines) {
        const event = parse(line);
        if (event && selected(event.path, options)) yield event;
      }
      yield { type: "stopped", reason: "Watch process ended" };
    } finally {
      signal.removeEventListener("abort", onAbort);
      child.kill();
    }
  }
}

function inotifywait({ path, recursive }: WatchOptions): ChildProcess {
  const events = EVENTS.flatMap(([name]) => ["-e", name.toLowerCase()]);
  const child = spawn("inotifywait", ["-m", ...(recursive ? ["-r"] : []), "--format", "%e\t%w%f", ...events, "--", path]);
  child.on("error", () => undefined);
  return child;
}

/** Resolves with nothing when the watch stands, else with what went wrong. */
async function established(child: ChildProcess): Promise<string | undefined> {
  let said = "";
  const ready = new Promise<undefined>((resolve) => {
    child.stderr?.on("data", (bytes: Buffer) => {
      said = (said + bytes.toString("utf8")).slice(-4000);
      if (said.includes("Watches established")) resolve(undefined);
    });
  });
  const failed = once(child, "close").then(
    () => said.trim() || "Watch failed to establish",
    (error: Error) => `Failed to start file watcher: ${error.message}`,
  );
  return Promise.race([ready, failed]);
}

function parse(line: string): Extract<WatchEvent, { type: "event" }> | undefined {
  const tab = line.indexOf("\t");
  const flags = line.slice(0, tab).split(",");
  const eventType = EVENTS.find(([name]) => flags.includes(name))?.[1];
  if (tab < 0 || !eventType) return undefined;
  return { type: "event", eventType, path: line.slice(tab + 1), isDirectory: flags.includes("ISDIR"), timestamp: new Date().toISOString() };
}

function selected(path: string, options: WatchOptions): boolean {
  const inside = path.slice(options.path.length).replace(/^\//, "");
  if (options.include?.length) return options.include.some((pattern) => matches(pattern, inside));
  return !options.exclude?.some((pattern) => matches(pattern, inside));
}

/** A pattern without a slash is about any part of the path; one with a slash about the whole path below the watched directory. */
function matches(pattern: string, path: string): boolean {
  const expression = new RegExp(`^${glob(pattern)}$`);
  return pattern.includes("/") ? expression.test(path) : path.split("/").some((part) => expression.test(part));
}

function glob(pattern: string): string {
  return pattern.replace(/\*\*\/|\*\*|\*|\?|[.+^$()|\\]/g, (token) => {
    if (token === "**/") return "(?:.*/)?";
    if (token === "**") return ".*";
    if (token === "*") return "[^/]*";
    return token === "?" ? "[^/]" : `\\${token}`;
  });
}

function checkPatterns(name: string, patterns: unknown): void {
  if (patterns === undefined) return;
  if (!Array.isArray(patterns) || !patterns.every((pattern) => typeof pattern === "string"))
    throw invalid(`${name} must be an array of strings`);
  const bad = patterns.find((pattern) => pattern.trim() === "" || /[[\]{}\0]/.test(pattern));
  if (bad !== undefined) {
    throw invalid(`${name} contains unsupported glob syntax. Supported tokens: *, **, ? and path separators`, { pattern: bad });
  }
}
