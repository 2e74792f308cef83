/**
 * A Docker engine of a test's own: dockerd with its data, its socket and its networks apart from any other on the machine,
 * and the image that tests run, made from programs of this machine, because no registry of images can be reached. Engines
 * share the kernel's packet filter, so that one runs at a time.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { takeLock } from "./lock.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const BUSYBOX = "/bin/busybox";
const PERL = "/usr/bin/perl";
const PERL_MODULES = "/usr/lib/x86_64-linux-gnu/perl-base";

/** Why no container can run here, or false: for `test(…, { skip: noDocker })`. */
export const noDocker: string | false = reason();

function reason(): string | false {
  if (process.platform !== "linux" || process.arch !== "x64") return "containers are tested on Linux with x64";
  if (process.getuid?.() !== 0) return "a Docker engine of one's own needs root";
  if (spawnSync("dockerd", ["--version"]).status !== 0) return "dockerd is not installed (docker.io)";
  if (spawnSync("docker", ["--version"]).status !== 0) return "the docker command is not installed (docker.io)";
  if (spawnSync("iptables", ["--version"]).status !== 0) return "iptables is not installed";
  if (spawnSync("redis-check-rdb", ["--version"]).error !== undefined) return "redis is not installed (redis-tools)";
  if (!existsSync(BUSYBOX) || spawnSync("ldd", [BUSYBOX]).status === 0) return "a static busybox is not installed (busybox-static)";
  return !existsSync(PERL_MODULES) && "perl-base is not installed";
}

export interface Docker {
  readonly socket: string;
  /** What clients and the platform need to find it: settings of `startPlatform`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** For clients: a `docker` command that knows what wrangler asks of it, and a place for its logins. */
  readonly env: Readonly<Record<string, string>>;
  /** Answer of the engine's API as JSON. */
  api(method: string, path: string): Promise<unknown>;
}

type Hooks = { after(fn: () => Promise<void>): void };

const START_DEADLINE_MS = 60_000;
const LOCK_DEADLINE_MS = 10 * 60_000;

/** Starts an engine that ends with the test. */
export async function startDocker(t: Hooks): Promise<Docker> {
  const lock = await takeLock(join(tmpdir(), "freehold-test-docker.lock"), LOCK_DEADLINE_MS);
  const directory = await temporaryDirectory("freehold-docker-");
  const socket = join(directory, "docker.sock");
  const pool = `10.${100 + Math.floor(Math.random() * 100)}.0.0/16`;
  const args = ["--data-root", "data", "--exec-root", "exec", "--pidfile", "docker.pid", "--host", `unix://${socket}`];
  args.push("--bridge", "none", "--default-address-pool", `base=${pool},size=24`, "--log-level", "warn");
  for (const flag of ["--data-root", "--exec-root", "--pidfile"]) {
    const at = args.indexOf(flag) + 1;
    args[at] = join(directory, args[at] as string);
  }
  // It ends with the test also where that is killed.
  const child = spawn("setpriv", ["--pdeathsig", "TERM", "--", "dockerd", ...args], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = `${said}${chunk}`.slice(-10_000);
  });
  const gone = once(child, "close");
  t.after(async () => {
    // A platform of the test ends after the engine, which was there before it. Interfaces of networks would outlive both.
    for (const { Id } of (await api("GET", "/containers/json?all=true")) as { Id: string }[])
      await api("DELETE", `/containers/${Id}?force=true`).catch(() => undefined);
    await api("POST", "/networks/prune");
    child.kill("SIGTERM");
    await gone;
    await rm(directory, { recursive: true, force: true, maxRetries: 5 });
    lock.close();
  });
  const api = (method: string, path: string): Promise<unknown> => call(socket, method, path);
  await serves(
    api,
    gone.then(() => said),
  );
  const client = await dockerCommand(directory);
  return {
    socket,
    config: { "containers.docker_socket": socket },
    env: { WRANGLER_DOCKER_BIN: client, DOCKER_CONFIG: join(directory, "client") },
    api,
  };
}

async function serves(api: Docker["api"], died: Promise<string>): Promise<void> {
  let isDead = false;
  void died.then(() => {
    isDead = true;
  });
  const deadline = Date.now() + START_DEADLINE_MS;
  for (;;) {
    try {
      await api("GET", "/version");
      return;
    } catch (cause) {
      if (isDead || Date.now() > deadline) throw new Error(`dockerd does not serve: ${isDead ? await died : "no answer"}`, { cause });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function call(socketPath: string, method: string, path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path, agent: false }, async (answer) => {
      try {
        const chunks: Buffer[] = [];
        for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
        const text = Buffer.concat(chunks).toString("utf8");
        resolve(text === "" ? undefined : JSON.parse(text));
      } catch (error) {
        reject(error);
      }
    });
    sent.on("error", reject);
    sent.end();
  });
}

/**
 * The docker command as wrangler calls it. Debian's has no BuildKit plugin, and refuses two flags of it that ask for what
 * its own builder does anyway.
 */
async function dockerCommand(directory: string): Promise<string> {
  const path = join(directory, "docker");
  const script = `#!/bin/sh
for arg; do
  shift
  case "$arg" in --load | --provenance=false) ;; *) set -- "$@" "$arg" ;; esac
done
exec docker "$@"
`;
  await writeFile(path, script);
  await chmod(path, 0o755);
  return path;
}

export interface ImageOptions {
  /** Text that \`/\` of the program says; images of different versions differ in it. */
  readonly version?: string;
  /** Programs of this machine to take along, by their path in the image. */
  readonly programs?: Readonly<Record<string, string>>;
}

/** Writes a directory from which `docker build` makes an image of the tests' program (\`container-image/server.pl\`). */
export async function writeImage(directory: string, { version = "1", programs = {} }: ImageOptions = {}): Promise<void> {
  const root = join(directory, "root");
  const files = { "bin/busybox": BUSYBOX, "bin/sh": BUSYBOX, "bin/cat": BUSYBOX, "bin/kill": BUSYBOX, "usr/bin/perl": PERL, ...programs };
  for (const [to, from] of Object.entries(files)) {
    await copy(from, join(root, to));
    for (const library of librariesOf(from)) await copy(library, join(root, library));
  }
  await cp(PERL_MODULES, join(root, PERL_MODULES), { recursive: true, dereference: true });
  await cp(new URL("container-image/server.pl", import.meta.url), join(root, "server.pl"));
  await mkdir(join(root, "tmp"), { recursive: true });
  await writeFile(join(directory, "version"), version);
  // The large layer first: images of another version share it.
  const lines = ["FROM scratch", "COPY root /", "COPY version /version", "EXPOSE 8080", 'CMD ["/usr/bin/perl", "/server.pl"]', ""];
  await writeFile(join(directory, "Dockerfile"), lines.join("\n"));
}

async function copy(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await writeFile(to, await readFile(from), { mode: 0o755 });
}

/** Shared libraries of a program, the loader among them. */
function librariesOf(program: string): string[] {
  const { status, stdout } = spawnSync("ldd", [program], { encoding: "utf8" });
  if (status !== 0) return [];
  const found = stdout.split("\n").flatMap((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1] ?? []);
  assert.ok(found.length > 0, stdout);
  return found;
}
