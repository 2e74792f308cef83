/** A wrangler project in a temporary directory, deployed by the real wrangler. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { RunOptions, RunResult, TestPlatform } from "./platform.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

export interface ProjectOptions {
  /** Relative path → content. `index.js` (or `main` of the config) is the Worker. */
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  /** Content of wrangler.json; `main` and `compatibility_date` have defaults. */
  readonly config: Readonly<Record<string, unknown>> & { readonly name: string };
}

export interface WorkerProject {
  readonly dir: string;
  /** Where the deployed Worker answers. */
  readonly url: string;
  write(files: ProjectOptions["files"]): Promise<void>;
  wrangler(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  deploy(args?: readonly string[], options?: RunOptions): Promise<RunResult>;
}

export const COMPATIBILITY_DATE = "2026-11-01";

/** Writes the project; `deploy` is the caller's to call. Removed when the process ends. */
export async function workerProject(platform: TestPlatform, options: ProjectOptions): Promise<WorkerProject> {
  const dir = await temporaryDirectory("freehold-project-");
  const write = async (files: ProjectOptions["files"]): Promise<void> => {
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(dir, path)), { recursive: true });
      await writeFile(join(dir, path), content);
    }
  };
  const config = { main: "index.js", compatibility_date: COMPATIBILITY_DATE, ...options.config };
  await write({ ...options.files, "wrangler.json": JSON.stringify(config, null, 2) });
  const wrangler = (args: readonly string[], runOptions: RunOptions = {}): Promise<RunResult> =>
    platform.wrangler(args, { cwd: dir, ...runOptions });
  let subdomain: string | undefined;
  return {
    dir,
    get url() {
      if (subdomain === undefined) throw new Error("the Worker has a URL only once it is deployed");
      return platform.host("workers", { worker: options.config.name, subdomain });
    },
    write,
    wrangler,
    async deploy(args = [], runOptions = {}) {
      const result = await wrangler(["deploy", ...args], runOptions);
      subdomain ??= (
        (await platform.rest("GET", `/accounts/${platform.ready.account_id}/workers/subdomain`)).body.result as { subdomain: string }
      ).subdomain;
      return result;
    },
  };
}

/** A project that is written and deployed: for tests in which the deployment is not the subject. */
export async function deployWorker(platform: TestPlatform, options: ProjectOptions): Promise<WorkerProject> {
  const project = await workerProject(platform, options);
  await project.deploy();
  return project;
}
