/**
 * What builds keep for the next one: caches of package managers and frameworks, in one archive a project. It is made and
 * unpacked by the build's own `tar` inside the sandbox, so what is in it is the build's matter alone. Losing it costs time and
 * nothing else. https://developers.cloudflare.com/pages/configuration/build-caching/
 */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { Clock } from "../../../kernel/clock.ts";

export interface BuildCache {
  /** The archive, or undefined; reading it counts as use. */
  open(projectId: string): Promise<Readable | undefined>;
  /** Takes a new archive piece by piece; it counts once `commit` has resolved. */
  writer(projectId: string): CacheWriter;
  clear(projectId: string): Promise<void>;
  /** Deletes what was not read for seven days, and what a crash has left. */
  sweep(): Promise<void>;
}

export interface CacheWriter {
  /** False: it is larger than a cache may be. */
  write(chunk: Buffer): Promise<boolean>;
  commit(): Promise<void>;
  discard(): Promise<void>;
}

const KEPT_MS = 7 * 24 * 3600 * 1000;

/** Below the build's home. */
export const HOME_CACHES = [".npm", ".cache/yarn", ".pnpm-store", ".bun/install/cache", ".tools"];
/** Below the project's directory, by the package that is named in its package.json. */
export const FRAMEWORK_CACHES: Readonly<Record<string, readonly string[]>> = {
  astro: ["node_modules/.astro"],
  "@docusaurus/core": ["node_modules/.cache", ".docusaurus", "build"],
  "@11ty/eleventy": [".cache"],
  gatsby: [".cache", "public"],
  next: [".next/cache"],
  nuxt: ["node_modules/.cache/nuxt"],
};

export async function openBuildCache(directory: string, maxBytes: number, clock: Clock): Promise<BuildCache> {
  await mkdir(directory, { recursive: true });
  const file = (project: string): string => join(directory, `${project}.tar`);
  return {
    async open(project) {
      const now = new Date(clock.now());
      try {
        await utimes(file(project), now, now);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw error;
      }
      return createReadStream(file(project));
    },
    writer(project) {
      const temporary = `${file(project)}.new`;
      const stream = createWriteStream(temporary);
      let failure: Error | undefined;
      stream.on("error", (error) => (failure = error));
      let size = 0;
      return {
        async write(chunk) {
          size += chunk.length;
          if (size > maxBytes) return false;
          if (failure !== undefined) throw failure;
          if (!stream.write(chunk)) await new Promise<void>((resolve) => stream.once("drain", resolve).once("error", () => resolve()));
          return true;
        },
        async commit() {
          await new Promise<void>((resolve) => stream.end(() => resolve()));
          if (failure !== undefined) throw failure;
          const now = new Date(clock.now());
          await utimes(temporary, now, now);
          await rename(temporary, file(project));
        },
        async discard() {
          stream.destroy();
          await rm(temporary, { force: true });
        },
      };
    },
    clear: (project) => rm(file(project), { force: true }),
    async sweep() {
      for (const name of await readdir(directory)) {
        const path = join(directory, name);
        const { mtimeMs } = await stat(path);
        if (name.endsWith(".new") || mtimeMs < clock.now() - KEPT_MS) await rm(path, { force: true });
      }
    },
  };
}
