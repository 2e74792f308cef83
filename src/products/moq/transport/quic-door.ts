/**
 * WebTransport for the platform: starts the process that speaks QUIC, takes each of its sessions from a unix socket, and starts
 * it again when it dies or its certificate is getting old. Off until `start`; a port that cannot be had is tried again.
 */
import { type ChildProcess, fork } from "node:child_process";
import { chmod, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { KernelSlice } from "../../../kernel/product.ts";
import { openRunDirectory } from "../../../kernel/workerd/run-directory.ts";
import { type QuicCertificate, quicCertificate } from "../certificate.ts";
import type { FromQuic, QuicSettings } from "../quic/protocol.ts";
import { onMessages, writeFrame } from "./frame-pipe.ts";
import { decodeFrame } from "./frames.ts";
import { type Carrier, Session } from "./session.ts";

export interface QuicDoor {
  /** Where clients find it now; undefined while it does not run. */
  readonly address: { readonly port: number; readonly hash: string | undefined; readonly cert: string } | undefined;
  /** Pid of the process, for the operator. */
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

/** What a client may be behind on one stream. */
const STREAM_WINDOW = 256 * 1024;
const RESTART_MS = 1000;
const RESTART_MAX_MS = 60_000;
const RENEWAL_CHECK_MS = 3600_000;
const START_TIMEOUT_MS = 10_000;

export async function openQuicDoor(kernel: KernelSlice, accept: (session: Session) => void): Promise<QuicDoor> {
  const { config, log, clock } = kernel;
  const directory = await openRunDirectory(join(kernel.directory, "run-directory"));
  const socketPath = join(directory, "sessions.sock");
  const server = await listen(socketPath, (socket) => serve(socket, accept));
  let child: ChildProcess | undefined;
  let certificate: QuicCertificate | undefined;
  let port = config["moq.port"];
  let listening = false;
  let pause = RESTART_MS;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  async function start(): Promise<void> {
    certificate = await quicCertificate(kernel);
    if (stopped) return;
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const process = fork(new URL(`../quic/quic-process.${extension}`, import.meta.url), { serialization: "json" });
    child = process;
    process.once("exit", (code, signal) => {
      child = undefined;
      listening = false;
      if (stopped) return;
      log.warn("moq.quic_ended", { code, signal });
      timer = setTimeout(() => void run(), pause);
      pause = Math.min(2 * pause, RESTART_MAX_MS);
    });
    const { cert, key } = certificate;
    const settings: QuicSettings = {
      ...{ host: config["moq.host"], port, cert, key, socket: socketPath },
      connectionsMax: config["moq.sessions_max"],
    };
    process.send(settings);
    port = await listeningPort(process);
    listening = true;
    pause = RESTART_MS;
    log.info("moq.listening", { host: config["moq.host"], port });
  }

  async function run(): Promise<void> {
    await start().catch((error: unknown) => {
      log.error("moq.start_failed", { error });
      child?.kill();
    });
  }

  const renewal = setInterval(() => {
    // Ends the sessions too: a certificate cannot be exchanged under a listening port.
    if (certificate !== undefined && clock.now() >= certificate.renewAt) child?.kill();
  }, RENEWAL_CHECK_MS);
  renewal.unref();
  await run();

  return {
    get address() {
      return listening && certificate !== undefined ? { port, hash: certificate.hash, cert: certificate.cert } : undefined;
    },
    get pid() {
      return child?.pid;
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      clearInterval(renewal);
      const ending = child;
      if (ending !== undefined) {
        const ended = new Promise((resolve) => ending.once("exit", resolve));
        ending.kill("SIGTERM");
        await ended;
      }
      await new Promise((resolve) => server.close(resolve));
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function listen(path: string, take: (socket: Socket) => void): Promise<Server> {
  const server = createServer(take);
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(path, resolve));
  await chmod(path, 0o600);
  return server;
}

function listeningPort(process: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("the QUIC process does not answer")), START_TIMEOUT_MS);
    const end = (error: Error): void => {
      clearTimeout(late);
      reject(error);
    };
    process.once("exit", (code) => end(new Error(`the QUIC process has ended with ${code}`)));
    process.once("error", end);
    process.once("message", (message: FromQuic) => {
      clearTimeout(late);
      if (message.type === "listening") resolve(message.port);
      else reject(new Error(`QUIC cannot listen: ${message.message}`));
    });
  });
}

/** The first message is the session's path, all others are frames. */
function serve(socket: Socket, accept: (session: Session) => void): void {
  const carrier = new SocketCarrier(socket);
  let session: Session | undefined;
  onMessages(socket, (message) => {
    if (session === undefined) {
      session = new Session(message.toString(), carrier);
      accept(session);
      return;
    }
    const frame = decodeFrame(message);
    if (frame.type === "credit") carrier.taken(frame.id, frame.bytes);
    else session.take(frame);
  });
  socket.on("error", () => socket.destroy());
  socket.on("close", () => {
    carrier.wakeAll();
    session?.ended();
  });
}

/** Streams have a window each, so that one of which a client takes nothing holds up no other. */
class SocketCarrier implements Carrier {
  readonly #socket: Socket;
  readonly #taken = new Map<number, number>();
  readonly #waiting = new Map<number, () => void>();

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  send(frame: Parameters<Carrier["send"]>[0]): void {
    writeFrame(this.#socket, frame);
  }

  full(id: number, written: number): Promise<void> | undefined {
    const taken = this.#taken.get(id);
    if (taken === undefined) this.#taken.set(id, 0);
    if (written - (taken ?? 0) < STREAM_WINDOW) return undefined;
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  taken(id: number, bytes: number): void {
    if (!this.#taken.has(id)) return; // The stream is over.
    this.#taken.set(id, bytes);
    this.#waiting.get(id)?.();
    this.#waiting.delete(id);
  }

  forget(id: number): void {
    this.#taken.delete(id);
    this.#waiting.delete(id);
  }

  wakeAll(): void {
    for (const wake of this.#waiting.values()) wake();
    this.#waiting.clear();
  }

  hold(held: boolean): void {
    if (held) this.#socket.pause();
    else this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }
}
