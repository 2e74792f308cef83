/** Waiting for a port of the sandbox to answer, for as long as the process that is to open it lives. */
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { invalid } from "./errors.ts";
import type { SandboxProcess } from "./processes.ts";

export interface PortWatch {
  readonly port: number;
  readonly mode: "http" | "tcp";
  readonly path?: string | undefined;
  readonly statusMin?: number | undefined;
  readonly statusMax?: number | undefined;
  readonly interval?: number | undefined;
}

export type PortEvent =
  | { type: "watching"; port: number }
  | { type: "ready"; port: number; statusCode?: number | undefined }
  | { type: "process_exited"; port: number; exitCode?: number | undefined };

const ATTEMPT_MS = 5000;

export async function* watchPort(watch: PortWatch, process: SandboxProcess | undefined, signal: AbortSignal): AsyncGenerator<PortEvent> {
  const { port } = watch;
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw invalid(`Invalid port number: ${port}`, { port });
  const interval = Math.min(10_000, Math.max(100, watch.interval ?? 500));
  yield { type: "watching", port };
  while (!signal.aborted) {
    if (process && process.status !== "running") {
      yield { type: "process_exited", port, exitCode: process.exitCode };
      return;
    }
    const ready = watch.mode === "tcp" ? await accepts(port) : await answers(watch);
    if (ready) {
      yield { type: "ready", port, ...(typeof ready === "number" && { statusCode: ready }) };
      return;
    }
    await Promise.race([sleep(interval, undefined, { signal }).catch(() => undefined), process?.exited].filter(Boolean));
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect({ port, host: "127.0.0.1", timeout: ATTEMPT_MS });
  socket.on("timeout", () => socket.destroy(new Error("timeout")));
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** The status of the service's answer when it is one of those waited for. */
async function answers({ port, path = "/", statusMin = 200, statusMax = 399 }: PortWatch): Promise<number | undefined> {
  const sent = request({ port, host: "127.0.0.1", path: path.startsWith("/") ? path : `/${path}`, timeout: ATTEMPT_MS, agent: false });
  sent.on("timeout", () => sent.destroy(new Error("timeout")));
  sent.end();
  try {
    const [response] = await once(sent, "response");
    response.destroy();
    return response.statusCode >= statusMin && response.statusCode <= statusMax ? response.statusCode : undefined;
  } catch {
    return undefined;
  } finally {
    sent.on("error", () => undefined);
    sent.destroy();
  }
}
