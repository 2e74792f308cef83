/**
 * The begin of a Worker's connection: PostgreSQL's startup packet, and the binding's password. Drivers that ask for TLS are
 * told that there is none: the connection does not leave the machine.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { Socket } from "node:net";
import { meetServer } from "../loan.ts";
import {
  CANCEL_REQUEST,
  Client,
  errorResponse,
  GSS_REQUEST,
  int32,
  message,
  PROTOCOL_3,
  ProtocolError,
  readyForQuery,
  Server,
  SSL_REQUEST,
  textAt,
} from "./messages.ts";
import { errorOf, type PostgresBackend, PostgresSession } from "./session.ts";

/** A driver that does not sign in within this time is not waited for. */
const GREETING_TIMEOUT_MS = 15_000;
const PACKET_MAX = 10_000;
/** Settings that a driver may begin a connection with; they hold for each of its transactions. */
const SETTINGS = new Set(
  `datestyle intervalstyle timezone search_path statement_timeout lock_timeout idle_in_transaction_session_timeout
  extra_float_digits bytea_output`.split(/\s+/),
);
/** What these say is ours to say: connections to the database have one name, and text is UTF-8. */
const IGNORED = new Set(["user", "database", "application_name", "fallback_application_name", "client_encoding"]);

/** Sessions by the key that a request to cancel names. */
export type Cancels = Map<string, PostgresSession>;

export async function greetPostgres(
  client: Socket,
  backend: PostgresBackend,
  parameters: () => ReadonlyMap<string, string> | undefined,
  cancels: Cancels,
): Promise<void> {
  const packets = packetReader(client, AbortSignal.timeout(GREETING_TIMEOUT_MS));
  const settings = await readStartup(client, packets, cancels);
  if (settings === undefined) return;
  client.write(message(Server.authentication, int32(3)));
  const password = await packets.next(5);
  const given = Buffer.from(password.toString("utf8", 5, password.length - 1));
  const expected = Buffer.from(backend.password);
  if (password[0] !== Client.password || given.length !== expected.length || !timingSafeEqual(given, expected)) {
    client.end(errorResponse(`password authentication failed for user "${backend.user}"`, "28P01", "FATAL"));
    return;
  }
  if (parameters() === undefined && !(await meetServer(client, backend, (error) => client.end(errorOf(error, backend, "FATAL"))))) return;
  const key = randomBytes(8);
  const own = Object.entries({ application_name: settings.applicationName, is_superuser: "off", session_authorization: backend.user });
  const told = new Map([...(parameters() ?? []), ...own]);
  client.write(
    Buffer.concat([
      message(Server.authentication, int32(0)),
      ...[...told].map(([name, value]) => message(Server.parameterStatus, `${name}\0${value}\0`)),
      message(Server.backendKeyData, key),
      readyForQuery("I"),
    ]),
  );
  const session = new PostgresSession(client, backend, settings.sql, packets.rest());
  cancels.set(key.toString("hex"), session);
  client.once("close", () => cancels.delete(key.toString("hex")));
}

interface Settings {
  readonly sql: string;
  readonly applicationName: string;
}

async function readStartup(client: Socket, packets: PacketReader, cancels: Cancels): Promise<Settings | undefined> {
  for (;;) {
    const packet = await packets.next(4);
    const version = packet.length < 8 ? 0 : packet.readInt32BE(4);
    if (version === SSL_REQUEST || version === GSS_REQUEST) client.write("N");
    else if (version === CANCEL_REQUEST) {
      cancels.get(packet.toString("hex", 8))?.cancel();
      client.end();
      return undefined;
    } else if (version === PROTOCOL_3) return settingsOf(packet);
    else throw new ProtocolError("unsupported frontend protocol");
  }
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

function settingsOf(packet: Buffer): Settings {
  const calls: string[] = [];
  let applicationName = "";
  for (let at = 8; at < packet.length - 1; ) {
    const [name, valueAt] = textAt(packet, at);
    const [value, next] = textAt(packet, valueAt);
    at = next;
    const setting = name.toLowerCase();
    if (setting === "application_name") applicationName = value;
    if (setting === "client_encoding" && !/^['"]?utf-?8['"]?$/i.test(value))
      throw new ProtocolError(`unsupported client_encoding: ${value}`);
    if (IGNORED.has(setting) || setting.startsWith("_pq_.")) continue;
    if (!SETTINGS.has(setting)) throw new ProtocolError(`unsupported startup parameter: ${name}`);
    calls.push(`pg_catalog.set_config(${quoted(setting)}, ${quoted(value)}, false)`);
  }
  return { sql: calls.length === 0 ? "" : `SELECT ${calls.join(", ")}`, applicationName };
}

interface PacketReader {
  /** The next packet, whose length stands `lengthEnd` bytes behind its begin. */
  next(lengthEnd: 4 | 5): Promise<Buffer>;
  /** What came after the last one; the socket is paused. */
  rest(): Buffer;
}

function packetReader(socket: Socket, signal: AbortSignal): PacketReader {
  let held: Buffer = Buffer.alloc(0);
  let wake = Promise.withResolvers<void>();
  let failure: Error | undefined;
  const onData = (chunk: Buffer): void => {
    held = Buffer.concat([held, chunk]);
    if (held.length > 2 * PACKET_MAX) socket.pause();
    wake.resolve();
  };
  const fail = (error: Error): void => {
    failure = error;
    wake.resolve();
  };
  const onClose = (): void => fail(new ProtocolError("the client has gone"));
  const onAbort = (): void => fail(new ProtocolError("the client did not sign in in time"));
  socket.on("data", onData).on("close", onClose);
  signal.addEventListener("abort", onAbort, { once: true });

  return {
    async next(lengthEnd) {
      for (;;) {
        if (failure !== undefined) throw failure;
        if (held.length >= lengthEnd) {
          const size = lengthEnd - 4 + held.readInt32BE(lengthEnd - 4);
          if (size < lengthEnd || size > PACKET_MAX) throw new ProtocolError("invalid length of startup packet");
          if (held.length >= size) {
            const packet = held.subarray(0, size);
            held = held.subarray(size);
            return packet;
          }
        }
        wake = Promise.withResolvers<void>();
        await wake.promise;
      }
    },
    rest() {
      socket.pause();
      socket.off("data", onData).off("close", onClose);
      signal.removeEventListener("abort", onAbort);
      return held;
    },
  };
}
