/**
 * From moved branches to builds: for each branch that is at another commit than when it was last looked at, every project of
 * the repository decides whether that makes a build. The builds are in the queue before the branch counts as looked at, so
 * that a crash between the two repeats a build and loses none.
 */

import { PlatformError } from "../../../kernel/errors.ts";
import { oneAtATime } from "../../../kernel/one-at-a-time.ts";
import type { KernelSlice } from "../../../kernel/product.ts";
import { pagesError } from "../errors.ts";
import type { Deployment, Project, Run } from "../model.ts";
import type { PagesStore } from "../store.ts";
import type { Builder } from "./builder.ts";
import type { Repositories, Repository } from "./repositories.ts";
import { whyNot } from "./source.ts";

export interface Pushes {
  /** Looks at what has moved; a mirror is brought up to date first. Gives the builds that it made. */
  look(repository: Repository): Promise<Deployment[]>;
  /** Looks at every repository: what a crash has cut off is done. */
  lookAtAll(): Promise<void>;
  /** Builds what a branch is at now, whatever the project's rules say. Throws `pages.noBuild` and `pages.branchNotFound`. */
  build(project: Project, branch: string, trigger: Run["trigger"]): Promise<Deployment>;
}

export function openPushes(kernel: KernelSlice, store: PagesStore, repositories: Repositories, builder: Builder): Pushes {
  const { meta, log } = kernel;
  const exclusively = oneAtATime();
  const projectsOf = (repository: Repository): Project[] =>
    store.projects().filter(({ settings }) => settings.source?.repository === repository.id);

  async function update(repository: Repository): Promise<void> {
    try {
      await repositories.fetch(repository);
    } catch (cause) {
      throw pagesError("remoteUnreachable", (cause as Error).message, { cause });
    }
  }

  async function look(repository: Repository): Promise<Deployment[]> {
    await update(repository);
    const [now, before] = [await repositories.branches(repository), await repositories.noticed(repository)];
    const made: Deployment[] = [];
    for (const [branch, hash] of now) {
      if (before.get(branch) === hash) continue;
      for (const project of projectsOf(repository)) {
        const deployment = await consider(repository, project, branch, before.get(branch), now);
        if (deployment !== undefined) made.push(deployment);
      }
      await meta.transaction((tx) => repositories.notice(tx, repository, branch, hash));
    }
    for (const branch of before.keys())
      if (!now.has(branch)) await meta.transaction((tx) => repositories.notice(tx, repository, branch, undefined));
    return made;
  }

  async function consider(
    repository: Repository,
    project: Project,
    branch: string,
    from: string | undefined,
    now: ReadonlyMap<string, string>,
  ): Promise<Deployment | undefined> {
    const { source } = project.settings;
    const commit = await repositories.head(repository, branch);
    if (source === undefined || commit === undefined) return undefined;
    const production = branch === project.productionBranch;
    // Of a new branch everything counts that the production branch does not have.
    const base = from ?? (production ? undefined : now.get(project.productionBranch));
    const changes = base === undefined ? undefined : await repositories.changes(repository, base, commit.hash);
    const reason = whyNot(source, { branch, production, message: commit.message, changes });
    if (reason !== undefined) {
      log.info("build.skipped", { project: project.name, branch, commit: commit.hash, reason });
      return undefined;
    }
    try {
      return await builder.queue(project, branch, commit, "push");
    } catch (error) {
      if (!(error instanceof PlatformError)) throw error;
      log.warn("build.refused", { project: project.name, branch, commit: commit.hash, reason: error.message });
      return undefined;
    }
  }

  return {
    look: (repository) => exclusively(repository.id, () => look(repository)),
    async lookAtAll() {
      for (const repository of repositories.all()) {
        try {
          await exclusively(repository.id, () => look(repository));
        } catch (error) {
          log.warn("repository.look_failed", { repository: repository.id, error });
        }
      }
    },
    async build(project, branch, trigger) {
      const { source } = project.settings;
      const repository = source && repositories.get(source.repository);
      if (repository === undefined) throw pagesError("noBuild");
      await update(repository);
      const commit = await repositories.head(repository, branch);
      if (commit === undefined) throw pagesError("branchNotFound");
      return builder.queue(project, branch, commit, trigger);
    },
  };
}
