/**
 * One connection to a PostgreSQL server, lent to one session at a time. What is sent belongs to cycles, each of which ends
 * with the server's ReadyForQuery; the answers of internal cycles (resetting the session) are not shown to anybody, so that
 * a connection can be lent again without waiting for them.
 *
 * Named prepared statements live under names of our own, which are equal for equal statements: `prepared` has those that
 * the server knows, or will once it has read what was sent to it.
 */
import type { Socket } from "node:net";
import type { Origin, Sink } from "../backend.ts";
import type { DatabaseAddress } from "../dial.ts";
import { login, requestCancel } from "./login.ts";
import {
  CANCEL_REQUEST,
  Client,
  closeNothing,
  message,
  messageScanner,
  ProtocolError,
  parseComplete,
  query,
  Server,
  startup,
  terminate,
} from "./messages.ts";

/** A statement as a client has prepared it. */
export interface Statement {
  /** Its name on every server connection; empty for the unnamed statement. */
  readonly name: string;
  readonly sql: string;
  /** What follows the text in Parse: the parameters' types. */
  readonly types: Buffer;
}

/** The answer to a Parse or Close: shown as it is, not at all, or as that to a Parse. */
interface Acknowledgement {
  readonly show: "itself" | "nothing" | "parsed";
  /** What is not prepared after all when the answer does not come. */
  readonly prepares?: Statement;
  /** What stays prepared when the answer does not come. */
  readonly closes?: Statement;
}

interface Cycle {
  /** Its answers are nobody's. */
  readonly internal: boolean;
  /** Acknowledgements that are to come, in order. */
  readonly expected: Acknowledgement[];
  /** The server ignores what is sent until the cycle's end. */
  failed: boolean;
}

/** Statements that one server connection keeps; the oldest are closed. */
const PREPARED_MAX = 500;
const WHOLE: ReadonlySet<number> = new Set([Server.readyForQuery, Server.parseComplete, Server.closeComplete]);
const ANNOUNCED: ReadonlySet<number> = new Set([Server.error, Server.copyIn]);

export class PostgresOrigin implements Origin {
  /** What the server said of itself when the connection began. */
  readonly parameters: ReadonlyMap<string, string>;
  /** Milliseconds that connecting took; the first borrower takes note of it. */
  connectMs: number;
  readonly #socket: Socket;
  readonly #address: DatabaseAddress;
  readonly #cancelKey: Buffer;
  readonly #prepared = new Map<string, Statement>();
  readonly #cycles: Cycle[] = [];
  #unnamed: Statement | undefined;
  /** The cycle that is being sent. */
  #open: Cycle | undefined;
  #sink: Sink | undefined;
  #broken = false;

  static async connect(address: DatabaseAddress, now: () => number): Promise<PostgresOrigin> {
    const begun = now();
    const { socket, parameters, cancelKey } = await login(address);
    return new PostgresOrigin(address, socket, parameters, cancelKey, now() - begun);
  }

  private constructor(
    address: DatabaseAddress,
    socket: Socket,
    parameters: ReadonlyMap<string, string>,
    cancelKey: Buffer,
    connectMs: number,
  ) {
    this.#address = address;
    this.#socket = socket;
    this.#cancelKey = cancelKey;
    this.parameters = parameters;
    this.connectMs = connectMs;
    const scan = messageScanner(
      {
        wholeMax: (type) => (WHOLE.has(type) ? 64 : 0),
        onMessage: (type, whole) => this.#onMessage(type, whole),
        onBytes: (bytes) => {
          if (this.#cycles[0]?.internal !== true) this.#sink?.onBytes(bytes);
        },
        onPassing: (type) => this.#onPassing(type),
      },
      (type) => ANNOUNCED.has(type),
    );
    socket.on("data", (chunk: Buffer) => {
      try {
        scan(chunk);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.#lose();
      }
    });
    socket.on("error", () => this.#lose());
    socket.on("close", () => this.#lose());
    socket.resume();
  }

  get usable(): boolean {
    return !this.#broken && !this.#socket.destroyed && this.#cycles.every(({ internal }) => internal);
  }

  /** From now on answers go to the session. */
  lend(sink: Sink): void {
    this.#sink = sink;
  }

  /** The session is done with it. */
  takeBack(): void {
    this.#sink = undefined;
    this.resume();
  }

  /** A cycle has begun that is not sent to its end. */
  get inCycle(): boolean {
    return this.#open !== undefined;
  }

  // --- sending ---

  /** Part of the cycle that is open, which begins if there is none. */
  write(bytes: Buffer): boolean {
    this.#cycle();
    return this.#socket.write(bytes);
  }

  /** The last message of a cycle: Query, Sync or FunctionCall, or the end of one in pieces. */
  finish(bytes: Buffer | undefined): boolean {
    this.#cycle();
    this.#open = undefined;
    return bytes === undefined || this.#socket.write(bytes);
  }

  /** Data of a COPY, which belongs to the cycle that asked for it. */
  writeCopy(bytes: Buffer): boolean {
    return this.#socket.write(bytes);
  }

  onceDrained(then: () => void): void {
    this.#socket.once("drain", then);
  }

  cork(): void {
    this.#socket.cork();
  }

  uncork(): void {
    this.#socket.uncork();
  }

  /** Parses a client's statement, if the server does not know it yet; the client sees a ParseComplete either way. */
  parse(statement: Statement, original: Buffer | undefined): void {
    if (statement.name !== "" && this.#prepared.has(statement.name)) {
      this.#expect({ show: "parsed" });
      this.write(closeNothing);
      return;
    }
    this.#remember(statement, "itself");
    this.write(original ?? parseOf(statement));
  }

  /** Sees to it that the server knows a statement which is about to be bound or described. */
  ensure(statement: Statement): void {
    const known = statement.name === "" ? this.#unnamed === statement : this.#prepared.has(statement.name);
    if (known) return;
    this.#remember(statement, "nothing");
    this.write(parseOf(statement));
  }

  /** A Parse of the unnamed statement follows in pieces. */
  parseInParts(): void {
    this.#unnamed = undefined;
    this.#expect({ show: "itself" });
  }

  /** A client's Close, of a portal as it is; statements stay for others. */
  closeFor(original: Buffer | undefined): void {
    this.#expect({ show: "itself" });
    this.write(original ?? closeNothing);
  }

  /** Runs a statement whose answer nobody sees. */
  runInternally(sql: string): void {
    this.#cycles.push({ internal: true, expected: [], failed: false });
    this.#socket.write(query(sql));
  }

  /** Makes the session as new, for the next who gets it. */
  reset(thoroughly: boolean): void {
    if (thoroughly) {
      this.#prepared.clear();
      this.#unnamed = undefined;
    }
    this.runInternally(thoroughly ? "DISCARD ALL" : "RESET ALL");
  }

  /** Asks the server to stop the running query. Rejects when it could not be asked. */
  cancel(): Promise<void> {
    return requestCancel(this.#address, startup(CANCEL_REQUEST, this.#cancelKey));
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
    if (this.#cycles.length === 0) this.#socket.end(terminate);
    else this.#socket.destroy();
  }

  // --- answers ---

  #onMessage(type: number, whole: Buffer): void {
    const cycle = this.#cycles[0];
    if (type === Server.readyForQuery) {
      this.#cycles.shift();
      if (cycle !== undefined && !cycle.internal) this.#sink?.onReady(String.fromCharCode(whole[5] as number), whole);
      else if (cycle?.failed && this.#sink === undefined) this.close();
      return;
    }
    const expected = cycle?.expected.shift();
    if (cycle?.internal || expected?.show === "nothing") return;
    this.#sink?.onBytes(expected?.show === "parsed" ? parseComplete : whole);
  }

  #onPassing(type: number): number {
    const cycle = this.#cycles[0];
    if (type === Server.copyIn) {
      if (cycle?.internal !== true) this.#sink?.onCopyIn?.();
      return 0;
    }
    if (cycle === undefined) {
      // Said outside of any query: the server is about to end the connection.
      this.#broken = true;
      return 0;
    }
    cycle.failed = true;
    for (const { prepares, closes } of cycle.expected.splice(0)) {
      if (prepares?.name === "") this.#unnamed = undefined;
      else if (prepares !== undefined) this.#prepared.delete(prepares.name);
      if (closes !== undefined) this.#prepared.set(closes.name, closes);
    }
    if (cycle.internal) this.#broken = true;
    else this.#sink?.onError();
    return 0;
  }

  #lose(): void {
    this.#broken = true;
    const sink = this.#sink;
    this.#sink = undefined;
    this.#socket.destroy();
    sink?.onLost();
  }

  #cycle(): Cycle {
    if (this.#open === undefined) {
      this.#open = { internal: false, expected: [], failed: false };
      this.#cycles.push(this.#open);
    }
    return this.#open;
  }

  #expect(acknowledgement: Acknowledgement): void {
    const cycle = this.#cycle();
    if (!cycle.failed) cycle.expected.push(acknowledgement);
  }

  #remember(statement: Statement, show: "itself" | "nothing"): void {
    if (this.#cycle().failed) return;
    if (statement.name === "") this.#unnamed = statement;
    else {
      this.#prepared.set(statement.name, statement);
      this.#forgetOldest();
    }
    this.#expect({ show, prepares: statement });
  }

  #forgetOldest(): void {
    if (this.#prepared.size <= PREPARED_MAX) return;
    const [oldest] = this.#prepared.values();
    if (oldest === undefined) return;
    this.#prepared.delete(oldest.name);
    this.#expect({ show: "nothing", closes: oldest });
    this.write(message(Client.close, "S", oldest.name, "\0"));
  }
}

function parseOf({ name, sql, types }: Statement): Buffer {
  return message(Client.parse, name, "\0", sql, "\0", types);
}
