/**
 * Deployments as they are served: their files by path and their rules, read once and kept in memory while they are asked for,
 * within a bound. A deployment never changes, so nothing here goes stale; one that is deleted is forgotten.
 */
import type { Log } from "../../kernel/log.ts";
import type { Assets } from "./assets.ts";
import type { Deployment, StoredAsset } from "./model.ts";
import { type HeaderRule, parseHeaders } from "./rules/headers-file.ts";
import { parseRedirects, type Redirects } from "./rules/redirects-file.ts";
import { type FunctionRoutes, parseRoutes } from "./rules/routes-file.ts";
import type { PagesStore } from "./store.ts";

export interface Site {
  readonly deployment: Deployment;
  readonly files: ReadonlyMap<string, StoredAsset>;
  readonly headers: readonly HeaderRule[];
  readonly redirects: Redirects;
  /** Undefined: Functions are invoked for every path, where there are any. */
  readonly routes: FunctionRoutes | undefined;
}

export interface Sites {
  /** Undefined when there is no such deployment. */
  of(deploymentId: string): Promise<Site | undefined>;
  forget(deploymentId: string): void;
}

/** Files of all sites in memory: some 200 bytes each. */
const FILES_MAX = 500_000;

export function openSites(store: PagesStore, assets: Assets, log: Log): Sites {
  /** Least recently asked for first. */
  const kept = new Map<string, Promise<Site | undefined>>();
  const sizes = new Map<string, number>();

  async function read(id: string): Promise<Site | undefined> {
    const deployment = await store.deployment(id);
    if (deployment === undefined) return undefined;
    const manifest = await store.files(deployment.id);
    const stored = await assets.find(deployment.projectId, Object.values(manifest));
    const files = new Map<string, StoredAsset>();
    for (const [path, hash] of Object.entries(manifest)) {
      const asset = stored.get(hash);
      if (asset === undefined) log.error("deployment.file_missing", { deployment: deployment.id, path, hash });
      else files.set(path, asset);
    }
    return {
      deployment,
      files,
      headers: parseHeaders(deployment.headers ?? ""),
      redirects: parseRedirects(deployment.redirects ?? ""),
      routes: deployment.routes === null ? undefined : parseRoutes(deployment.routes),
    };
  }

  function forget(id: string): void {
    kept.delete(id);
    sizes.delete(id);
  }

  function makeRoom(): void {
    let total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    for (const id of kept.keys()) {
      if (total <= FILES_MAX || kept.size <= 1) return;
      total -= sizes.get(id) ?? 0;
      forget(id);
    }
  }

  return {
    async of(id) {
      const known = kept.get(id);
      if (known !== undefined) {
        kept.delete(id);
        kept.set(id, known);
        return known;
      }
      const reading = read(id);
      kept.set(id, reading);
      const site = await reading.catch(() => undefined);
      if (site === undefined) forget(id);
      // At least one for each, so that sites without files are bounded, too.
      else if (kept.has(id)) sizes.set(id, site.files.size + 1);
      makeRoom();
      return reading;
    },
    forget,
  };
}
