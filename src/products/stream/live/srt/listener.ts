/**
 * SRT from the side that is called: one UDP socket for all callers, who say by their stream id whose they are and prove it by
 * their passphrase. A caller whose address is made up costs nothing: until it repeats the cookie nothing of it is kept.
 */
import { createHmac, randomBytes, randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { openConnection, type SrtConnection } from "./connection.ts";
import { sessionKeys } from "./keys.ts";
import {
  CONTROL,
  controlBytes,
  decodeHandshake,
  EXTENSION,
  encodeHandshake,
  HANDSHAKE,
  type Handshake,
  HEADER_BYTES,
  isControl,
  MAGIC,
  REFUSAL,
  streamIdOf,
} from "./packets.ts";

export interface SrtPeer {
  received(payload: Buffer): void;
  ended(): void;
}

/** What a stream id stands for. */
export interface SrtStream {
  readonly passphrase: string;
  /** Called once the passphrase has proved right. A number refuses. */
  begin(connection: SrtConnection): Promise<SrtPeer | number>;
}

export interface SrtListener {
  close(): Promise<void>;
}

const CONNECTIONS_MAX = 200;
const PENDING_MAX = 64;
const COOKIE_MS = 60_000;
/** libsrt's default, and ours. */
const LATENCY_MS = 120;
const LATENCY_MAX_MS = 10_000;
const VERSION = 0x010500;
/** Times on packets in both directions, encryption, too late packets are dropped, losses are told again, repeats are marked. */
const FLAGS = 0x3f;

interface Caller {
  readonly address: string;
  readonly port: number;
}

export async function openSrtListener(options: {
  readonly host: string;
  readonly port: number;
  find(streamId: string): Promise<SrtStream | undefined>;
  failed(error: unknown): void;
}): Promise<SrtListener> {
  const secret = randomBytes(32);
  const socket = createSocket({ type: options.host.includes(":") ? "udp6" : "udp4", recvBufferSize: 2 * 1024 * 1024 });
  const connections = new Map<number, { readonly caller: Caller; readonly connection: ReturnType<typeof openConnection> }>();
  /** Answers to conclusions, which callers repeat until they hear one; undefined while it is thought about. */
  const answers = new Map<string, Buffer | undefined>();
  let closed = false;

  const cookieOf = ({ address, port }: Caller, minute: number): number =>
    createHmac("sha256", secret).update(`${address} ${port} ${minute}`).digest().readUInt32BE(0);
  const nameOf = ({ address, port }: Caller, id: number): string => `${address} ${port} ${id}`;
  const send = ({ address, port }: Caller, packet: Buffer): void => {
    if (!closed) socket.send(packet, port, address);
  };
  const answer = (caller: Caller, handshake: Handshake, to: number): Buffer => {
    const packet = controlBytes(CONTROL.handshake, 0, 0, 0, to, encodeHandshake(handshake));
    send(caller, packet);
    return packet;
  };

  function shake(caller: Caller, given: Handshake): void {
    const minute = Math.floor(performance.now() / COOKIE_MS);
    if (given.type === HANDSHAKE.induction) {
      const cookie = cookieOf(caller, minute);
      answer(caller, { ...given, version: 5, encryption: 0, extensionField: MAGIC, cookie, extensions: new Map() }, given.socket);
      return;
    }
    if (given.type !== HANDSHAKE.conclusion || given.version !== 5) return;
    if (![minute, minute - 1].some((one) => cookieOf(caller, one) === given.cookie)) return;
    const name = nameOf(caller, given.socket);
    if (answers.has(name)) {
      const packet = answers.get(name);
      if (packet !== undefined) send(caller, packet);
      return;
    }
    if (answers.size - connections.size >= PENDING_MAX) return;
    answers.set(name, undefined);
    conclude(caller, given, name).catch((error: unknown) => {
      answers.delete(name);
      options.failed(error);
    });
  }

  async function conclude(caller: Caller, given: Handshake, name: string): Promise<void> {
    const refuse = (type: number): void => {
      answer(caller, { ...given, type, extensions: new Map() }, given.socket);
      answers.delete(name);
    };
    const hello = given.extensions.get(EXTENSION.hello);
    const keyMessage = given.extensions.get(EXTENSION.keys);
    if (connections.size >= CONNECTIONS_MAX) return refuse(REFUSAL.busy);
    const stream = await options.find(streamIdOf(given.extensions.get(EXTENSION.streamId) ?? Buffer.alloc(0)));
    if (stream === undefined || hello === undefined || hello.length < 12) return refuse(REFUSAL.notFound);
    if (keyMessage === undefined) return refuse(REFUSAL.insecure);
    const keys = sessionKeys(stream.passphrase);
    if (!keys.take(keyMessage)) return refuse(REFUSAL.badSecret);

    const latencyMs = Math.min(Math.max(LATENCY_MS, hello.readUInt16BE(10)), LATENCY_MAX_MS);
    let id = randomInt(1, 0x3fffffff);
    while (connections.has(id)) id = randomInt(1, 0x3fffffff);
    // Nothing is received before the caller has its answer.
    let peer: SrtPeer | undefined;
    const connection = openConnection({
      ...{ peer: given.socket, sequence: given.sequence, latencyMs, keys },
      transmit: (packet) => send(caller, packet),
      received: (payload) => peer?.received(payload),
      ended() {
        connections.delete(id);
        answers.delete(name);
        peer?.ended();
      },
    });
    connections.set(id, { caller, connection });
    const begun = await stream.begin(connection).catch((error: unknown) => {
      connection.close();
      throw error;
    });
    if (typeof begun === "number" || closed) {
      connection.close();
      if (typeof begun === "number") refuse(begun);
      else begun.ended();
      return;
    }
    peer = begun;
    const about = Buffer.alloc(12);
    about.writeUInt32BE(VERSION, 0);
    about.writeUInt32BE(FLAGS, 4);
    about.writeUInt16BE(latencyMs, 8);
    about.writeUInt16BE(Math.max(LATENCY_MS, hello.readUInt16BE(8)), 10);
    const extensions = new Map([
      [EXTENSION.helloAnswer, about],
      [EXTENSION.keysAnswer, keyMessage],
    ]);
    answers.set(name, answer(caller, { ...given, extensionField: 3, socket: id, extensions }, given.socket));
  }

  socket.on("message", (packet, caller) => {
    if (packet.length < HEADER_BYTES) return;
    const to = packet.readUInt32BE(12);
    if (to !== 0) {
      const found = connections.get(to);
      if (found?.caller.address === caller.address && found.caller.port === caller.port) found.connection.handle(packet);
    } else if (isControl(packet) && (packet.readUInt16BE(0) & 0x7fff) === CONTROL.handshake) {
      const given = decodeHandshake(packet.subarray(HEADER_BYTES));
      if (given !== undefined) shake(caller, given);
    }
  });
  socket.bind(options.port, options.host);
  await once(socket, "listening");
  socket.on("error", options.failed);
  return {
    async close() {
      for (const { connection } of connections.values()) connection.close();
      closed = true;
      await new Promise<void>((resolve) => socket.close(() => resolve()));
    },
  };
}
