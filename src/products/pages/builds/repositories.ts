/**
 * Git repositories that projects are built from. One lies on the platform, as a bare repository in the data directory, and
 * is pushed to there (`git-host.ts`); or it lies elsewhere and what lies here is its mirror, fetched when a webhook tells of a
 * push (`webhooks.ts`). The rows say how far each branch was looked at: what has moved since is a push that nobody has heard
 * of yet, also after a crash.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { MetaTransaction } from "../../../kernel/meta/meta.ts";
import type { KernelSlice, ProgramProxy } from "../../../kernel/product.ts";
import { pagesError } from "../errors.ts";
import { git } from "./git.ts";
import { type Changes, COMMITS_MAX, PATHS_MAX } from "./source.ts";

export interface Repository {
  readonly id: string;
  readonly owner: string;
  readonly name: string;
  /** Where it lies, without password; null: on the platform. */
  readonly remote: string | null;
  /** What webhooks' URL ends in. */
  readonly webhook: string;
}

export interface Commit {
  readonly hash: string;
  readonly message: string;
}

export interface Repositories {
  get(id: string): Repository | undefined;
  find(owner: string, name: string): Repository | undefined;
  byWebhook(id: string): Repository | undefined;
  /** The repository of that name, which is made when there is none. Throws `pages.otherRemote` where it lies elsewhere than said. */
  ensure(owner: string, name: string, remote: string | undefined, webhookSecret: string | undefined): Promise<Repository>;
  remove(repository: Repository): Promise<void>;
  directory(repository: Repository): string;
  webhookSecret(repository: Repository): Promise<string | undefined>;
  /** Brings a mirror up to date. Rejects with git's words. */
  fetch(repository: Repository): Promise<void>;
  branches(repository: Repository): Promise<Map<string, string>>;
  /** The commit that a branch is at. */
  head(repository: Repository, branch: string): Promise<Commit | undefined>;
  /** What lies between two commits; undefined when that is not known. */
  changes(repository: Repository, from: string, to: string): Promise<Changes | undefined>;
  /** Up to where each branch was looked at. */
  noticed(repository: Repository): Promise<Map<string, string>>;
  notice(tx: MetaTransaction, repository: Repository, branch: string, hash: string | undefined): Promise<void>;
  all(): Repository[];
  stop(): Promise<void>;
}

interface Row extends Record<string, string | null> {
  readonly id: string;
  readonly owner: string;
  readonly name: string;
  readonly remote: string | null;
  readonly webhook: string;
  readonly webhook_secret: string | null;
}

const PURPOSE = "pages.repository";
const BRANCHES_MAX = 10_000;
const FETCH_TIMEOUT_MS = 10 * 60_000;
const HASH = /^[0-9a-f]{40,64}$/;

export async function openRepositories(kernel: KernelSlice): Promise<Repositories> {
  const { meta, secrets, config } = kernel;
  const root = join(kernel.directory, "repositories");
  await mkdir(root, { recursive: true });
  const byId = new Map<string, Repository>();
  const remotes = new Map<string, string>();
  let proxy: Promise<ProgramProxy> | undefined;

  const remember = (row: Row): Repository => {
    const remote = row.remote === null ? null : secrets.open(row.remote, PURPOSE);
    if (remote !== null) remotes.set(row.id, remote);
    const repository = { id: row.id, owner: row.owner, name: row.name, remote: remote && withoutPassword(remote), webhook: row.webhook };
    byId.set(row.id, repository);
    return repository;
  };
  for (const row of await meta.all<Row>("SELECT id, owner, name, remote, webhook, webhook_secret FROM pages_repositories LIMIT 100000"))
    remember(row);

  const directory = ({ id }: Repository): string => join(root, `${id}.git`);
  const find = (owner: string, name: string): Repository | undefined =>
    [...byId.values()].find((one) => one.owner === owner && one.name === name);

  async function head(repository: Repository, branch: string): Promise<Commit | undefined> {
    const shown = await git(["for-each-ref", "--format=%(objectname)", `refs/heads/${branch}`], { directory: directory(repository) });
    const hash = shown.trim().split("\n")[0] ?? "";
    if (!HASH.test(hash)) return undefined;
    const message = await git(["log", "-1", "--format=%B", hash], { directory: directory(repository) });
    return { hash, message: message.trim() };
  }

  return {
    get: (id) => byId.get(id),
    find,
    all: () => [...byId.values()],
    byWebhook: (id) => [...byId.values()].find(({ webhook }) => webhook === id),
    directory,
    head,
    async ensure(owner, name, remote, webhookSecret) {
      const known = find(owner, name);
      if (known !== undefined) {
        if (remote !== undefined && known.remote !== withoutPassword(remote)) throw pagesError("otherRemote");
        const sealed = webhookSecret && secrets.seal(webhookSecret, PURPOSE);
        if (sealed !== undefined) await meta.run("UPDATE pages_repositories SET webhook_secret = ? WHERE id = ?", sealed, known.id);
        if (remote !== undefined) {
          await meta.run("UPDATE pages_repositories SET remote = ? WHERE id = ?", secrets.seal(remote, PURPOSE), known.id);
          remotes.set(known.id, remote);
        }
        return known;
      }
      const row: Row = {
        ...{ id: randomUUID(), owner, name, webhook: randomBytes(16).toString("hex") },
        remote: remote === undefined ? null : secrets.seal(remote, PURPOSE),
        webhook_secret: webhookSecret === undefined ? null : secrets.seal(webhookSecret, PURPOSE),
      };
      const path = join(root, `${row.id}.git`);
      await git(["init", "--quiet", "--bare", "--initial-branch=main", path], { directory: root });
      // The directory is there first: what the row names can be pushed to.
      const { changes } = await meta.run(
        "INSERT INTO pages_repositories (id, owner, name, remote, webhook, webhook_secret) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        ...[row.id, owner, name, row.remote, row.webhook, row.webhook_secret],
      );
      if (changes === 0) {
        await rm(path, { recursive: true, force: true });
        throw pagesError("otherRemote");
      }
      return remember(row);
    },
    async remove(repository) {
      await meta.transaction(async (tx) => {
        await tx.run("DELETE FROM pages_heads WHERE repository_id = ?", repository.id);
        await tx.run("DELETE FROM pages_repositories WHERE id = ?", repository.id);
      });
      byId.delete(repository.id);
      remotes.delete(repository.id);
      await rm(directory(repository), { recursive: true, force: true });
    },
    async webhookSecret({ id }) {
      const row = await meta.get<{ webhook_secret: string | null }>("SELECT webhook_secret FROM pages_repositories WHERE id = ?", id);
      return row?.webhook_secret == null ? undefined : secrets.open(row.webhook_secret, PURPOSE);
    },
    async fetch(repository) {
      const remote = remotes.get(repository.id);
      if (remote === undefined) return;
      proxy ??= kernel.openProxy(config["pages.private_hosts"]);
      const { url, authorityFile } = await proxy;
      // The address may bear a password, so it goes by the environment and not by the command line, which others see.
      const env = {
        GIT_ALLOW_PROTOCOL: "https:http",
        GIT_CONFIG_COUNT: "1",
        GIT_CONFIG_KEY_0: "remote.origin.url",
        GIT_CONFIG_VALUE_0: remote,
      };
      const settings = [`http.proxy=${url}`, "http.followRedirects=false", `transfer.maxInputSize=${config["pages.git_push_max_bytes"]}`];
      if (remote.startsWith(kernel.urls.gateway("https"))) settings.push(`http.sslCAInfo=${authorityFile}`);
      await git(["fetch", "--quiet", "--prune", "--no-tags", "origin", "+refs/heads/*:refs/heads/*"], {
        ...{ directory: directory(repository), settings, env },
        timeoutMs: FETCH_TIMEOUT_MS,
      });
    },
    async branches(repository) {
      const shown = await git(["for-each-ref", `--count=${BRANCHES_MAX}`, "--format=%(objectname) %(refname:strip=2)", "refs/heads/"], {
        directory: directory(repository),
      });
      const lines = shown.split("\n").filter((line) => line !== "");
      return new Map(lines.map((line) => [line.slice(line.indexOf(" ") + 1), line.slice(0, line.indexOf(" "))]));
    },
    async changes(repository, from, to) {
      const options = { directory: directory(repository) };
      try {
        const commits = Number((await git(["rev-list", "--count", `--max-count=${COMMITS_MAX}`, `${from}..${to}`], options)).trim());
        const shown = await git(["diff", "--name-only", "-z", "--no-renames", `${from}...${to}`], options);
        return {
          commits,
          paths: shown
            .split("\0")
            .filter((path) => path !== "")
            .slice(0, PATHS_MAX),
        };
      } catch (error) {
        // Histories without a common commit, or more paths than fit: then everything counts as changed.
        kernel.log.debug("repository.changes_unknown", { repository: repository.id, error: (error as Error).message });
        return undefined;
      }
    },
    async noticed({ id }) {
      const rows = await meta.all<{ branch: string; commit_hash: string }>(
        "SELECT branch, commit_hash FROM pages_heads WHERE repository_id = ? LIMIT 100000",
        id,
      );
      return new Map(rows.map(({ branch, commit_hash }) => [branch, commit_hash]));
    },
    async notice(tx, { id }, branch, hash) {
      if (hash === undefined) await tx.run("DELETE FROM pages_heads WHERE repository_id = ? AND branch = ?", id, branch);
      else
        await tx.run(
          `INSERT INTO pages_heads (repository_id, branch, commit_hash) VALUES (?, ?, ?)
           ON CONFLICT (repository_id, branch) DO UPDATE SET commit_hash = excluded.commit_hash`,
          ...[id, branch, hash],
        );
    },
    async stop() {
      await (await proxy)?.close();
    },
  };
}

function withoutPassword(remote: string): string {
  const url = new URL(remote);
  url.username = "";
  url.password = "";
  return url.href;
}
