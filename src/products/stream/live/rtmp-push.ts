/**
 * RTMP from the side that calls: publishes a broadcast to another server (docs: Simulcast). The server is reached at public
 * addresses alone unless the operator allows more, and proves its name where the URL is of rtmps.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as connectAny, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { connectPublic } from "../../../kernel/public-network.ts";
import { decodeAmf } from "./amf.ts";
import type { FlvTag } from "./flv.ts";
import {
  byteReader,
  command,
  control,
  HANDSHAKE_BYTES,
  messageReader,
  OUT_CHUNK_BYTES,
  ProtocolError,
  sendTag,
  u32,
} from "./rtmp-chunks.ts";

export interface Push {
  /** Sends a piece of the broadcast. */
  take(tag: FlvTag): void;
  /** Resolves when the connection has ended, with the reason if there is one. */
  readonly ended: Promise<unknown>;
  /** Says goodbye. */
  close(): void;
}

/** What may wait for a server; one that is slower is connected to anew. */
const UNSENT_MAX_BYTES = 32 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 15_000;
const DEFAULT_PORT = { "rtmp:": 1935, "rtmps:": 443 } as const;
const FRAME = Buffer.from("\x02\x00\x0d@setDataFrame", "latin1");

/** A URL that a broadcast can be pushed to, or undefined. */
export function pushable(text: string): URL | undefined {
  const url = URL.parse(text);
  return url !== null && Object.hasOwn(DEFAULT_PORT, url.protocol) && url.hostname !== "" && url.pathname.length > 1 ? url : undefined;
}

/** Connects and is let in; rejects when it is not. */
export async function openPush(
  url: URL,
  key: string,
  options: { readonly allowPrivate: boolean; readonly signal: AbortSignal },
): Promise<Push> {
  const socket = dial(url, options.allowPrivate);
  const failed = new Promise<never>((_, reject) => {
    socket.once("error", reject).once("close", () => reject(new ProtocolError("the server closed the connection")));
    const abort = (): void => void socket.destroy(options.signal.reason as Error);
    options.signal.addEventListener("abort", abort, { once: true });
    socket.once("close", () => options.signal.removeEventListener("abort", abort));
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new ProtocolError("the server does not answer")));
  });
  failed.catch(() => undefined);
  const reader = byteReader(socket);
  try {
    if (socket.connecting || url.protocol === "rtmps:")
      await Promise.race([once(socket, url.protocol === "rtmps:" ? "secureConnect" : "connect"), failed]);
    const session = await Promise.race([introduce(socket, url, key, reader), failed]);
    socket.setTimeout(0);
    reader.patient();
    const ended = Promise.race([session.over, failed]).catch((error: unknown) => error);
    return {
      ended,
      take(tag) {
        if (socket.writableLength > UNSENT_MAX_BYTES) socket.destroy(new ProtocolError("the server does not keep up"));
        else sendTag(socket, session.stream, tag.type === 18 ? { ...tag, data: Buffer.concat([FRAME, tag.data]) } : tag);
      },
      close() {
        command(socket, 0, "FCUnpublish", 6, null, key);
        command(socket, 0, "deleteStream", 7, null, session.stream);
        socket.end(() => socket.destroy());
      },
    };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function dial(url: URL, allowPrivate: boolean): Socket {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = Number(url.port) || DEFAULT_PORT[url.protocol as keyof typeof DEFAULT_PORT];
  const plain = allowPrivate ? connectAny({ host, port, noDelay: true }) : connectPublic(host, port);
  if (url.protocol === "rtmp:") return plain;
  const secure = connectTls({ socket: plain, ...(isIP(host) === 0 ? { servername: host } : {}), rejectUnauthorized: !allowPrivate });
  plain.on("error", (error) => secure.destroy(error));
  return secure;
}

/** Handshake and commands up to the server's word that the stream is published. */
async function introduce(socket: Socket, url: URL, key: string, reader: ReturnType<typeof byteReader>) {
  socket.write(Buffer.concat([Buffer.of(3), Buffer.alloc(8), randomBytes(HANDSHAKE_BYTES - 8)]));
  const first = await reader.must(1 + HANDSHAKE_BYTES);
  socket.write(first.subarray(1));
  await reader.must(HANDSHAKE_BYTES);
  const next = messageReader(reader);
  control(socket, 1, u32(OUT_CHUNK_BYTES));
  const app = url.pathname.slice(1);
  command(socket, 0, "connect", 1, { app, type: "nonprivate", flashVer: "FMLE/3.0", tcUrl: `${url.protocol}//${url.host}/${app}` });

  /** The arguments of the next command that is waited for; pings are answered meanwhile. */
  async function answered(wanted: (name: unknown, transaction: unknown) => boolean) {
    for (;;) {
      const message = await next();
      if (message === undefined) throw new ProtocolError("the server closed the connection");
      if (message.type === 4 && message.data.length >= 6 && message.data.readUInt16BE() === 6)
        control(socket, 4, Buffer.concat([Buffer.of(0, 7), message.data.subarray(2, 6)]));
      if (message.type !== 20) continue;
      const [name, transaction, ...rest] = decodeAmf(message.data);
      if (name === "_error") throw new ProtocolError("the server refuses");
      if (wanted(name, transaction)) return rest;
    }
  }

  await answered((name, transaction) => name === "_result" && transaction === 1);
  command(socket, 0, "releaseStream", 2, null, key);
  command(socket, 0, "FCPublish", 3, null, key);
  command(socket, 0, "createStream", 4, null);
  const [, stream] = await answered((name, transaction) => name === "_result" && transaction === 4);
  command(socket, Number(stream), "publish", 5, null, key, "live");
  const [, info] = await answered((name) => name === "onStatus");
  const { code } = (info ?? {}) as { code?: string };
  if (code !== "NetStream.Publish.Start") throw new ProtocolError(`the server answers ${String(code)}`);
  // What it says later is read on, so that its pings are answered and its end is heard.
  const over = answered(() => false).catch((error: unknown) => error);
  return { stream: Number(stream), over };
}
