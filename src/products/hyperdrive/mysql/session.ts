/**
 * A Worker's connection, as a MySQL server would serve it, once it has signed in (`greeting.ts`): commands one after another,
 * each on a connection of the pool, which the session keeps while a transaction is open or autocommit is off.
 */
import type { Socket } from "node:net";
import { type Backend, CACHED_QUERY_MAX_BYTES, type CacheStatus, type Sink } from "../backend.ts";
import { cachedAnswer } from "../cached-answer.ts";
import { Loan } from "../loan.ts";
import { OriginError } from "../origin-error.ts";
import { PoolExhausted } from "../pool.ts";
import { keyOf } from "../query-cache.ts";
import { inspector } from "../sql.ts";
import type { MysqlOrigin } from "./origin.ts";
import { Command, errorPacket, okPacket, packetScanner, REFUSED, Status } from "./packets.ts";

export type MysqlBackend = Backend<MysqlOrigin>;

/** A command, or a part of one that is too large to be held. */
type Incoming = { readonly bytes: Buffer; readonly whole: boolean; readonly last: boolean };

const UNSUPPORTED = 1235;

const inspect = inspector("mysql");

export class MysqlSession implements Sink {
  readonly #client: Socket;
  readonly #backend: MysqlBackend;
  readonly #loan: Loan<MysqlOrigin>;
  readonly #inbox: Incoming[] = [];
  #transaction = "I";
  /** A large command is under way: "send" its parts on, or "drop" them. */
  #passing: "no" | "send" | "drop" = "no";
  #busy = false;
  #blocked = false;
  #paused = false;

  constructor(client: Socket, backend: MysqlBackend) {
    this.#client = client;
    this.#backend = backend;
    this.#loan = new Loan(client, backend, this);
    const scan = packetScanner({
      whole: (length) => length <= CACHED_QUERY_MAX_BYTES,
      onPacket: (bytes) => void this.#inbox.push({ bytes, whole: true, last: true }),
      onBytes: (bytes, last) => void this.#inbox.push({ bytes, whole: false, last }),
    });
    client.on("data", (chunk: Buffer) => {
      scan(chunk);
      this.#pump();
    });
    client.on("close", () => this.#loan.end());
    client.resume();
  }

  /** Handles what has arrived as far as it can, and reads on when all of it is handled. */
  #pump(): void {
    while (this.#inbox.length > 0 && !this.#busy && (!this.#loan.running || this.#passing !== "no")) {
      this.#handle(this.#inbox.shift() as Incoming);
    }
    const pause = this.#inbox.length > 0 || this.#busy || this.#blocked;
    if (pause === this.#paused || this.#loan.ended) return;
    this.#paused = pause;
    if (pause) this.#client.pause();
    else this.#client.resume();
  }

  #handle({ bytes, whole, last }: Incoming): void {
    if (this.#passing !== "no") {
      if (this.#passing === "send") this.#flow(this.#loan.origin?.write(bytes));
      if (last) this.#passing = "no";
      return;
    }
    const command = bytes[4];
    if (!whole) {
      this.#passing = "drop";
      this.#take(() => this.#largeQuery(bytes));
    } else if (command === Command.query) this.#take(() => this.#query(bytes));
    else if (command === Command.ping || command === Command.resetConnection) this.#answer(command);
    else if (command === Command.quit) this.#client.end();
    else if (command !== Command.statementClose) this.#refuse(`MySQL ${REFUSED[command ?? 0] ?? `command ${command}`} messages`);
  }

  #answer(command: number): void {
    if (command === Command.resetConnection && this.#loan.origin !== undefined) {
      this.#transaction = "I";
      this.#loan.giveBack(true);
    }
    this.#client.write(okPacket(1, this.#transaction === "I" ? Status.autocommit : Status.autocommit | Status.inTransaction));
  }

  async #query(bytes: Buffer): Promise<void> {
    const text = bytes.subarray(5);
    const sql = text.toString("utf8");
    if (sql.includes("\ufffd") && !Buffer.from(sql).equals(text)) return this.#refuse("non-UTF-8 characters in queries");
    const { verdict, unsupported } = inspect(sql);
    if (unsupported !== undefined) return this.#refuse(unsupported);
    const status = this.#cacheStatus(verdict);
    const key = status === "miss" ? keyOf(this.#backend.configId, ["query", text]) : undefined;
    const send = (origin: MysqlOrigin): boolean => origin.command(bytes);
    const answer = key === undefined ? undefined : cachedAnswer(this.#backend, { key, bytes: text.length, send });
    if (answer !== undefined) this.#client.write(answer);
    else if (await this.#link()) {
      this.#loan.start(status, key, text.length);
      this.#flow(send(this.#loan.origin as MysqlOrigin));
    }
  }

  async #largeQuery(head: Buffer): Promise<void> {
    if (head[4] !== Command.query) return this.#refuse("such large commands");
    const { unsupported } = inspect(head.toString("utf8", 5));
    if (unsupported !== undefined) return this.#refuse(unsupported);
    if (!(await this.#link())) return;
    this.#passing = "send";
    this.#loan.start("oversizedquery", undefined, head.readUIntLE(0, 3));
    this.#flow(this.#loan.origin?.command(head));
  }

  #cacheStatus(verdict: CacheStatus | "cacheable"): CacheStatus {
    if (this.#backend.cacheRules() === undefined) return "disabled";
    if (this.#transaction !== "I") return "transaction";
    return verdict === "cacheable" ? "miss" : verdict;
  }

  /** Does something that takes time; what the client sends meanwhile waits. */
  #take(work: () => Promise<void>): void {
    this.#busy = true;
    work()
      .catch((error: unknown) => {
        this.#backend.log.error("hyperdrive.session_failed", { config: this.#backend.configId, error });
        this.#client.destroy();
      })
      .finally(() => {
        this.#busy = false;
        this.#pump();
      });
  }

  #link(): Promise<boolean> {
    return this.#loan.take((error) => this.#client.write(refusalOf(error, this.#backend, 1)));
  }

  /** Waits for the server when it does not take more for now. */
  #flow(flowing: boolean | undefined): void {
    const { origin } = this.#loan;
    if (flowing !== false || origin === undefined || this.#blocked) return;
    this.#blocked = true;
    origin.onceDrained(() => {
      this.#blocked = false;
      setImmediate(() => this.#pump());
    });
  }

  onBytes(bytes: Buffer): void {
    this.#loan.answer(bytes);
  }

  onError(): void {
    this.#loan.fail();
  }

  onReady(status: string): void {
    // An error leaves a transaction as it was.
    if (status !== "E") this.#transaction = status;
    this.#loan.finish();
    if (this.#transaction === "I") this.#loan.giveBack(true);
    setImmediate(() => this.#pump());
  }

  onLost(): void {
    this.#loan.lose();
    this.#client.end();
  }

  #refuse(what: string): void {
    this.#client.write(errorPacket(1, `Hyperdrive does not currently support ${what}`, UNSUPPORTED, "42000"));
  }
}

/** What the client is told when it cannot have a server connection. */
export function refusalOf(error: unknown, { log, configId }: MysqlBackend, sequence: number): Buffer {
  if (error instanceof PoolExhausted) return errorPacket(sequence, "Failed to acquire a connection from the pool.");
  if (error instanceof OriginError) {
    log.debug("hyperdrive.connect_failed", { config: configId, error });
    return errorPacket(sequence, error.runtime);
  }
  log.error("hyperdrive.acquire_failed", { config: configId, error });
  return errorPacket(sequence, "Internal error.");
}
