/**
 * Opens and authenticates a connection to a MySQL or MariaDB server: TLS first, then the password by mysql_native_password
 * or caching_sha2_password. It ends with a server that is ready for commands.
 */
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { type DatabaseAddress, dial, encrypt, reasonOf } from "../dial.ts";
import { OriginError } from "../origin-error.ts";
import { Capability, CHARSET, Command, EOF, ERROR, errorOf, MORE_DATA, OK, packet, packetScanner, short, textAt, uint } from "./packets.ts";
import { cachingProof, nativeProof } from "./secrets.ts";

export interface LoggedIn {
  readonly socket: Socket;
  readonly version: string;
  /** What KILL calls the connection. */
  readonly threadId: number;
}

const PROGRAM_NAME = "Cloudflare Hyperdrive";
/** Drivers for Node ask for found rows, and an answer's form depends on what was agreed on: the same on both sides. */
export const CAPABILITIES =
  Capability.longPassword |
  Capability.foundRows |
  Capability.longFlag |
  Capability.connectWithDatabase |
  Capability.protocol41 |
  Capability.transactions |
  Capability.secureConnection |
  Capability.multiResults |
  Capability.pluginAuth |
  Capability.connectAttributes;
const PACKET_MAX = 0xffffff;
/** No packet of this phase is longer. */
const WHOLE_MAX = 64 * 1024;

/** Rejects with an `OriginError`. */
export async function login(address: DatabaseAddress): Promise<LoggedIn> {
  const signal = AbortSignal.timeout(address.timeoutMs);
  let plain: Socket | undefined;
  try {
    plain = await dial({ ...address, signal });
    return await authenticate(plain, address, signal);
  } catch (error) {
    plain?.destroy();
    if (signal.aborted) throw new OriginError("unreachable", "Server connection attempt failed: timed out", { cause: error });
    throw reasonOf(error);
  }
}

/** Runs one statement on a connection of its own. */
export async function runOnce(address: DatabaseAddress, sql: string): Promise<void> {
  const { socket } = await login(address);
  const packets = packetsOf(socket, AbortSignal.timeout(address.timeoutMs));
  try {
    socket.write(packet(0, Buffer.from([Command.query]), sql));
    const answer = await packets.next();
    if (answer[4] === ERROR) throw new Error(errorOf(answer.subarray(4)).text);
  } finally {
    packets.stop();
    socket.destroy();
  }
}

async function authenticate(plain: Socket, address: DatabaseAddress, signal: AbortSignal): Promise<LoggedIn> {
  let packets = packetsOf(plain, signal);
  const greeting = greetingOf((await packets.next()).subarray(4));
  packets.stop();
  const capabilities = CAPABILITIES & greeting.capabilities;
  let socket = plain;
  let sequence = 1;
  if ((greeting.capabilities & Capability.tls) !== 0) {
    plain.write(packet(sequence++, clientHead(capabilities | Capability.tls)));
    socket = await encrypt(plain, address.host, address.tls, signal);
  } else if (!address.allowPlaintext || address.tls.mode !== "require") {
    throw new OriginError("noTls", "The database does not support TLS");
  }
  packets = packetsOf(socket, signal);
  const attributes = Buffer.concat(["program_name", PROGRAM_NAME].map((text) => short(Buffer.from(text))));
  socket.write(
    packet(
      sequence,
      clientHead(socket === plain ? capabilities : capabilities | Capability.tls),
      `${address.user}\0`,
      short(proofOf(greeting.plugin, address.password, greeting.scramble) ?? Buffer.alloc(0)),
      `${address.database}\0`,
      `${greeting.plugin}\0`,
      short(attributes),
    ),
  );
  await proveOn(socket, packets, address, greeting.scramble);
  socket.write(packet(0, Buffer.from([Command.query]), "DO 0"));
  const tested = await packets.next();
  if (tested[4] === ERROR) throw new OriginError("testQuery", `Test query failed: ${errorOf(tested.subarray(4)).text}`);
  packets.stop();
  return { socket, version: greeting.version, threadId: greeting.threadId };
}

/** Answers what the server asks for until it lets us in. */
async function proveOn(socket: Socket, packets: Packets, { password }: DatabaseAddress, firstScramble: Buffer): Promise<void> {
  let scramble = firstScramble;
  for (;;) {
    const answer = await packets.next();
    const payload = answer.subarray(4);
    const reply = (...parts: (string | Uint8Array)[]): boolean => socket.write(packet((answer[3] as number) + 1, ...parts));
    if (payload[0] === OK) return;
    if (payload[0] === ERROR) throw refusal(payload);
    if (payload[0] === EOF) {
      const [plugin, at] = textAt(payload, 1);
      scramble = Buffer.from(payload.subarray(at, at + 20));
      const proof = proofOf(plugin, password, scramble);
      if (proof === undefined) throw new OriginError("other", `Hyperdrive does not currently support: the authentication plugin ${plugin}`);
      reply(proof);
    } else if (payload[0] === MORE_DATA && payload[1] === 4) {
      // The server does not remember the password: it wants to see it.
      if (!(socket instanceof TLSSocket)) throw new OriginError("noTls", "A password is sent under TLS alone");
      reply(`${password}\0`);
    } else if (payload[0] !== MORE_DATA || payload[1] !== 3) throw new OriginError("other", "Server returned error and closed connection");
  }
}

function proofOf(plugin: string, password: string, scramble: Buffer): Buffer | undefined {
  if (plugin === "mysql_native_password") return nativeProof(password, scramble);
  return plugin === "caching_sha2_password" ? cachingProof(password, scramble) : undefined;
}

const clientHead = (capabilities: number): Buffer =>
  Buffer.concat([uint(capabilities, 4), uint(PACKET_MAX, 4), uint(CHARSET, 1), Buffer.alloc(23)]);

interface Greeting {
  readonly version: string;
  readonly threadId: number;
  readonly capabilities: number;
  readonly scramble: Buffer;
  readonly plugin: string;
}

function greetingOf(payload: Buffer): Greeting {
  if (payload[0] === ERROR) throw refusal(payload);
  if (payload[0] !== 10 || payload.length < 50) throw new OriginError("other", "The server does not speak MySQL's protocol");
  const [version, at] = textAt(payload, 1);
  const capabilities = payload.readUInt16LE(at + 13) | (payload.readUInt16LE(at + 18) << 16);
  const [plugin] = textAt(payload, at + 44);
  return {
    version,
    threadId: payload.readUInt32LE(at),
    capabilities,
    scramble: Buffer.concat([payload.subarray(at + 4, at + 12), payload.subarray(at + 31, at + 43)]),
    plugin,
  };
}

function refusal(payload: Buffer): OriginError {
  const { code, text } = errorOf(payload);
  if (code === 1045 || code === 1698) return new OriginError("credentials", `Invalid database credentials: ${text}`);
  if (code === 1044 || code === 1049) return new OriginError("noDatabase", `The specified database name does not exist: ${text}`);
  if (code === 1040) return new OriginError("refused", `Server connection attempt failed: ${text}`);
  return new OriginError("other", `Server returned error and closed connection: ${text}`);
}

export interface Packets {
  next(): Promise<Buffer>;
  /** Lets go of the socket, paused. */
  stop(): void;
}

/** Packets of a socket one by one, for the begin of a connection. */
export function packetsOf(socket: Socket, signal: AbortSignal): Packets {
  const ready: Buffer[] = [];
  let wake = Promise.withResolvers<void>();
  let failure: Error | undefined;
  const fail = (error: Error): void => {
    failure ??= error;
    wake.resolve();
  };
  const scan = packetScanner({
    whole: (length) => length <= WHOLE_MAX,
    onPacket: (whole) => void ready.push(whole),
    onBytes: () => fail(new OriginError("other", "The server does not speak MySQL's protocol")),
  });
  const onData = (chunk: Buffer): void => {
    scan(chunk);
    wake.resolve();
  };
  const onClose = (): void => fail(new OriginError("other", "Server returned error and closed connection"));
  const onAbort = (): void => fail(signal.reason as Error);
  socket.on("data", onData).on("error", fail).on("close", onClose);
  signal.addEventListener("abort", onAbort, { once: true });
  socket.resume();
  return {
    async next() {
      for (;;) {
        const first = ready.shift();
        if (first !== undefined) return first;
        if (failure !== undefined) throw failure;
        wake = Promise.withResolvers<void>();
        await wake.promise;
      }
    },
    stop() {
      socket.pause();
      socket.off("data", onData).off("error", fail).off("close", onClose);
      signal.removeEventListener("abort", onAbort);
    },
  };
}
