/**
 * The steps of one build, from an empty directory to the form of a deployment: restore the cache, clone, install, build,
 * compile Functions, save the cache, collect. Everything that touches the build's files runs in the sandbox; the platform reads
 * what comes out of it as bytes, and believes none of it.
 */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import type { KernelSlice } from "../../../kernel/product.ts";
import { openRunDirectory } from "../../../kernel/workerd/run-directory.ts";
import { type Assets, FILE_MAX_BYTES, type UploadedFile } from "../assets.ts";
import { variablesOf } from "../deployment-config.ts";
import { type DeploymentForm, RULE_FILES, readDeploymentForm } from "../deployment-form.ts";
import type { Deployment, Project, StageName } from "../model.ts";
import type { BuildCache } from "./cache.ts";
import { contentTypeOf } from "./content-types.ts";
import { type CollectedFile, FrameReader } from "./frames.ts";
import type { BuildLog } from "./logs.ts";
import type { Repositories, Repository } from "./repositories.ts";
import { type Command, HOME, type Outcome, openSandbox, prepareDirectory } from "./sandbox.ts";
import { BUILD_SCRIPT, CLONE_SCRIPT, FUNCTIONS, RESTORE_CACHE_SCRIPT, SAVE_CACHE_SCRIPT } from "./scripts.ts";

export interface Build {
  readonly project: Project;
  readonly deployment: Deployment;
  readonly repository: Repository;
  readonly log: BuildLog;
  readonly signal: AbortSignal;
  /** A stage begins. */
  stage(name: StageName): Promise<void>;
}

export interface Steps {
  /** Why nothing can be built on this machine, if that is so. */
  readonly missing: string | undefined;
  /** Rejects with a `BuildFailure` that says what is wrong with the build, and with the signal's reason. */
  run(build: Build): Promise<DeploymentForm>;
  /** Resolves when the platform serves, which the way to the network needs. */
  ready(): Promise<void>;
  stop(): Promise<void>;
}

/** The build has failed by itself: the message is the log's last line. */
export class BuildFailure extends Error {}

const UNREADABLE = "Failed: the files of the site could not be read";
/** Files that are stored at a time. */
const BATCH_BYTES = 32 * 1024 * 1024;

interface Parts {
  readonly repositories: Repositories;
  readonly assets: Assets;
  readonly cache: BuildCache;
  urlOf(project: Project, deployment: Deployment): string;
}

export async function openSteps(kernel: KernelSlice, { repositories, assets, cache, urlOf }: Parts): Promise<Steps> {
  const { config, directory: state } = kernel;
  const uid = config["pages.build_uid"];
  const sandbox = openSandbox({
    ...{ tools: config["pages.build_tools"], hidden: dirname(state), uid },
    memoryMaxBytes: config["pages.build_memory_mb"] * 2 ** 20,
    processesMax: config["pages.build_processes_max"],
    diskMaxBytes: config["pages.build_disk_mb"] * 2 ** 20,
  });
  const work = join(state, "work");
  // What a killed platform has left; its processes ended with it.
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  const sockets = await openRunDirectory(join(state, "run-directory"));
  let door: Promise<string> | undefined;
  let closeDoor: (() => Promise<void>) | undefined;

  /** A unix socket that leads to a proxy of the platform's: to public addresses and those that the configuration allows. */
  async function openDoor(): Promise<string> {
    const proxy = await kernel.openProxy(config["pages.private_hosts"]);
    const port = Number(new URL(proxy.url).port);
    const path = join(sockets, "proxy.sock");
    const server = createServer({ allowHalfOpen: true }, (client) => {
      const upstream = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      client.pipe(upstream).pipe(client);
      client.on("error", () => upstream.destroy());
      upstream.on("error", () => client.destroy());
      client.once("close", () => upstream.destroy());
    });
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen({ path, writableAll: true }, resolve));
    closeDoor = async () => {
      server.close();
      await proxy.close();
    };
    return path;
  }

  async function run(build: Build): Promise<DeploymentForm> {
    const { project, deployment, repository, log, signal } = build;
    await build.stage("initialize");
    if (sandbox.missing !== undefined) throw new BuildFailure(`Failed: ${sandbox.missing}`);
    door ??= openDoor();
    const proxy = await door;
    const directory = await mkdtemp(join(work, "build-"));
    try {
      await prepareDirectory(directory, { uid });
      const { build_caching, root_dir, destination_dir, build_command } = deployment.build;
      const { compatibility_date, compatibility_flags } = deployment.config;
      const env = {
        ...{ CI: "true", CF_PAGES: "1", CF_PAGES_COMMIT_SHA: deployment.commit.hash, CF_PAGES_BRANCH: deployment.branch },
        CF_PAGES_URL: urlOf(project, deployment),
        ...variablesOf(deployment.config, kernel),
        ...{ FREEHOLD_COMMIT: deployment.commit.hash, FREEHOLD_ROOT: relative(root_dir), FREEHOLD_OUTPUT: relative(destination_dir) },
        ...{ FREEHOLD_COMMAND: build_command ?? "", FREEHOLD_DATE: compatibility_date, FREEHOLD_FLAGS: compatibility_flags.join(" ") },
        WRANGLER_SEND_METRICS: "false",
      };
      const step: Step = (script, more = {}) =>
        sandbox.run({ directory, script, env, signal, onText: (chunk) => log.write(chunk), ...more });
      if (build_caching === true) await restore(project, log, step);

      await build.stage("clone_repo");
      log.say("Cloning repository...");
      succeed(
        await step(CLONE_SCRIPT, { repository: repositories.directory(repository), proxy }),
        "Failed: unable to clone the repository",
      );
      log.say("Success: Finished cloning repository files");

      await build.stage("build");
      succeed(await step(BUILD_SCRIPT, { proxy }), "Failed: build command exited with an error");
      if (build_caching === true) await save(project, log, step);

      await build.stage("deploy");
      log.say("Validating asset output directory");
      const out = `repo/${relative(root_dir)}/${relative(destination_dir)}`;
      return await collect(build, step, out);
    } finally {
      await rm(directory, { recursive: true, force: true, maxRetries: 5 });
    }
  }

  type Step = (script: Command["script"], more?: Partial<Command>) => Promise<Outcome>;

  async function restore(project: Project, log: BuildLog, step: Step): Promise<void> {
    const input: Readable | undefined = await cache.open(project.id);
    if (input === undefined) return log.say("No build cache was found.");
    const { code } = await step(RESTORE_CACHE_SCRIPT, { input });
    log.say(code === 0 ? "Success: Build cache was restored." : "The build cache could not be restored.");
  }

  /** That it cannot be saved fails no build. */
  async function save(project: Project, log: BuildLog, step: Step): Promise<void> {
    const writer = cache.writer(project.id);
    let fits = true;
    let empty = true;
    try {
      const { code } = await step(SAVE_CACHE_SCRIPT, {
        onOutput: async (chunk) => {
          empty = false;
          if (fits) fits = await writer.write(chunk);
        },
      });
      if (empty) return;
      if (code !== 0 || !fits) return log.say(fits ? "The build cache could not be saved." : "The build cache is too large to be saved.");
      await writer.commit();
      log.say("Success: Build cache was saved.");
    } finally {
      await writer.discard();
    }
  }

  /** Stores the files of a build that has ended, and gives the form that wrangler would have sent. */
  async function collect(build: Build, step: Step, out: string): Promise<DeploymentForm> {
    const { project, log } = build;
    const files = new Map<string, string>();
    const texts = new Map<string, Buffer>();
    const compiled = new Map<string, Buffer>();
    let pending: UploadedFile[] = [];
    let size = 0;
    const store = async (): Promise<void> => {
      const keys = pending.map(({ key }) => key);
      const missing = new Set(await assets.missing(project.id, keys));
      await assets.upload(
        project.id,
        pending.filter(({ key }) => missing.delete(key)),
      );
      pending = [];
      size = 0;
    };
    const take = async ({ root, path, bytes: view }: CollectedFile): Promise<void> => {
      const bytes = Buffer.from(view); // The memory is the reader's.
      if (root === 1) return void compiled.set(path, bytes);
      if (RULE_FILES.has(`/${path}`)) return void texts.set(path, bytes);
      if (path.startsWith("_worker.js/")) return;
      const contentType = contentTypeOf(path);
      const key = createHash("sha256").update(contentType).update("\0").update(bytes).digest("hex").slice(0, 32);
      files.set(`/${path}`, key);
      pending.push({ key, bytes, contentType });
      size += bytes.length;
      if (size >= BATCH_BYTES) await store();
    };
    const reader = new FrameReader(Math.max(FILE_MAX_BYTES, config["workers.script_max_bytes"]));
    const script = { collect: [String(config["pages.files_max"]), String(FILE_MAX_BYTES), `${HOME}/${out}`, FUNCTIONS] };
    const outcome = await step(script, {
      onOutput: async (chunk) => {
        for (const file of reader.push(chunk)) await take(file);
      },
    });
    succeed(outcome, UNREADABLE);
    if (!reader.complete) throw new BuildFailure(UNREADABLE);
    await store();
    log.say(`Deploying your site: ${files.size} files`);
    return form(build, files, texts, compiled);
  }

  async function form(
    { deployment }: Build,
    files: ReadonlyMap<string, string>,
    texts: ReadonlyMap<string, Buffer>,
    compiled: ReadonlyMap<string, Buffer>,
  ): Promise<DeploymentForm> {
    const body = new FormData();
    body.set("manifest", JSON.stringify(Object.fromEntries(files)));
    body.set("branch", deployment.branch);
    for (const name of ["_headers", "_redirects"]) if (texts.has(name)) body.set(name, texts.get(name)?.toString("utf8") ?? "");
    const bundle = compiled.get("_worker.bundle");
    const routes = texts.get("_routes.json") ?? compiled.get("_routes.json");
    if (bundle !== undefined) body.set("_worker.bundle", new File([bundle as Uint8Array<ArrayBuffer>], "_worker.bundle"));
    if (routes !== undefined && bundle !== undefined) body.set("_routes.json", routes.toString("utf8"));
    const metadata = compiled.get("metadata.json");
    if (metadata !== undefined) {
      const { wrangler_config_hash: hash, build_output_directory: out } = JSON.parse(metadata.toString("utf8")) as Record<string, unknown>;
      if (typeof hash === "string") body.set("wrangler_config_hash", hash);
      if (typeof out === "string") body.set("pages_build_output_dir", out);
    }
    const request = new Response(body);
    const type = request.headers.get("content-type") ?? "";
    const { commit: _, ...rest } = await readDeploymentForm(type, new Uint8Array(await request.arrayBuffer()), config["pages.files_max"]);
    return { ...rest, branch: deployment.branch, commit: deployment.commit };
  }

  return {
    missing: sandbox.missing,
    run,
    async ready() {
      door ??= openDoor();
      await door;
    },
    async stop() {
      await closeDoor?.();
      await rm(sockets, { recursive: true, force: true });
      await rm(work, { recursive: true, force: true });
    },
  };
}

function succeed({ code, exceeded }: Outcome, message: string): void {
  if (exceeded !== undefined) throw new BuildFailure(`Failed: the build was ended because ${exceeded}`);
  if (code !== 0) throw new BuildFailure(message);
}

/** A directory below another one, as users write them: "", "/", "./dist", "dist/". */
const relative = (path: string | null): string =>
  (path ?? "")
    .split("/")
    .filter((step) => step !== "" && step !== "." && step !== "..")
    .join("/") || ".";
