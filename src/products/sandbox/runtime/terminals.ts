/**
 * Terminals: one a session and shell, shared by everyone who connects to it, kept when nobody is. `script` makes the
 * pseudo-terminal, so that the runtime has no native code: its input and output are the terminal's bytes, and `stty` on the
 * terminal's device sets the size, of which the kernel tells the programs inside.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { readdir, readFile, readlink } from "node:fs/promises";
import { promisify } from "node:util";
import type { WebSocket } from "ws";
import { quoted } from "./quoting.ts";
import type { Shell } from "./shell.ts";

/** What is replayed to who connects later. */
const REPLAY_BYTES = 256 * 1024;
/** A reader this far behind is let go. */
const MAX_BEHIND_BYTES = 8 * 1024 * 1024;

const run = promisify(execFile);

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}

export class Terminals {
  readonly #terminals = new Map<string, Promise<Terminal>>();

  /** Joins the socket to its session's terminal: what was printed is replayed, then `ready` is told. */
  async connect(socket: WebSocket, shell: Shell, program: string, size: TerminalSize): Promise<void> {
    const key = `${shell.id}\0${program}`;
    // A terminal whose program has ended makes place for a new one.
    if ((await this.#terminals.get(key)?.catch(() => undefined))?.ended) this.#terminals.delete(key);
    const opening = this.#terminals.get(key) ?? Terminal.open(shell, program, size);
    this.#terminals.set(key, opening);
    try {
      (await opening).join(socket);
    } catch (error) {
      this.#terminals.delete(key);
      const { message } = error as Error;
      socket.resume();
      socket.send(JSON.stringify({ type: "error", message }));
      socket.close(1011, message.slice(0, 120));
    }
  }

  async stop(): Promise<void> {
    for (const terminal of this.#terminals.values()) (await terminal.catch(() => undefined))?.end();
    this.#terminals.clear();
  }
}

class Terminal {
  ended = false;
  readonly #child: ChildProcess;
  readonly #sockets = new Set<WebSocket>();
  #replay: Buffer[] = [];
  #replayBytes = 0;

  static async open(shell: Shell, program: string, { cols, rows }: TerminalSize): Promise<Terminal> {
    const { cwd, env } = await shell.state();
    const command = `stty rows ${rows} cols ${cols}; exec ${quoted(program)}`;
    const child = spawn("script", ["--quiet", "--return", "--flush", "--command", command, "/dev/null"], {
      cwd,
      env: { ...env, SHELL: "/bin/bash", TERM: "xterm-256color" },
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    return new Terminal(child);
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdin?.on("error", () => undefined);
    child.stdout?.on("data", (bytes: Buffer) => this.#print(bytes));
    child.on("error", (error) => this.#finish({ type: "error", message: error.message }));
    child.on("close", (code, signal) => this.#finish({ type: "exit", code: code ?? 1, ...(signal && { signal }) }));
  }

  join(socket: WebSocket): void {
    socket.on("message", (data: Buffer, binary: boolean) => {
      if (binary) this.#child.stdin?.write(data);
      else void this.#control(socket, data.toString("utf8"));
    });
    socket.on("close", () => this.#sockets.delete(socket));
    if (this.#replay.length > 0) socket.send(Buffer.concat(this.#replay));
    this.#sockets.add(socket);
    socket.send(JSON.stringify({ type: "ready" }));
    socket.resume();
  }

  end(): void {
    try {
      if (!this.ended && this.#child.pid) process.kill(-this.#child.pid, "SIGHUP");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  async #control(socket: WebSocket, text: string): Promise<void> {
    const refuse = (message: string) => socket.send(JSON.stringify({ type: "error", message }));
    let control: { type?: unknown; cols?: unknown; rows?: unknown };
    try {
      control = JSON.parse(text);
    } catch {
      return refuse("Invalid control message");
    }
    if (control?.type !== "resize") return refuse("Invalid control message");
    const { cols, rows } = control;
    if (!isDimension(cols) || !isDimension(rows)) return refuse("Invalid dimensions: cols and rows must be positive");
    try {
      await this.#resize({ cols, rows });
    } catch (error) {
      refuse((error as Error).message);
    }
  }

  async #resize({ cols, rows }: TerminalSize): Promise<void> {
    const device = await terminalOf(this.#child.pid ?? 0);
    if (device) await run("stty", ["-F", device, "rows", String(rows), "cols", String(cols)]);
  }

  #print(bytes: Buffer): void {
    this.#replay.push(bytes);
    this.#replayBytes += bytes.length;
    while (this.#replayBytes > REPLAY_BYTES && this.#replay.length > 1) this.#replayBytes -= this.#replay.shift()?.length ?? 0;
    for (const socket of this.#sockets) {
      if (socket.bufferedAmount > MAX_BEHIND_BYTES) socket.close(1013, "Too slow");
      else socket.send(bytes);
    }
  }

  #finish(last: object): void {
    if (this.ended) return;
    this.ended = true;
    for (const socket of this.#sockets) {
      socket.send(JSON.stringify(last));
      socket.close(1000);
    }
  }
}

function isDimension(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= 10_000;
}

/** The device that the child of `script` has as its input. */
async function terminalOf(pid: number): Promise<string | undefined> {
  for (const thread of await readdir(`/proc/${pid}/task`).catch(() => [])) {
    const children = await readFile(`/proc/${pid}/task/${thread}/children`, "utf8").catch(() => "");
    for (const child of children.split(" ").filter(Boolean)) {
      const device = await readlink(`/proc/${child}/fd/0`).catch(() => "");
      if (device.startsWith("/dev/pts/")) return device;
    }
  }
  return undefined;
}
