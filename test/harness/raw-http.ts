/**
 * Requests that no HTTP client can be brought to send: bytes on a socket to the gateway, and the bytes that came back.
 * It reads until the platform closes the connection, so send `Connection: close` with what is expected to be served.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { TestPlatform } from "./platform.ts";

export interface RawAnswer {
  readonly text: string;
  /** The status of each answer on the connection, in order. */
  readonly statuses: readonly number[];
  /** Whether the platform closed the connection before the deadline. */
  readonly closed: boolean;
}

const DEADLINE_MS = 15_000;

/** An open connection to the gateway; closed by `t.after` if it is still open then. */
export async function rawSocket(t: { after(fn: () => void): void }, platform: TestPlatform): Promise<Socket> {
  const socket = connect(Number(new URL(platform.ready.gateway).port), "127.0.0.1");
  socket.on("error", () => undefined); // A reset is one of the ways to be refused; the tests look at what came before it.
  t.after(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

/** Sends the bytes (text as latin1) and collects the answer until the connection ends. */
export async function rawHttp(
  t: { after(fn: () => void): void },
  platform: TestPlatform,
  bytes: string | Uint8Array,
  { deadlineMs = DEADLINE_MS }: { deadlineMs?: number } = {},
): Promise<RawAnswer> {
  const socket = await rawSocket(t, platform);
  socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  return answerOn(socket, deadlineMs);
}

/** Everything that comes on the connection until it ends or the deadline passes. */
export async function answerOn(socket: Socket, deadlineMs = DEADLINE_MS): Promise<RawAnswer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, deadlineMs, false);
  // Not events.once, which rejects on "error": a reset connection is a closed one here.
  if (socket.closed) resolve(true);
  else socket.once("close", () => resolve(true));
  const closed = await promise;
  clearTimeout(timer);
  socket.destroy();
  const text = Buffer.concat(chunks).toString("latin1");
  // An answer begins the connection or follows a body: bodies here are JSON, XML, text or HTML without such a line.
  return { text, statuses: [...text.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map((match) => Number(match[1])), closed };
}
