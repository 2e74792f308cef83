/**
 * Workers with sandboxes: the image that `freehold sandbox image` builds out of Debian packages of this machine, in the test's own
 * engine, and a project whose Worker (`sandbox-worker.js`) hands what tests ask of it to the package `@cloudflare/sandbox`.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { strToU8, zipSync } from "fflate";
import { importDebian, withoutPackages } from "../harness/debian-base.ts";
import { type Docker, noDocker, startDocker } from "../harness/docker.ts";
import { takeLock } from "../harness/lock.ts";
import { projectRoot, type RunOptions, runProcess, startPlatform, type TestPlatform } from "../harness/platform.ts";
import { type WorkerProject, workerProject } from "../harness/worker-project.ts";

const VERSION = "0.12.10";
const BASE = "freehold-test/debian:12";
export const PREVIEW_ZONE = "preview.test";
const DOCKERFILE = `FROM docker.io/cloudflare/sandbox:${VERSION}-python
COPY greeting-1.0-py3-none-any.whl /tmp/
RUN python3 -m pip install --no-index --break-system-packages /tmp/greeting-1.0-py3-none-any.whl
`;
/** An image that knows nothing of sandboxes, with the one file that makes it one. */
const ELSEWHERE = `FROM ${BASE}
COPY --from=docker.io/cloudflare/sandbox:${VERSION} /container-server/sandbox /sandbox
EXPOSE 3000
ENTRYPOINT ["/sandbox"]
CMD ["sh", "-c", "echo own command > /tmp/started; exec sleep infinity"]
`;

const PACKAGES = [
  ...[
    "bsdutils",
    "ca-certificates",
    "curl",
    "debianutils",
    "fuse-overlayfs",
    "fuse3",
    "git",
    "inotify-tools",
    "mount",
    "procps",
    "python3",
  ],
  ...["s3fs", "squashfs-tools", "squashfuse", "util-linux"],
  "python3-pip",
];
/** What the image's -python variant has, for the Python of Debian's package. */
const REQUIREMENTS = new URL("sandbox-requirements.txt", import.meta.url).pathname;
const PYTHON = "/usr/bin/python3";
const INSTALL_DEADLINE_MS = 10 * 60_000;

/** Why no sandbox can run here, or false: for `test(…, { skip: noSandbox })`. */
export const noSandbox: string | false = noDocker || withoutPackages(PACKAGES);

/** Builds the base and the image in the engine. Engines are new for each test file, and so are their images. */
async function buildSandboxImage(docker: Docker): Promise<void> {
  const host = ["docker", "--host", `unix://${docker.socket}`] as const;
  await importDebian([...host], BASE, PACKAGES, {
    from: await dataPackages(),
    into: "usr/lib/python3/dist-packages",
  });
  const env = { DOCKER_HOST: `unix://${docker.socket}`, ...docker.env };
  const launcher = join(projectRoot, "bin", "freehold.mjs");
  await runProcess(process.execPath, [launcher, "sandbox", "image", "--python", "--base", BASE], { env });
}

/** A directory with NumPy, pandas and matplotlib, installed once. */
async function dataPackages(): Promise<string> {
  const version = spawnSync(PYTHON, ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"], { encoding: "utf8" }).stdout.trim();
  const hash = createHash("sha256").update(readFileSync(REQUIREMENTS)).update(version).digest("hex").slice(0, 16);
  const root = join(projectRoot, ".clients");
  const made = join(root, `sandbox-python-${hash}`);
  if (existsSync(made)) return made;
  await mkdir(root, { recursive: true });
  const lock = await takeLock(join(root, "lock.sqlite"), INSTALL_DEADLINE_MS);
  try {
    if (existsSync(made)) return made;
    const target = `${made}.new`;
    await rm(target, { recursive: true, force: true });
    const flags = ["--quiet", "--no-deps", "--no-compile", "--only-binary", ":all:", "--python-version", version, "--target", target];
    await runProcess("python3", ["-m", "pip", "install", ...flags, "--requirement", REQUIREMENTS], { timeoutMs: INSTALL_DEADLINE_MS });
    // A third of it, which nobody runs.
    await runProcess("find", [target, "-type", "d", "-name", "tests", "-prune", "-exec", "rm", "-r", "{}", "+"]);
    await rename(target, made);
    return made;
  } finally {
    lock.close();
  }
}

interface SandboxProjectOptions {
  readonly name: string;
  readonly dockerfile: string;
  /** Further files of the project. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  readonly config?: Readonly<Record<string, unknown>>;
}

/** A project with a Dockerfile and the Worker of sandboxes; its commands run with the test's engine. */
async function sandboxProject(platform: TestPlatform, docker: Docker, options: SandboxProjectOptions): Promise<WorkerProject> {
  const worker = readFileSync(new URL("sandbox-worker.js", import.meta.url));
  const project = await workerProject(platform, {
    files: { ...options.files, "index.js": worker, Dockerfile: options.dockerfile },
    config: {
      name: options.name,
      compatibility_flags: ["nodejs_compat"],
      containers: [
        { class_name: "Sandbox", image: "./Dockerfile", instance_type: "standard-2", max_instances: 30 },
        { class_name: "Elsewhere", image: "./elsewhere.Dockerfile", instance_type: "basic", max_instances: 2 },
      ],
      durable_objects: { bindings: ["Sandbox", "Elsewhere"].map((name) => ({ name, class_name: name })) },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Sandbox", "Elsewhere"] }],
      ...options.config,
    },
  });
  await symlink(join(projectRoot, "node_modules"), join(project.dir, "node_modules"));
  const wrangler = (args: readonly string[], run: RunOptions = {}) =>
    project.wrangler(args, { ...run, env: { ...docker.env, ...run.env } });
  return {
    dir: project.dir,
    write: project.write,
    get url() {
      return project.url;
    },
    wrangler,
    deploy: (args = []) => project.deploy(args, { env: docker.env }),
  };
}

/** JSON of the Worker, of whatever form. */
// biome-ignore lint/suspicious/noExplicitAny: the package's methods answer in many forms, which tests compare as they are.
export type Asked = any;

export interface Sandboxes {
  readonly platform: TestPlatform;
  readonly project: WorkerProject;
  /** A sandbox by its id: calls of any of its methods, with failures as errors that have the package's name and code. */
  sandbox(id: string, options?: SandboxReference): Asked;
  /** Posts to one of the Worker's routes. */
  ask(id: string, route: string, body?: object, options?: SandboxReference): Promise<Asked>;
  /** The same for a route that answers in lines, as they come. */
  lines(id: string, route: string, body: object, options?: SandboxReference): Promise<Lines>;
}

export interface SandboxReference {
  readonly session?: string;
  /** The Worker's class, `Sandbox` if none is named. */
  readonly class?: string;
  /** What `getSandbox` takes. */
  readonly [option: string]: unknown;
}

export interface Lines {
  next(): Promise<Asked>;
  rest(): Promise<Asked[]>;
  cancel(): Promise<void>;
}

type Hooks = { after(fn: () => Promise<void>): void };

/** A platform with an engine, the image and the deployed Worker. */
export async function startSandboxes(t: Hooks): Promise<Sandboxes> {
  const docker = await startDocker(t);
  const platform = await startPlatform(t, { config: docker.config });
  await buildSandboxImage(docker);
  return deploySandboxes(platform, docker);
}

async function deploySandboxes(platform: TestPlatform, docker: Docker): Promise<Sandboxes> {
  const account = { id: platform.ready.account_id };
  await platform.rest("POST", "/zones", { name: PREVIEW_ZONE, account });
  await platform.rest("POST", `/accounts/${account.id}/r2/buckets`, { name: "backups" });
  const project = await sandboxProject(platform, docker, {
    name: "boxes",
    dockerfile: DOCKERFILE,
    files: { "elsewhere.Dockerfile": ELSEWHERE, "greeting-1.0-py3-none-any.whl": wheel() },
    config: {
      workers_dev: true,
      routes: [{ pattern: `*.${PREVIEW_ZONE}/*`, zone_name: PREVIEW_ZONE }],
      r2_buckets: [{ binding: "BACKUP_BUCKET", bucket_name: "backups" }],
    },
  });
  await project.deploy();
  return sandboxes(platform, project);
}

function sandboxes(platform: TestPlatform, project: WorkerProject): Sandboxes {
  const post = (id: string, route: string, body: object | undefined, { session, class: name, ...options }: SandboxReference = {}) => {
    const url = new URL(route, `${project.url}/`);
    url.searchParams.set("id", id);
    url.searchParams.set("options", JSON.stringify(options));
    if (name !== undefined) url.searchParams.set("class", name);
    if (session !== undefined) url.searchParams.set("session", session);
    return platform.fetch(url.href, { method: "POST", ...(body && { body: JSON.stringify(body) }) });
  };
  const ask: Sandboxes["ask"] = async (id, route, body, options) => {
    const answer = (await (await post(id, route, body, options)).json()) as Asked;
    if (answer.error) throw Object.assign(new Error(answer.error.message), answer.error);
    return answer;
  };
  return {
    platform,
    project,
    ask,
    sandbox: (id, options) =>
      new Proxy({} as Record<string, (...args: unknown[]) => Promise<Asked>>, {
        get:
          (_, method) =>
          async (...args: unknown[]) =>
            (await ask(id, "call", { method, args }, options)).result,
      }),
    async lines(id, route, body, options) {
      const response = await post(id, route, body, options);
      return linesOf(response.body as ReadableStream<Uint8Array>);
    },
  };
}

function linesOf(body: ReadableStream<Uint8Array>): Lines {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const line = async (): Promise<string | undefined> => {
    for (let end = text.indexOf("\n"); ; end = text.indexOf("\n")) {
      if (end >= 0) {
        const found = text.slice(0, end);
        text = text.slice(end + 1);
        return found;
      }
      const { value, done } = await reader.read();
      if (done) return undefined;
      text += value;
    }
  };
  return {
    async next() {
      const found = await line();
      if (found === undefined) throw new Error("the stream has ended");
      return JSON.parse(found);
    },
    async rest() {
      const found: Asked[] = [];
      for (let one = await line(); one !== undefined; one = await line()) found.push(JSON.parse(one));
      return found;
    },
    cancel: () => reader.cancel(),
  };
}

/** A Python package as pip takes it. */
function wheel(): Uint8Array {
  const info = "greeting-1.0.dist-info";
  return zipSync({
    "greeting.py": strToU8('TEXT = "hello from a wheel"\n'),
    [`${info}/METADATA`]: strToU8("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n"),
    [`${info}/WHEEL`]: strToU8("Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
    [`${info}/RECORD`]: strToU8("greeting.py,,\n"),
  });
}
