/**
 * Opens and authenticates a connection to a PostgreSQL server: TLS first, then the password in the clear (under TLS alone),
 * by MD5 or by SCRAM. It ends with a server that is ready for queries.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { type DatabaseAddress, dial, encrypt, reasonOf } from "../dial.ts";
import { OriginError } from "../origin-error.ts";
import {
  Client,
  errorFields,
  int32,
  message,
  messageScanner,
  PROTOCOL_3,
  query,
  Server,
  SSL_REQUEST,
  startup,
  textAt,
} from "./messages.ts";
import { type Scram, scram } from "./scram.ts";

export interface LoggedIn {
  readonly socket: Socket;
  readonly parameters: Map<string, string>;
  /** What the server wants to see in a request to cancel. */
  readonly cancelKey: Buffer;
}

export const APPLICATION_NAME = "Cloudflare Hyperdrive";

/** Rejects with an `OriginError`. */
export async function login(address: DatabaseAddress): Promise<LoggedIn> {
  const signal = AbortSignal.timeout(address.timeoutMs);
  let socket: Socket | undefined;
  try {
    socket = await openSocket(address, signal);
    return await authenticate(socket, address, signal);
  } catch (error) {
    socket?.destroy();
    if (signal.aborted) throw new OriginError("unreachable", "Server connection attempt failed: timed out", { cause: error });
    throw reasonOf(error);
  }
}

/** Tells the server to stop what the connection with this key does. */
export async function requestCancel(address: DatabaseAddress, packet: Buffer): Promise<void> {
  const signal = AbortSignal.timeout(address.timeoutMs);
  const socket = await openSocket(address, signal);
  socket.end(packet);
  socket.resume();
  try {
    await once(socket, "close", { signal });
  } finally {
    socket.destroy();
  }
}

async function openSocket(address: DatabaseAddress, signal: AbortSignal): Promise<Socket> {
  const socket = await dial({ ...address, signal });
  try {
    socket.write(startup(SSL_REQUEST));
    const answer = await firstBytes(socket, signal);
    // More than the one byte could only come from somebody in between.
    if (answer.length === 1 && answer[0] === 0x53) return await encrypt(socket, address.host, address.tls, signal);
    if (answer.length === 1 && answer[0] === 0x4e && address.allowPlaintext && address.tls.mode === "require") return socket;
    throw new OriginError("noTls", "The database does not support TLS");
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function firstBytes(socket: Socket, signal: AbortSignal): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const stop = (): void => reject(signal.reason);
  socket.once("data", resolve).once("error", reject).once("close", closed);
  function closed(): void {
    reject(new OriginError("other", "Server returned error and closed connection"));
  }
  signal.addEventListener("abort", stop, { once: true });
  socket.resume();
  try {
    return await promise;
  } finally {
    socket.pause();
    signal.removeEventListener("abort", stop);
    socket.off("data", resolve).off("error", reject).off("close", closed);
  }
}

/** No message of this phase is longer. */
const MESSAGE_MAX = 64 * 1024;

async function authenticate(socket: Socket, address: DatabaseAddress, signal: AbortSignal): Promise<LoggedIn> {
  const parameters = new Map<string, string>();
  let cancelKey: Buffer = Buffer.alloc(8);
  let proof: Scram | undefined;
  let tested = false;
  const { promise, resolve, reject } = Promise.withResolvers<LoggedIn>();

  async function onAuthentication(body: Buffer): Promise<void> {
    const kind = body.readInt32BE(0);
    if (kind === 0) return;
    if (kind === 3) {
      if (!(socket instanceof TLSSocket)) throw new OriginError("noTls", "A password is sent under TLS alone");
      socket.write(message(Client.password, address.password, "\0"));
    } else if (kind === 5) {
      const md5 = (...parts: (string | Buffer)[]) => parts.reduce((hash, part) => hash.update(part), createHash("md5")).digest("hex");
      const digest = md5(md5(address.password, address.user), body.subarray(4, 8));
      socket.write(message(Client.password, `md5${digest}\0`));
    } else if (kind === 10) {
      if (!body.toString("latin1", 4).split("\0").includes("SCRAM-SHA-256")) throw unsupported("SASL mechanism");
      proof = scram(address.password);
      const first = Buffer.from(proof.first);
      socket.write(message(Client.password, "SCRAM-SHA-256\0", int32(first.length), first));
    } else if (kind === 11 && proof !== undefined) {
      socket.write(message(Client.password, await proof.respond(body.toString("utf8", 4))));
    } else if (kind === 12 && proof !== undefined) proof.verify(body.toString("utf8", 4));
    else throw unsupported("authentication method");
  }

  function onMessage(type: number, whole: Buffer): void {
    const body = whole.subarray(5);
    if (type === Server.authentication) void onAuthentication(body).catch(reject);
    else if (type === Server.error) reject(refusal(errorFields(whole), tested));
    else if (type === Server.backendKeyData) cancelKey = Buffer.from(body);
    else if (type === Server.parameterStatus) {
      const [name, at] = textAt(body, 0);
      parameters.set(name, textAt(body, at)[0]);
    } else if (type === Server.readyForQuery) {
      // The documented test that queries pass.
      if (!tested) socket.write(query(";"));
      else resolve({ socket, parameters, cancelKey });
      tested = true;
    }
  }

  const scan = messageScanner({
    wholeMax: () => MESSAGE_MAX,
    onMessage,
    onBytes: () => reject(new OriginError("other", "The server does not speak PostgreSQL's protocol")),
  });
  const onData = (chunk: Buffer): void => {
    try {
      scan(chunk);
    } catch (error) {
      reject(error);
    }
  };
  const onClose = (): void => reject(new OriginError("other", "Server returned error and closed connection"));
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  socket.on("data", onData).on("error", reject).on("close", onClose);
  const settings = { user: address.user, database: address.database, application_name: APPLICATION_NAME, client_encoding: "UTF8" };
  socket.write(startup(PROTOCOL_3, Object.entries(settings).flat().join("\0"), "\0\0"));
  socket.resume();
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
    socket.off("data", onData).off("error", reject).off("close", onClose);
  }
}

const unsupported = (what: string): OriginError => new OriginError("other", `Hyperdrive does not currently support: the server's ${what}`);

function refusal({ C: sqlState = "", M: text = "" }: Readonly<Record<string, string>>, testing: boolean): OriginError {
  if (testing) return new OriginError("testQuery", `Test query failed: ${text}`);
  if (/client certificate/.test(text)) return new OriginError("other", "Server returned error and closed connection");
  if (sqlState.startsWith("28")) return new OriginError("credentials", `Invalid database credentials: ${text}`);
  if (sqlState === "3D000") return new OriginError("noDatabase", `The specified database name does not exist: ${text}`);
  if (sqlState === "53300") return new OriginError("refused", `Server connection attempt failed: ${text}`);
  return new OriginError("other", `Server returned error and closed connection: ${text}`);
}
