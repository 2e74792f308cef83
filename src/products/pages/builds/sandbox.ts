/**
 * Where the code of builds runs: `bwrap` (bubblewrap) makes each command namespaces of its own. It sees the machine's
 * programs, read-only, and the build's directory; it has no network but the loopback interface, on which `inside.ts` passes
 * connections to one unix socket, and what is behind that is the caller's choice. Memory, processes, disk and time are
 * bounded from outside, and ending a command ends everything that it started: the kernel does so with the namespace.
 * docs/adr/0013-builds-in-bubblewrap.md has the reasons. Nothing here knows what a build is.
 */
import { spawn } from "node:child_process";
import { accessSync, constants, existsSync, lstatSync, readdirSync, readlinkSync, realpathSync } from "node:fs";
import { chown, mkdir, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { workerModule } from "../../../kernel/workerd/module.ts";
import { anonymousBytes } from "../../../kernel/workerd/process-usage.ts";

/** Where the build's directory is for what runs inside. */
export const HOME = "/opt/buildhome";
/** What the platform puts beside it. */
const OWN = "/opt/freehold";
export const REPOSITORY = "/opt/repository.git";

export interface SandboxOptions {
  /** Directories of programs besides the machine's own: read-only, and their `.bin` and `bin` first in PATH. */
  readonly tools: readonly string[];
  /** Must not be seen, even where it lies in what is. */
  readonly hidden: string;
  /** User and group of the processes where the platform is root. */
  readonly uid: number;
  readonly memoryMaxBytes: number;
  readonly processesMax: number;
  readonly diskMaxBytes: number;
}

export interface Command {
  /** Of the build: `home` in it becomes HOME, `tmp` is /tmp. */
  readonly directory: string;
  /** Run by bash, or sh where there is none, in HOME; or `collect.ts` with its arguments. */
  readonly script: string | { readonly collect: readonly string[] };
  readonly env: Readonly<Record<string, string>>;
  /** A bare repository, to be read at REPOSITORY. */
  readonly repository?: string;
  /** Unix socket of an HTTP proxy; without one there is no network. */
  readonly proxy?: string;
  /** Sent to the script's standard input. */
  readonly input?: Readable;
  /** Gets the script's standard output as it comes; awaited, so that the script waits for a slow reader. */
  onOutput?(chunk: Buffer): void | Promise<void>;
  /** Gets standard error, and without `onOutput` standard output too. */
  onText(chunk: Buffer): void;
  /** Ends it. */
  readonly signal: AbortSignal;
}

export interface Outcome {
  readonly code: number;
  /** Why it was ended from outside: a sentence. */
  readonly exceeded?: string;
}

export interface Sandbox {
  /** Why nothing can be run on this machine, if that is so. */
  readonly missing: string | undefined;
  /** Rejects with the signal's reason when it was aborted; everything that the command started has ended then. */
  run(command: Command): Promise<Outcome>;
}

/** The platform's own programs inside, as the build's directory has them under `etc`. */
const OWN_PROGRAMS = ["inside.mjs", "collect.mjs"];

/** Makes an empty directory one for commands to run in: what they see besides the machine's programs. */
export async function prepareDirectory(directory: string, { uid }: Pick<SandboxOptions, "uid">): Promise<void> {
  for (const name of ["home", "tmp", "etc"]) await mkdir(join(directory, name));
  const root = process.getuid?.() === 0;
  const id = root ? uid : 1000;
  const files = {
    passwd: `root:x:0:0::/:/bin/false\nbuildbot:x:${id}:${id}::${HOME}:/bin/sh\n`,
    group: `root:x:0:\nbuildbot:x:${id}:\n`,
    hosts: "127.0.0.1 localhost build\n::1 localhost\n",
    "inside.mjs": workerModule(import.meta.url, "./inside.ts"),
    "collect.mjs": workerModule(import.meta.url, "./collect.ts"),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, "etc", name), text);
  if (root) for (const name of ["home", "tmp"]) await chown(join(directory, name), uid, uid);
}

const LOOK_MS = 250;
/** Looks at memory between two at the disk. */
const DISK_LOOKS = 20;
/** Of memory that looks like files. */
const SHM_BYTES = 64 * 1024 * 1024;
/** What programs need of /etc. */
const ETC = ["ssl", "ca-certificates", "alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types"];

export function openSandbox(options: SandboxOptions): Sandbox {
  const bwrap = find("bwrap");
  const root = process.getuid?.() === 0;
  const missing = whatIsMissing(bwrap, root);

  return {
    missing,
    async run(command) {
      if (bwrap === undefined || missing !== undefined) throw new Error(missing);
      command.signal.throwIfAborted();
      const child = spawn("nice", ["-n", "10", bwrap, "--args", "5", "--", ...inside(options, root)], {
        // What the user has named as variables is not for `nice` and `bwrap`: it goes in by standard input.
        env: { PATH: "/usr/bin:/bin" },
        cwd: "/",
        stdio: ["pipe", "pipe", "pipe", "pipe", "pipe", "pipe"],
      });
      const [stdin, stdout, stderr, info, settings, sights] = child.stdio as unknown as Pipes;
      for (const stream of [stdin, settings, sights]) stream.on("error", () => undefined); // It may end without reading.
      // Not by the command line, which the sandbox's processes see.
      sights.end(view(command, options, root).join("\0"));
      settings.end(
        JSON.stringify({ script: command.script, env: { ...environment(options), ...command.env }, proxy: command.proxy !== undefined }),
      );
      if (command.input === undefined) stdin.end();
      else command.input.pipe(stdin);
      const first = firstProcess(info);
      let exceeded: string | undefined;
      const kill = async (): Promise<void> => {
        endProcess(await first);
        child.kill("SIGKILL");
      };
      const onAbort = (): void => void kill();
      command.signal.addEventListener("abort", onAbort);
      const stopLooking = watch(first, command.directory, options, (what) => {
        exceeded ??= what;
        void kill();
      });
      try {
        const ended = new Promise<number>((resolve, reject) => {
          child.once("error", reject);
          child.once("close", (code) => resolve(code ?? 137));
        });
        const [code] = await Promise.all([
          ended,
          read(stdout, command.onOutput?.bind(command) ?? command.onText.bind(command)),
          read(stderr, command.onText.bind(command)),
        ]);
        command.signal.throwIfAborted();
        return { code, ...(exceeded !== undefined && { exceeded }) };
      } finally {
        command.signal.removeEventListener("abort", onAbort);
        stopLooking();
        await kill();
      }
    },
  };
}

async function read(stream: Readable, take: (chunk: Buffer) => void | Promise<void>): Promise<void> {
  for await (const chunk of stream) await take(chunk as Buffer);
}

type Pipes = [stdin: Writable, stdout: Readable, stderr: Readable, info: Readable, settings: Writable, sights: Writable];

/** What there is to see: arguments of bwrap. */
function view({ directory, repository, proxy }: Command, { tools, hidden }: SandboxOptions, root: boolean): string[] {
  // Directories on the way to a path would be open to root alone otherwise.
  const readOnly = (path: string, at = path): string[] => [...ancestors(at), "--ro-bind", path, at];
  const arguments_ = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"];
  arguments_.push("--die-with-parent", "--new-session", "--hostname", "build", "--info-fd", "3");
  // As root no user namespace is needed, and setpriv then leaves root for good; as another user it is that user's, alone in its own.
  if (root) arguments_.push("--cap-drop", "ALL", ...["SETUID", "SETGID", "SETPCAP"].flatMap((one) => ["--cap-add", `CAP_${one}`]));
  else arguments_.push("--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000");
  arguments_.push(...readOnly("/usr"));
  for (const name of ["/bin", "/sbin", "/lib", "/lib32", "/lib64"]) {
    if (!existsSync(name)) continue;
    if (lstatSync(name).isSymbolicLink()) arguments_.push("--symlink", readlinkSync(name), name);
    else arguments_.push(...readOnly(name));
  }
  arguments_.push(...ancestors("/etc/ssl"), ...ancestors(`${HOME}/any`));
  for (const name of ETC) arguments_.push("--ro-bind-try", `/etc/${name}`, `/etc/${name}`);
  for (const name of ["passwd", "group", "hosts"]) arguments_.push(...readOnly(join(directory, "etc", name), `/etc/${name}`));
  for (const tool of tools) arguments_.push(...readOnly(tool));
  arguments_.push(
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--perms",
    "1777",
    "--size",
    String(SHM_BYTES),
    "--tmpfs",
    "/dev/shm",
    "--remount-ro",
    "/dev",
  );
  if (isBelow(hidden, ["/usr", ...tools])) arguments_.push("--size", "4096", "--tmpfs", hidden, "--remount-ro", hidden);
  arguments_.push("--bind", join(directory, "tmp"), "/tmp", "--bind", join(directory, "home"), HOME);
  if (repository !== undefined) arguments_.push(...readOnly(repository, REPOSITORY));
  if (proxy !== undefined) arguments_.push(...readOnly(proxy, `${OWN}/proxy.sock`));
  arguments_.push(...readOnly(realpathSync(process.execPath), `${OWN}/bin/node`));
  for (const name of OWN_PROGRAMS) arguments_.push(...readOnly(join(directory, "etc", name), `${OWN}/${name}`));
  arguments_.push("--remount-ro", "/", "--chdir", HOME);
  return arguments_;
}

const ancestors = (path: string): string[] => {
  const above = dirname(path);
  return above === "/" ? [] : [...ancestors(above), "--perms", "0755", "--dir", above];
};

/** What runs there: limits, then the platform's own first program, which starts the script. */
function inside({ uid, processesMax }: SandboxOptions, root: boolean): string[] {
  const leave = [
    "setpriv",
    "--reuid",
    String(uid),
    "--regid",
    String(uid),
    "--clear-groups",
    "--bounding-set",
    "-all",
    "--inh-caps",
    "-all",
    "--no-new-privs",
  ];
  const limits = ["prlimit", `--nproc=${processesMax}`, "--core=0"];
  return [...(root ? leave : []), ...limits, `${OWN}/bin/node`, `${OWN}/inside.mjs`];
}

function environment({ tools }: SandboxOptions): Record<string, string> {
  return {
    PATH: [...tools.flatMap((tool) => [`${tool}/.bin`, `${tool}/bin`]), "/usr/local/bin", "/usr/bin", "/bin", `${OWN}/bin`].join(":"),
    HOME,
    USER: "buildbot",
    LANG: "C.UTF-8",
    TERM: "dumb",
    SHELL: "/bin/sh",
    // Node has authorities of its own; builds trust those that the machine trusts.
    NODE_EXTRA_CA_CERTS: "/etc/ssl/certs/ca-certificates.crt",
  };
}

/**
 * The host's number of the first process inside, once it is there; undefined when bwrap ended before. Everything that bwrap
 * has to say is read: it would fail to write to a closed pipe, before it lets the process go on.
 */
function firstProcess(info: Readable): Promise<number | undefined> {
  return new Promise((resolve) => {
    let text = "";
    info.on("data", (chunk) => {
      text += String(chunk);
      const found = /"child-pid":\s*(\d+)/.exec(text)?.[1];
      if (found !== undefined) resolve(Number(found));
    });
    info.once("close", () => resolve(undefined));
  });
}

function endProcess(pid: number | undefined): void {
  // Gone with its namespace, its number may be another process's: only what is the first of a namespace is ended.
  if (pid === undefined || !isFirstOfNamespace(pid)) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Looks at what the command uses until it is told to stop. */
function watch(
  first: Promise<number | undefined>,
  directory: string,
  options: SandboxOptions,
  onExceeded: (what: string) => void,
): () => void {
  let looks = 0;
  let stopped = false;
  let measuring = false;
  const timer = setInterval(async () => {
    const pid = await first;
    if (stopped || pid === undefined) return;
    const space = namespaceOf(pid);
    const processes =
      space === undefined ? [] : readdirSync("/proc").filter((name) => /^\d+$/.test(name) && namespaceOf(Number(name)) === space);
    const bytes = processes.reduce((sum, name) => sum + (anonymousBytes(Number(name)) ?? 0), 0);
    if (bytes > options.memoryMaxBytes) onExceeded(`it used more than ${Math.round(options.memoryMaxBytes / 2 ** 20)} MB of memory`);
    else if (processes.length > options.processesMax) onExceeded(`it had more than ${options.processesMax} processes`);
    if (looks++ % DISK_LOOKS !== 0 || measuring) return;
    measuring = true;
    const used = await diskUse(directory).finally(() => (measuring = false));
    if (!stopped && used > options.diskMaxBytes) onExceeded(`it used more than ${Math.round(options.diskMaxBytes / 2 ** 20)} MB of disk`);
  }, LOOK_MS);
  return () => {
    stopped = true;
    clearInterval(timer);
  };
}

/** Bytes that the directory's files take up. */
function diskUse(directory: string): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn("du", ["-sk", "--one-file-system", directory], { stdio: ["ignore", "pipe", "ignore"] });
    let text = "";
    child.stdout.on("data", (chunk) => (text += String(chunk)));
    child.once("error", () => resolve(0));
    child.once("close", () => resolve(Number.parseInt(text, 10) * 1024 || 0));
  });
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}

function isFirstOfNamespace(pid: number): boolean {
  const own = namespaceOf(process.pid);
  const its = namespaceOf(pid);
  return its !== undefined && its !== own;
}

const isBelow = (path: string, roots: readonly string[]): boolean => roots.some((root) => path === root || path.startsWith(`${root}/`));

function whatIsMissing(bwrap: string | undefined, root: boolean): string | undefined {
  if (process.platform !== "linux") return "Builds need Linux: they run in namespaces of its kernel.";
  if (bwrap === undefined)
    return "Builds need bubblewrap, which is not installed on this machine (Debian, Ubuntu: apt-get install bubblewrap).";
  for (const [program, from] of [["git", "git"], ["prlimit", "util-linux"], ...(root ? [["setpriv", "util-linux"]] : [])] as const)
    if (find(program as string) === undefined)
      return `Builds need ${program}, which is not installed on this machine (Debian, Ubuntu: apt-get install ${from}).`;
  return undefined;
}

/** Path of a program of the machine. */
export function find(name: string): string | undefined {
  for (const directory of [...(process.env.PATH ?? "").split(delimiter), "/usr/bin", "/bin"]) {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return join(directory, name);
    } catch {
      // Not there.
    }
  }
  return undefined;
}
