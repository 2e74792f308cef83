/**
 * A Worker's connection, as a PostgreSQL server would serve it, once it has signed in (`greeting.ts`): it gets a server
 * connection for each transaction or query. Cycles are handled one after another; what a driver sends ahead waits in its
 * socket. Messages that lead up to a Sync or Flush are gathered first, so that a cached result can answer them.
 */
import type { Socket } from "node:net";
import { type Backend, CACHED_QUERY_MAX_BYTES, type CacheStatus, type Sink } from "../backend.ts";
import { cachedAnswer } from "../cached-answer.ts";
import { Loan } from "../loan.ts";
import { OriginError } from "../origin-error.ts";
import { PoolExhausted } from "../pool.ts";
import { keyOf } from "../query-cache.ts";
import { inspector } from "../sql.ts";
import { boundTo, cacheStatusOf, keyParts, namesOfBind, type Step, sendCycle, sendSteps, stepOf } from "./batch.ts";
import { Client, errorResponse, messageScanner, ProtocolError, readyForQuery, sync, textAt } from "./messages.ts";
import type { PostgresOrigin, Statement } from "./origin.ts";
import { statementOf } from "./statements.ts";

export type PostgresBackend = Backend<PostgresOrigin>;

/** A message of the client's, or a part of one that is too large to be held. */
type Incoming =
  | { readonly kind: "whole"; readonly type: number; readonly bytes: Buffer }
  | { readonly kind: "head"; readonly type: number; readonly size: number; readonly bytes: Buffer }
  | { readonly kind: "part"; readonly bytes: Buffer };

/** Text of all statements that one session prepares. */
const STATEMENTS_MAX_BYTES = 16 * 1024 * 1024;
const COPY_MESSAGES: ReadonlySet<number> = new Set([Client.copyDone, Client.copyFail, Client.sync, Client.flush]);

const inspect = inspector("postgres");

export class PostgresSession implements Sink {
  readonly #client: Socket;
  readonly #backend: PostgresBackend;
  /** Settings that the client began with: SQL that makes them, or empty. */
  readonly #settings: string;
  readonly #loan: Loan<PostgresOrigin>;
  readonly #inbox: Incoming[] = [];
  readonly #statements = new Map<string, Statement>();
  #statementBytes = 0;
  #steps: Step[] = [];
  #stepBytes = 0;
  /** Of the cycle that is being gathered: a part of it was too large to be held. */
  #oversized = false;
  /** Bytes that are still to come of a large message. */
  #passing = 0;
  /** They are not sent on. */
  #dropping = false;
  /** After an error of ours: the rest of the cycle is ignored. */
  #skipping = false;
  #leavesState = false;
  #transaction = "I";
  #copying = false;
  #busy = false;
  /** The server does not take more for now. */
  #blocked = false;
  #paused = false;

  constructor(client: Socket, backend: PostgresBackend, settings: string, early: Buffer) {
    this.#client = client;
    this.#backend = backend;
    this.#loan = new Loan(client, backend, this);
    this.#settings = settings;
    const scan = messageScanner(
      {
        wholeMax: (type) => (type === Client.copyData ? 0 : CACHED_QUERY_MAX_BYTES),
        onMessage: (type, bytes) => void this.#inbox.push({ kind: "whole", type, bytes }),
        onBytes: (bytes) => void this.#inbox.push({ kind: "part", bytes }),
        onPassing: (type, size, bytes) => this.#inbox.push({ kind: "head", type, size, bytes }) && bytes.length,
      },
      (type) => type !== Client.copyData,
    );
    const take = (chunk: Buffer): void => {
      try {
        scan(chunk);
        this.#pump();
      } catch (error) {
        this.#fail(error);
      }
    };
    client.on("data", take);
    client.on("close", () => this.#end());
    if (early.length > 0) take(early);
    client.resume();
  }

  /** As a client's request to cancel asks for. */
  cancel(): void {
    this.#loan.cancel();
  }

  // --- the client's messages ---

  /** Handles what has arrived as far as it can, and reads on when all of it is handled. */
  #pump(): void {
    while (this.#inbox.length > 0 && !this.#busy) {
      const next = this.#inbox[0] as Incoming;
      if (this.#loan.running && this.#passing === 0 && !this.#belongsToCopy(next)) break;
      this.#inbox.shift();
      this.#handle(next);
    }
    const pause = this.#inbox.length > 0 || this.#busy || this.#blocked;
    if (pause !== this.#paused) {
      this.#paused = pause;
      if (pause) this.#client.pause();
      else this.#client.resume();
    }
  }

  #belongsToCopy(incoming: Incoming): boolean {
    return this.#copying && (incoming.kind === "part" || COPY_MESSAGES.has(incoming.type));
  }

  /** Does something that takes time; what the client sends meanwhile waits. */
  #take(work: () => Promise<unknown>): void {
    this.#busy = true;
    work()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#busy = false;
        this.#pumpNow();
      });
  }

  #pumpNow(): void {
    if (this.#loan.ended) return;
    try {
      this.#pump();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Not now, in the middle of the server's messages. */
  #pumpLater(): void {
    setImmediate(() => this.#pumpNow());
  }

  #handle(incoming: Incoming): void {
    if (incoming.kind === "part") this.#handlePart(incoming.bytes);
    else if (incoming.kind === "head") this.#handleHead(incoming.type, incoming.size, incoming.bytes);
    else if (this.#loan.running && incoming.type !== Client.terminate) this.#flow(this.#loan.origin?.writeCopy(incoming.bytes));
    else this.#handleWhole(incoming.type, incoming.bytes);
  }

  #handleWhole(type: number, bytes: Buffer): void {
    if (type === Client.query) this.#take(() => this.#query(bytes));
    else if (type === Client.sync) this.#take(() => this.#sync());
    else if (type === Client.flush) this.#take(() => this.#flush());
    else if (type === Client.terminate) this.#client.end();
    else if (type === Client.functionCall) this.#take(() => this.#functionCall(bytes));
    // As a server does outside of a COPY.
    else if (type === Client.copyDone || type === Client.copyFail) return;
    else if (!this.#skipping) this.#gather(type, bytes);
  }

  #handlePart(bytes: Buffer): void {
    if (this.#copying) {
      this.#flow(this.#loan.origin?.writeCopy(bytes));
      return;
    }
    if (this.#passing === 0) return; // Data of a COPY that has failed.
    if (bytes.length > this.#passing) throw new ProtocolError("more bytes than the message has");
    this.#passing -= bytes.length;
    if (!this.#dropping) this.#flow(this.#loan.origin?.write(bytes));
    if (this.#passing === 0 && !this.#dropping && this.#loan.running) this.#loan.origin?.finish(undefined);
  }

  async #query(bytes: Buffer): Promise<void> {
    if (this.#steps.length > 0) await this.#forward();
    if (this.#skipping) return;
    const sql = bytes.toString("utf8", 5, bytes.length - 1);
    const { verdict, unsupported, leavesState } = inspect(sql);
    if (unsupported !== undefined) return this.#refuse(unsupported, true);
    const status = this.#cacheStatus(verdict);
    const key = status === "miss" ? this.#key(["query", sql]) : undefined;
    const send = (origin: PostgresOrigin): boolean => origin.finish(bytes);
    if (key !== undefined && this.#serveCached(key, bytes.length, send)) return void this.#client.write(readyForQuery("I"));
    if (!(await this.#link(true))) return;
    this.#leavesState ||= leavesState;
    this.#loan.start(status, key, bytes.length);
    this.#flow(send(this.#loan.origin as PostgresOrigin));
  }

  async #functionCall(bytes: Buffer): Promise<void> {
    if (!(await this.#link(true))) return;
    this.#leavesState = true;
    this.#loan.start("notaquery", undefined, bytes.length);
    this.#flow(this.#loan.origin?.finish(bytes));
  }

  #gather(type: number, bytes: Buffer): void {
    if (type !== Client.parse) this.#steps.push(stepOf(type, bytes, (name) => this.#statements.get(name)));
    else {
      const { given, statement } = statementOf(bytes);
      const { unsupported, leavesState } = inspect(statement.sql);
      if (unsupported !== undefined) {
        this.#refuse(unsupported, false);
        return;
      }
      this.#leavesState ||= leavesState;
      if (!this.#keepStatement(given, statement)) return;
      this.#steps.push({ kind: "parse", statement, raw: bytes });
    }
    const step = this.#steps.at(-1) as Step;
    if (step.kind === "close" && step.what === "S") this.#forgetStatement(textAt(bytes, 6)[0]);
    this.#stepBytes += bytes.length;
    if (this.#stepBytes > CACHED_QUERY_MAX_BYTES) {
      this.#oversized = true;
      this.#take(() => this.#forward());
    }
  }

  #keepStatement(given: string, statement: Statement): boolean {
    this.#forgetStatement(given);
    this.#statementBytes += statement.sql.length + statement.types.length;
    if (this.#statementBytes > STATEMENTS_MAX_BYTES) {
      this.#refuse("so many prepared statements in one connection", false);
      return false;
    }
    this.#statements.set(given, statement);
    return true;
  }

  #forgetStatement(given: string): void {
    const statement = this.#statements.get(given);
    if (statement === undefined) return;
    this.#statementBytes -= statement.sql.length + statement.types.length;
    this.#statements.delete(given);
  }

  /** Sends the gathered steps although their cycle goes on. */
  async #forward(): Promise<boolean> {
    const steps = this.#takeSteps();
    if (this.#skipping || !(await this.#link(false))) return false;
    this.#flow(sendSteps(this.#loan.origin as PostgresOrigin, steps));
    return true;
  }

  async #flush(): Promise<void> {
    if (await this.#forward()) this.#loan.origin?.write(FLUSH);
  }

  async #sync(): Promise<void> {
    if (this.#skipping) return this.#endSkipped();
    const bytes = this.#stepBytes;
    const oversized = this.#oversized;
    this.#oversized = false;
    const steps = this.#takeSteps();
    const found = cacheStatusOf(steps, inspect);
    const status = oversized ? "oversizedquery" : this.#cacheStatus(found ?? "notaquery");
    const key = status === "miss" ? this.#key(keyParts(steps)) : undefined;
    const send = (origin: PostgresOrigin): boolean => sendCycle(origin, steps);
    if (key !== undefined && this.#serveCached(key, bytes, send)) {
      // The server waits for the end of a cycle that a Flush began.
      if (this.#loan.origin === undefined) return void this.#client.write(readyForQuery("I"));
      this.#loan.start(undefined, undefined, 0);
      return void this.#loan.origin.finish(sync);
    }
    if (steps.length === 0 && this.#loan.origin === undefined) return void this.#client.write(readyForQuery("I"));
    if (!(await this.#link(true))) return;
    this.#loan.start(found === undefined && !oversized ? undefined : status, key, bytes);
    this.#flow(send(this.#loan.origin as PostgresOrigin));
  }

  /** The begin of a message that is too large to be held: it is sent on as it comes. */
  #handleHead(type: number, size: number, head: Buffer): void {
    this.#passing = size - head.length;
    this.#dropping = true;
    if (this.#skipping) return;
    if (type === Client.query) this.#take(() => this.#largeQuery(size, head));
    else if (type === Client.parse) this.#take(() => this.#largeParse(head));
    else if (type === Client.bind) this.#take(() => this.#largeBind(size, head));
    else throw new ProtocolError(`a message of type ${type} has ${size} bytes`);
  }

  async #largeQuery(size: number, head: Buffer): Promise<void> {
    const { unsupported } = inspect(head.toString("utf8", 5));
    if (unsupported !== undefined) return this.#refuse(unsupported, true);
    if (!(await this.#link(true))) return;
    this.#dropping = false;
    this.#leavesState = true;
    this.#loan.start("oversizedquery", undefined, size);
    this.#flow(this.#loan.origin?.write(head));
  }

  async #largeParse(head: Buffer): Promise<void> {
    const [given] = textAt(head, 5);
    if (given !== "") return this.#refuse(`named statements of more than ${CACHED_QUERY_MAX_BYTES} bytes`, false);
    const { unsupported } = inspect(head.toString("utf8", 6));
    if (unsupported !== undefined) return this.#refuse(unsupported, false);
    this.#oversized = true;
    this.#leavesState = true;
    if (!(await this.#forward())) return;
    this.#dropping = false;
    this.#forgetStatement("");
    this.#loan.origin?.parseInParts();
    this.#flow(this.#loan.origin?.write(head));
  }

  async #largeBind(size: number, head: Buffer): Promise<void> {
    this.#oversized = true;
    if (!(await this.#forward())) return;
    this.#dropping = false;
    const { portal, statement: given, restAt } = namesOfBind(head);
    const statement = this.#statements.get(given);
    const origin = this.#loan.origin as PostgresOrigin;
    if (statement !== undefined) origin.ensure(statement);
    this.#flow(origin.write(statement === undefined ? head : boundTo(statement, portal, head, restAt, size)));
  }

  #takeSteps(): Step[] {
    const steps = this.#steps;
    this.#steps = [];
    this.#stepBytes = 0;
    return steps;
  }

  // --- the cache ---

  /** What the metrics call a query whose text may be cached or not. "miss": it may be asked for in the cache. */
  #cacheStatus(verdict: CacheStatus | "cacheable"): CacheStatus {
    if (this.#backend.cacheRules() === undefined) return "disabled";
    if (this.#transaction !== "I") return "transaction";
    return verdict === "cacheable" ? "miss" : verdict;
  }

  #key(parts: readonly (string | Uint8Array)[]): string {
    return keyOf(this.#backend.configId, [this.#settings, ...parts]);
  }

  /** Answers from the cache, if it can. */
  #serveCached(key: string, bytes: number, send: (origin: PostgresOrigin) => boolean): boolean {
    const answer = cachedAnswer(this.#backend, {
      key,
      bytes,
      send: (origin) => {
        if (this.#settings !== "") origin.runInternally(this.#settings);
        send(origin);
      },
    });
    if (answer !== undefined) this.#client.write(answer);
    return answer !== undefined;
  }

  // --- the server connection ---

  /** Gets a server connection, if the session has none. When there is none to be had the client is told, and it is false. */
  #link(atEnd: boolean): Promise<boolean> {
    return this.#loan.take(
      (error) => this.#respond(errorOf(error, this.#backend), atEnd),
      (origin) => this.#settings !== "" && origin.runInternally(this.#settings),
    );
  }

  /** Waits for the server when it does not take more for now. */
  #flow(flowing: boolean | undefined): void {
    const origin = this.#loan.origin;
    if (flowing !== false || origin === undefined || this.#blocked) return;
    this.#blocked = true;
    origin.onceDrained(() => {
      this.#blocked = false;
      this.#pumpLater();
    });
  }

  onBytes(bytes: Buffer): void {
    this.#loan.answer(bytes);
  }

  onCopyIn(): void {
    this.#copying = true;
    // Its data may have come ahead.
    this.#pumpLater();
  }

  onError(): void {
    this.#loan.fail();
  }

  onReady(status: string, whole?: Buffer): void {
    this.#transaction = status;
    this.#copying = false;
    this.#loan.finish();
    if (whole !== undefined) this.#loan.tell(whole);
    if (status === "I") {
      this.#loan.giveBack(this.#leavesState);
      this.#leavesState = false;
    }
    this.#pumpLater();
  }

  onLost(): void {
    this.#loan.lose();
    this.#client.end(errorResponse("The connection to the database was lost", "08006", "FATAL"));
  }

  // --- errors of ours ---

  #refuse(what: string, atEnd: boolean): void {
    this.#respond(errorResponse(`Hyperdrive does not currently support ${what}`, "0A000"), atEnd);
  }

  /** An error, and with it the end of the cycle, or the rest of it is ignored until its end. */
  #respond(error: Buffer, atEnd: boolean): void {
    this.#takeSteps();
    this.#oversized = false;
    this.#client.write(error);
    if (!atEnd) this.#skipping = true;
    else this.#endSkipped();
  }

  #endSkipped(): void {
    this.#skipping = false;
    if (this.#loan.origin?.inCycle) {
      this.#loan.start(undefined, undefined, 0);
      this.#loan.origin.finish(sync);
    } else this.#client.write(readyForQuery(this.#transaction));
  }

  #fail(error: unknown): void {
    const { log, configId } = this.#backend;
    if (error instanceof ProtocolError) this.#client.end(errorResponse(error.message, "08P01", "FATAL"));
    else {
      log.error("hyperdrive.session_failed", { config: configId, error });
      this.#client.end(errorResponse("Internal error.", "58000", "FATAL"));
    }
    this.#end();
  }

  #end(): void {
    this.#loan.end();
    this.#client.destroySoon();
  }
}

const FLUSH = Buffer.from([Client.flush, 0, 0, 0, 4]);

/** What the client is told when it cannot have a server connection. */
export function errorOf(error: unknown, { log, configId }: PostgresBackend, severity: "ERROR" | "FATAL" = "ERROR"): Buffer {
  const own = (text: string): Buffer => errorResponse(text, "58000", severity);
  if (error instanceof PoolExhausted) return own("Failed to acquire a connection from the pool.");
  if (error instanceof OriginError) {
    log.debug("hyperdrive.connect_failed", { config: configId, error });
    return own(error.runtime);
  }
  log.error("hyperdrive.acquire_failed", { config: configId, error });
  return own("Internal error.");
}
