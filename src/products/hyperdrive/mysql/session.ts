/**
 * A Worker's connection, as a MySQL server would serve it, once it has signed in (`greeting.ts`): commands one after another,
 * each on a connection of the pool, which the session keeps while a transaction is open or autocommit is off.
 */
import type { Socket } from "node:net";
import { type Backend, CACHED_QUERY_MAX_BYTES, type CacheStatus, type Origin, type Sink } from "../backend.ts";
import { cachedAnswer } from "../cached-answer.ts";
import { OriginError } from "../origin-error.ts";
import { PoolExhausted } from "../pool.ts";
import { keyOf } from "../query-cache.ts";
import { Running } from "../running.ts";
import { inspector } from "../sql.ts";
import type { MysqlOrigin } from "./origin.ts";
import { Command, errorPacket, okPacket, packetScanner, REFUSED, Status } from "./packets.ts";

export type MysqlBackend = Backend<MysqlOrigin>;

/** A command, or a part of one that is too large to be held. */
type Incoming = { readonly bytes: Buffer; readonly whole: boolean; readonly last: boolean };

const CANCEL_GRACE_MS = 5_000;
const UNSUPPORTED = 1235;

const inspect = inspector("mysql");

export class MysqlSession implements Sink {
  readonly #client: Socket;
  readonly #backend: MysqlBackend;
  readonly #gone = new AbortController();
  readonly #inbox: Incoming[] = [];
  #origin: MysqlOrigin | undefined;
  #connectionMs = 0;
  #transaction = "I";
  #running: Running | undefined;
  /** A large command is under way: "send" its parts on, or "drop" them. */
  #passing: "no" | "send" | "drop" = "no";
  #busy = false;
  #blocked = false;
  #paused = false;

  constructor(client: Socket, backend: MysqlBackend) {
    this.#client = client;
    this.#backend = backend;
    const scan = packetScanner({
      whole: (length) => length <= CACHED_QUERY_MAX_BYTES,
      onPacket: (bytes) => void this.#inbox.push({ bytes, whole: true, last: true }),
      onBytes: (bytes, last) => void this.#inbox.push({ bytes, whole: false, last }),
    });
    client.on("data", (chunk: Buffer) => {
      scan(chunk);
      this.#pump();
    });
    client.on("close", () => this.#end());
    client.resume();
  }

  /** Handles what has arrived as far as it can, and reads on when all of it is handled. */
  #pump(): void {
    while (this.#inbox.length > 0 && !this.#busy && (this.#running === undefined || this.#passing !== "no")) {
      this.#handle(this.#inbox.shift() as Incoming);
    }
    const pause = this.#inbox.length > 0 || this.#busy || this.#blocked;
    if (pause === this.#paused || this.#gone.signal.aborted) return;
    this.#paused = pause;
    if (pause) this.#client.pause();
    else this.#client.resume();
  }

  #handle({ bytes, whole, last }: Incoming): void {
    if (this.#passing !== "no") {
      if (this.#passing === "send") this.#flow(this.#origin?.write(bytes));
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
    const origin = this.#origin;
    if (command === Command.resetConnection && origin !== undefined) {
      this.#transaction = "I";
      this.#unlink(origin);
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
      this.#run(status, key, text.length);
      this.#flow(send(this.#origin as MysqlOrigin));
    }
  }

  async #largeQuery(head: Buffer): Promise<void> {
    if (head[4] !== Command.query) return this.#refuse("such large commands");
    const { unsupported } = inspect(head.toString("utf8", 5));
    if (unsupported !== undefined) return this.#refuse(unsupported);
    if (!(await this.#link())) return;
    this.#passing = "send";
    this.#run("oversizedquery", undefined, head.readUIntLE(0, 3));
    this.#flow(this.#origin?.command(head));
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

  async #link(): Promise<boolean> {
    if (this.#origin !== undefined) return true;
    try {
      const origin = await this.#backend.pool.acquire(this.#gone.signal);
      if (this.#gone.signal.aborted) {
        this.#backend.pool.release(origin);
        return false;
      }
      this.#origin = origin;
      this.#connectionMs = origin.connectMs;
      origin.connectMs = 0;
      origin.lend(this);
      return true;
    } catch (error) {
      if (!this.#gone.signal.aborted) this.#client.write(refusalOf(error, this.#backend, 1));
      return false;
    }
  }

  #unlink(origin: MysqlOrigin): void {
    this.#origin = undefined;
    origin.takeBack();
    origin.reset();
    this.#backend.pool.release(origin);
  }

  #run(status: CacheStatus, key: string | undefined, bytes: number): void {
    const start = { status, key, bytes, connectionMs: this.#connectionMs };
    this.#running = new Running(this.#backend as unknown as Backend<Origin>, start, () => this.#cancelOrigin());
    this.#connectionMs = 0;
  }

  #cancelOrigin(): void {
    const [origin, running] = [this.#origin, this.#running];
    const { log, configId } = this.#backend;
    origin?.cancel().catch((error: unknown) => log.warn("hyperdrive.cancel_failed", { config: configId, error }));
    setTimeout(() => {
      if (running !== undefined && this.#running === running) this.onLost();
    }, CANCEL_GRACE_MS).unref();
  }

  /** Waits for the server when it does not take more for now. */
  #flow(flowing: boolean | undefined): void {
    if (flowing !== false || this.#blocked) return;
    this.#blocked = true;
    this.#origin?.onceDrained(() => {
      this.#blocked = false;
      setImmediate(() => this.#pump());
    });
  }

  onBytes(bytes: Buffer): void {
    const origin = this.#origin;
    this.#running?.add(bytes);
    if (this.#client.write(bytes) || origin === undefined) return;
    origin.pause();
    this.#client.once("drain", () => origin.resume());
  }

  onError(): void {
    if (this.#running !== undefined) this.#running.failed = true;
  }

  onReady(status: string): void {
    // An error leaves a transaction as it was.
    if (status !== "E") this.#transaction = status;
    this.#finishRunning();
    if (this.#transaction === "I" && this.#origin !== undefined) this.#unlink(this.#origin);
    setImmediate(() => this.#pump());
  }

  onLost(): void {
    const origin = this.#origin;
    this.#origin = undefined;
    if (origin !== undefined) this.#backend.pool.discard(origin);
    this.onError();
    this.#finishRunning();
    this.#client.end();
  }

  #finishRunning(): void {
    this.#running?.end();
    this.#running = undefined;
  }

  #refuse(what: string): void {
    this.#client.write(errorPacket(1, `Hyperdrive does not currently support ${what}`, UNSUPPORTED, "42000"));
  }

  /** The Worker has gone: a running query is stopped, and an open transaction ends with its connection. */
  #end(): void {
    this.#gone.abort(new Error("the Worker has closed its connection"));
    if (this.#running !== undefined) {
      this.onError();
      this.#cancelOrigin();
      this.#finishRunning();
    }
    const origin = this.#origin;
    this.#origin = undefined;
    if (origin !== undefined) this.#backend.pool.discard(origin);
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
