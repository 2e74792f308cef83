/**
 * One connection to a MySQL server, lent to one session at a time. Commands are answered one after another; the answers of
 * our own (resetting the session) are not shown to anybody, so that a connection can be lent again without waiting for them.
 */
import type { Socket } from "node:net";
import type { Origin, Sink } from "../backend.ts";
import type { DatabaseAddress } from "../dial.ts";
import { type LoggedIn, login, runOnce } from "./login.ts";
import { Command, EOF, ERROR, LOCAL_INFILE, lengthAt, OK, packet, packetScanner, Status } from "./packets.ts";

/** What the next packet of an answer is. */
type Expected = { readonly kind: "head" } | { kind: "columns"; left: number } | { readonly kind: "columnsEnd" } | { readonly kind: "rows" };

const HEAD: Expected = { kind: "head" };
/** Packets that end something are shorter. */
const END_MAX = 9;

export class MysqlOrigin implements Origin {
  readonly version: string;
  connectMs: number;
  readonly #socket: Socket;
  readonly #address: DatabaseAddress;
  readonly #threadId: number;
  /** Commands under way: whether each is our own. */
  readonly #internal: boolean[] = [];
  #expected: Expected = HEAD;
  #sink: Sink | undefined;
  #broken = false;

  static async connect(address: DatabaseAddress, now: () => number): Promise<MysqlOrigin> {
    const begun = now();
    const loggedIn = await login(address);
    return new MysqlOrigin(address, loggedIn, now() - begun);
  }

  private constructor(address: DatabaseAddress, { socket, version, threadId }: LoggedIn, connectMs: number) {
    this.#address = address;
    this.#socket = socket;
    this.#threadId = threadId;
    this.version = version;
    this.connectMs = connectMs;
    const scan = packetScanner({
      whole: (length, first) => this.#isRead(length, first),
      onPacket: (whole) => this.#onPacket(whole),
      onBytes: (bytes) => this.#show(bytes),
    });
    socket.on("data", scan);
    socket.on("error", () => this.#lose());
    socket.on("close", () => this.#lose());
    socket.resume();
  }

  get usable(): boolean {
    return !this.#broken && !this.#socket.destroyed && this.#internal.every(Boolean);
  }

  lend(sink: Sink): void {
    this.#sink = sink;
  }

  takeBack(): void {
    this.#sink = undefined;
    this.resume();
  }

  /** A whole command, or the first part of one. */
  command(bytes: Buffer): boolean {
    this.#internal.push(false);
    return this.#socket.write(bytes);
  }

  /** More of it. */
  write(bytes: Buffer): boolean {
    return this.#socket.write(bytes);
  }

  reset(): void {
    this.#internal.push(true);
    this.#socket.write(packet(0, Buffer.from([Command.resetConnection])));
  }

  cancel(): Promise<void> {
    return runOnce(this.#address, `KILL QUERY ${this.#threadId}`);
  }

  onceDrained(then: () => void): void {
    this.#socket.once("drain", then);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#broken = true;
    this.#sink = undefined;
    if (this.#internal.length === 0) this.#socket.end(packet(0, Buffer.from([Command.quit])));
    else this.#socket.destroy();
  }

  /** Everything but rows and what describes columns. */
  #isRead(length: number, first: number): boolean {
    const { kind } = this.#expected;
    if (kind === "head" || kind === "columnsEnd") return true;
    return kind === "columns" || first === ERROR || (first === EOF && length < END_MAX);
  }

  #onPacket(whole: Buffer): void {
    const first = whole[4];
    const expected = this.#expected;
    if (this.#internal.length === 0) {
      // Said outside of any command: the server is about to end the connection.
      this.#broken = true;
      return;
    }
    this.#show(whole);
    if (first === ERROR && expected.kind !== "columns") this.#end("E");
    else if (expected.kind === "columns") {
      expected.left--;
      if (expected.left === 0) this.#expected = { kind: "columnsEnd" };
    } else if (expected.kind === "columnsEnd") this.#expected = { kind: "rows" };
    else if (expected.kind === "rows") this.#ended(whole.readUInt16LE(7));
    else if (first === OK) this.#ended(statusOf(whole));
    // We have not said that files of ours may be read.
    else if (first === LOCAL_INFILE) this.#lose();
    else this.#expected = { kind: "columns", left: lengthAt(whole, 4)[0] };
  }

  #ended(status: number): void {
    this.#expected = HEAD;
    if ((status & Status.moreResults) !== 0) return;
    const free = (status & Status.inTransaction) === 0 && (status & Status.autocommit) !== 0;
    this.#end(free ? "I" : "T");
  }

  #end(status: "I" | "T" | "E"): void {
    this.#expected = HEAD;
    const internal = this.#internal.shift();
    if (internal && status === "E") this.#lose();
    if (internal) return;
    if (status === "E") this.#sink?.onError();
    this.#sink?.onReady(status);
  }

  #show(bytes: Buffer): void {
    if (this.#internal[0] === false) this.#sink?.onBytes(bytes);
  }

  #lose(): void {
    this.#broken = true;
    const sink = this.#sink;
    this.#sink = undefined;
    this.#socket.destroy();
    sink?.onLost();
  }
}

/** The status flags of an OK packet. */
function statusOf(whole: Buffer): number {
  const [, insertIdAt] = lengthAt(whole, 5);
  const [, statusAt] = lengthAt(whole, insertIdAt);
  return whole.readUInt16LE(statusAt);
}
