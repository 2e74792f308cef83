/**
 * Stack traces in the terms of the original sources (docs: Workers, Source maps and stack traces): positions of a
 * version's bundled modules are looked up in the source maps that were uploaded with them. What cannot be looked up stays
 * as it is.
 */
import { SourceMap } from "node:module";
import { posix } from "node:path";
import type { BlobStore } from "../../kernel/blobs/blobs.ts";
import type { Log } from "../../kernel/log.ts";
import type { Version } from "./model.ts";

interface Traced {
  readonly exceptions: readonly { readonly stack?: unknown }[];
}

export interface Stacks {
  /** The traces of one version's invocations, their exceptions with original positions. */
  original<T extends Traced>(scriptId: string, versionId: string, items: readonly T[]): Promise<readonly T[]>;
}

/** Documented limit of a source map. */
const MAP_MAX_BYTES = 15 * 1024 * 1024;
const FRAME_MAX_LENGTH = 1000;
/** Versions whose maps are kept parsed. */
const VERSIONS_MAX = 16;

type Maps = ReadonlyMap<string, SourceMap>;

export function sourceMappedStacks(
  blobs: BlobStore,
  log: Log,
  versionOf: (scriptId: string, versionId: string) => Promise<Version | undefined>,
): Stacks {
  const known = new Map<string, Promise<Maps>>();

  function mapsOf(scriptId: string, versionId: string): Promise<Maps> {
    const found = known.get(versionId) ?? load(scriptId, versionId);
    known.delete(versionId);
    known.set(versionId, found);
    for (const id of known.keys()) {
      if (known.size <= VERSIONS_MAX) break;
      known.delete(id);
    }
    return found;
  }

  async function load(scriptId: string, versionId: string): Promise<Maps> {
    const maps = new Map<string, SourceMap>();
    const version = await versionOf(scriptId, versionId);
    for (const { name, kind, blob, size } of version?.modules ?? []) {
      if (kind !== "source-map" || size > MAP_MAX_BYTES) continue;
      try {
        maps.set(name.replace(/\.map$/, ""), new SourceMap(JSON.parse(Buffer.from(await blobs.bytes(blob)).toString("utf8"))));
      } catch (error) {
        // A map that is none must not cost the trace.
        log.warn("worker.source_map_unusable", { version: versionId, map: name, error });
      }
    }
    return maps;
  }

  return {
    async original(scriptId, versionId, items) {
      if (!items.some((item) => item.exceptions.some((exception) => typeof exception.stack === "string"))) return items;
      const maps = await mapsOf(scriptId, versionId);
      if (maps.size === 0) return items;
      return items.map((item) => ({
        ...item,
        exceptions: item.exceptions.map((exception) =>
          typeof exception.stack === "string" ? { ...exception, stack: originalStack(exception.stack, maps) } : exception,
        ),
      }));
    },
  };
}

/**
 * Replaces the `module:line:column` of each frame that a map knows. A stack may be any text that user code made: lines that
 * are too long for a frame are passed over, and a frame is matched from its beginning, so that no text costs more than its
 * length.
 */
export function originalStack(stack: string, maps: Maps): string {
  return stack
    .split("\n")
    .map((line) => (line.length > FRAME_MAX_LENGTH ? line : originalFrame(line, maps)))
    .join("\n");
}

function originalFrame(frame: string, maps: Maps): string {
  const [, before, module, line, column, after] = /^(\s*at (?:[^()]*\()?)([^\s()]+):(\d+):(\d+)(\)?)$/.exec(frame) ?? [];
  if (module === undefined) return frame;
  const entry = maps.get(module.replace(/^\.?\//, ""))?.findEntry(Number(line) - 1, Number(column) - 1);
  if (entry === undefined || !("originalSource" in entry)) return frame;
  // Relative to the directory that the bundle was built in, which says nothing here.
  const source = posix.normalize(entry.originalSource).replace(/^(\.\.\/)+/, "");
  return `${before}${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}${after}`;
}
