/**
 * MySQL as a protocol of a configuration: greets Workers' drivers, and asks for the binding's password by
 * mysql_native_password, which every driver knows. TLS is not offered: the connection does not leave the machine.
 */
import { randomInt } from "node:crypto";
import type { Socket } from "node:net";
import type { Protocol } from "../doors.ts";
import { meetServer } from "../loan.ts";
import { OriginError } from "../origin-error.ts";
import { CAPABILITIES, type Packets, packetsOf } from "./login.ts";
import { MysqlOrigin } from "./origin.ts";
import { Capability, CHARSET, EOF, errorPacket, lengthAt, okPacket, PacketError, packet, Status, textAt, uint } from "./packets.ts";
import { proves } from "./secrets.ts";
import { type MysqlBackend, MysqlSession, refusalOf } from "./session.ts";

const PLUGIN = "mysql_native_password";
const GREETING_TIMEOUT_MS = 15_000;
const OFFERED = CAPABILITIES | Capability.pluginAuthLenenc;

export function mysqlDoor(): Protocol<MysqlOrigin> {
  let version: string | undefined;
  let clients = 0;

  async function greet(client: Socket, backend: MysqlBackend): Promise<void> {
    if (version === undefined && !(await meetServer(client, backend, (error) => client.end(refusalOf(error, backend, 0))))) return;
    // Without zero bytes, as servers have it.
    const scramble = Buffer.from(Array.from({ length: 20 }, () => randomInt(1, 128)));
    clients = (clients % 0xffffffff) + 1;
    client.write(greeting(version as string, clients, scramble));
    const packets = packetsOf(client, AbortSignal.timeout(GREETING_TIMEOUT_MS));
    const { proof, sequence } = await proofOf(client, packets, scramble);
    if (!proves(proof, backend.password, scramble)) {
      client.end(errorPacket(sequence + 1, `Access denied for user '${backend.user}' (using password: YES)`, 1045, "28000"));
      return;
    }
    packets.stop();
    // Whatever database the driver asked for: the configuration has one.
    client.write(okPacket(sequence + 1));
    new MysqlSession(client, backend);
  }

  return {
    async connect(address, now) {
      const origin = await MysqlOrigin.connect(address, now);
      version = origin.version;
      return origin;
    },
    async serve(client, backend) {
      try {
        await greet(client, backend);
      } catch (error) {
        if (!(error instanceof PacketError || error instanceof OriginError || (error as Error).name === "TimeoutError")) throw error;
        client.end(errorPacket(2, error instanceof Error ? error.message : "Bad handshake", 1043, "08S01"));
      }
    },
  };
}

function greeting(version: string, threadId: number, scramble: Buffer): Buffer {
  return packet(
    0,
    Buffer.from([10]),
    `${version}\0`,
    uint(threadId, 4),
    scramble.subarray(0, 8),
    Buffer.alloc(1),
    uint(OFFERED & 0xffff, 2),
    uint(CHARSET, 1),
    uint(Status.autocommit, 2),
    uint(OFFERED >>> 16, 2),
    uint(scramble.length + 1, 1),
    Buffer.alloc(10),
    scramble.subarray(8),
    `\0${PLUGIN}\0`,
  );
}

/** What the driver proves the password with; one that begins by another way is told to change. */
async function proofOf(client: Socket, packets: Packets, scramble: Buffer): Promise<{ proof: Buffer; sequence: number }> {
  const whole = await packets.next();
  const payload = whole.subarray(4);
  if (payload.length < 33) throw new PacketError("Bad handshake");
  const capabilities = payload.readUInt32LE(0);
  if ((capabilities & Capability.protocol41) === 0) throw new PacketError("Bad handshake");
  const charset = payload[8] as number;
  if (!isUtf8(charset)) throw new PacketError(`Hyperdrive does not currently support the character set ${charset}`);
  const [, proofAt] = textAt(payload, 32);
  const [length, bytesAt] =
    (capabilities & Capability.pluginAuthLenenc) === 0 ? [payload[proofAt] as number, proofAt + 1] : lengthAt(payload, proofAt);
  const proof = payload.subarray(bytesAt, bytesAt + length);
  let at = bytesAt + length;
  if ((capabilities & Capability.connectWithDatabase) !== 0) [, at] = textAt(payload, at);
  const plugin = (capabilities & Capability.pluginAuth) === 0 ? PLUGIN : textAt(payload, at)[0];
  const sequence = whole[3] as number;
  if (plugin === PLUGIN) return { proof, sequence };
  client.write(packet(sequence + 1, Buffer.from([EOF]), `${PLUGIN}\0`, scramble, "\0"));
  const changed = await packets.next();
  return { proof: changed.subarray(4), sequence: changed[3] as number };
}

/** Ids of collations of utf8mb3 and utf8mb4, as one byte has them. */
const isUtf8 = (id: number): boolean => [33, 45, 46, 83, 255].includes(id) || (id >= 192 && id <= 247);
