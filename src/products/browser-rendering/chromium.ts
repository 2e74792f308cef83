/**
 * One Chromium process: found, started, spoken to over a pipe, ended. It works for strangers' pages, so it runs in its own
 * sandbox, where the platform is root as another user, with a profile directory of its own that goes with it, and with no
 * way to the network but the proxy that it is given. When the platform dies, the pipe ends, and Chromium with it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import type { Config } from "../../kernel/config.ts";
import type { Log } from "../../kernel/log.ts";
import type { ProgramProxy } from "../../kernel/product.ts";
import { processGroupBytes } from "./process-group.ts";

export interface Chromium {
  /** Sends one message of the DevTools protocol. */
  post(message: string): void;
  /** Resolves with what is known about why, when the process has ended and its files are gone. */
  readonly ended: Promise<string>;
  /** Ends it now; it keeps nothing. `why` becomes what `ended` tells. */
  kill(why: string): void;
}

export interface ChromiumOptions {
  readonly config: Config;
  readonly log: Log;
  readonly proxy: ProgramProxy;
  /** Directory for profiles; the user that Chromium runs as can look into it. */
  readonly directory: string;
  /** Gets each message, in order. The bytes are the receiver's. */
  receive(message: Buffer): void;
}

/** What a message may have: a screenshot or a document of that size. */
const MESSAGE_MAX_BYTES = 512 * 1024 * 1024;
const STDERR_TAIL_LINES = 20;
const MEMORY_LOOK_MS = 2_000;

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/** Path of the browser: the configured one, or the first on PATH; undefined when there is none. */
export function findChromium(configured: string): string | undefined {
  if (configured !== "") return isExecutable(configured) ? configured : undefined;
  const directories = [...(process.env.PATH ?? "").split(delimiter), "/usr/bin"];
  for (const name of NAMES) for (const directory of directories) if (isExecutable(join(directory, name))) return join(directory, name);
  return undefined;
}

/** What an operator does about a missing browser. */
export const HOW_TO_GET =
  "No Chromium was found on this machine. Install one (Debian, Ubuntu: apt-get install chromium) or name it by browser_rendering.chromium";

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Starts a browser. It may still fail: `ended` tells. */
export async function startChromium(executable: string, options: ChromiumOptions): Promise<Chromium> {
  const { config, log, proxy } = options;
  const user = runAs(config["browser_rendering.user"]);
  const profile = await mkdtemp(join(options.directory, "profile-"));
  if (user !== undefined) await chown(profile, user.uid, user.gid);
  const [command, prefix] = parentDeathPrefix();
  const sandbox = config["browser_rendering.sandbox"] ? [] : ["--no-sandbox"];
  const child = spawn(command, [...prefix, executable, ...flags(profile, proxy), ...sandbox], {
    ...user,
    cwd: profile,
    // A group of its own, so that all of its processes can be ended and counted.
    detached: true,
    env: { PATH: process.env.PATH ?? "", HOME: profile, TMPDIR: profile, TZ: "UTC", LANG: "C.UTF-8" },
    stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
  });
  let reason: string | undefined;
  const lastWords = tail(child.stderr as Readable);
  const kill = (why: string): void => {
    reason ??= why;
    killGroup(child);
  };
  const watchdog = setInterval(() => {
    const bytes = processGroupBytes(child.pid as number);
    if (bytes > config["browser_rendering.memory_mb"] * 1024 * 1024) kill(`it used ${Math.round(bytes / 1024 / 1024)} MB of memory`);
  }, MEMORY_LOOK_MS);
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(`it could not be started: ${error.message}`));
    child.once("close", (code, signal) =>
      resolve(reason ?? explain(signal === null ? `exit code ${code}` : `signal ${signal}`, lastWords)),
    );
  }).finally(async () => {
    clearInterval(watchdog);
    killGroup(child);
    await rm(profile, { recursive: true, force: true, maxRetries: 5 }).catch((error: unknown) =>
      log.warn("chromium.profile_left", { profile, error }),
    );
  });
  const input = child.stdio[3] as Writable;
  input.on("error", () => kill("its pipe broke"));
  readMessages(child.stdio[4] as unknown as Readable, options.receive, () => kill("it sent a message without end"));
  return { post: (message) => void input.write(`${message}\0`), ended, kill };
}

function flags(profile: string, proxy: ProgramProxy): string[] {
  return [
    "--headless",
    "--remote-debugging-pipe",
    `--user-data-dir=${profile}`,
    // Everything goes through the proxy, what is local included; names are not even looked up here.
    `--proxy-server=${proxy.url}`,
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-quic",
    `--ignore-certificate-errors-spki-list=${proxy.trustedKey}`,
    "--disable-features=Translate,MediaRouter,DialMediaRouteProvider,OptimizationHints,HttpsUpgrades,AutofillServerCommunication",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-breakpad",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-hang-monitor",
    "--disable-popup-blocking",
    "--disable-prompt-on-repost",
    "--disable-renderer-backgrounding",
    "--disable-sync",
    "--export-tagged-pdf",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--metrics-recording-only",
    "--mute-audio",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    "--password-store=basic",
    "about:blank",
  ];
}

/** Nothing but root can become another user, and Chromium's sandbox does not work for root. */
export function runAs(name: string): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0 || name === "") return undefined;
  for (const line of readFileSync("/etc/passwd", "utf8").split("\n")) {
    const [user, , uid, gid] = line.split(":");
    if (user === name) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error(`browser_rendering.user names no user of this machine: ${name}`);
}

/** Where the host has setpriv, the kernel ends Chromium when our process dies, should the broken pipe not have done it. */
function parentDeathPrefix(): [command: string, prefix: string[]] {
  for (const setpriv of ["/usr/bin/setpriv", "/bin/setpriv"])
    if (process.platform === "linux" && existsSync(setpriv)) return [setpriv, ["--pdeathsig", "KILL", "--"]];
  return ["/usr/bin/env", []];
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** The last lines of a stream, as they come. */
function tail(stream: Readable): string[] {
  const lines: string[] = [];
  stream.setEncoding("utf8").on("data", (text: string) => {
    lines.push(...text.split("\n").filter((line) => line !== "" && !line.includes("dbus/")));
    lines.splice(0, lines.length - STDERR_TAIL_LINES);
  });
  return lines;
}

function explain(end: string, lastWords: readonly string[]): string {
  const words = lastWords.join("\n");
  if (/no usable sandbox|sandbox_host|Failed to move to new namespace/i.test(words))
    return `${end}: its sandbox does not work on this machine. Allow unprivileged user namespaces, or set browser_rendering.sandbox to false if only pages that you trust are opened`;
  return words === "" ? end : `${end}: ${words}`;
}

/** Messages end in a zero byte. */
function readMessages(stream: Readable, receive: (message: Buffer) => void, endless: () => void): void {
  let pending: Buffer[] = [];
  let size = 0;
  stream.on("error", () => undefined);
  stream.on("data", (chunk: Buffer) => {
    let rest = chunk;
    for (let end = rest.indexOf(0); end !== -1; end = rest.indexOf(0)) {
      receive(Buffer.concat([...pending, rest.subarray(0, end)]));
      pending = [];
      size = 0;
      rest = rest.subarray(end + 1);
    }
    if (rest.length > 0) pending.push(rest);
    size += rest.length;
    if (size > MESSAGE_MAX_BYTES) endless();
  });
}
