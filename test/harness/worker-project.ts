/** A wrangler project in a temporary directory, deployed by the real wrangler or, as a mere fixture, by one upload. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { RunOptions, RunResult, TestPlatform } from "./platform.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { uploadWorker } from "./worker-upload.ts";

export interface ProjectOptions {
  /** Relative path → content. `index.js` (or `main` of the config) is the Worker. */
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  /** Content of wrangler.json; `main` and `compatibility_date` have defaults. */
  readonly config: Readonly<Record<string, unknown>> & { readonly name: string };
}

export interface WorkerProject {
  readonly dir: string;
  /** Where the Worker answers once it is deployed. */
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
  const { result } = (await platform.rest("GET", `/accounts/${platform.ready.account_id}/workers/subdomain`)).body;
  const { subdomain } = result as { subdomain: string };
  return {
    dir,
    url: platform.host("workers", { worker: options.config.name, subdomain }),
    write,
    wrangler,
    deploy: (args = [], runOptions = {}) => wrangler(["deploy", ...args], runOptions),
  };
}

/** A project that is written and deployed by wrangler. */
export async function deployWorker(platform: TestPlatform, options: ProjectOptions): Promise<WorkerProject> {
  const project = await workerProject(platform, options);
  await project.deploy();
  return project;
}

/** A project that is written and uploaded without wrangler, where the deployment is not the subject: see `worker-upload.ts`. */
export async function uploadedWorker(platform: TestPlatform, options: ProjectOptions): Promise<WorkerProject> {
  const project = await workerProject(platform, options);
  await uploadWorker(platform, options);
  return project;
}
