/**
 * What one session has of the pool: the connection that is lent to it, the query that runs there, and the way of the answer
 * to the client at the pace at which the client reads. It knows no protocol; the session decides when to take and give back.
 */
import type { Socket } from "node:net";
import type { Backend, CacheStatus, Origin, Sink } from "./backend.ts";
import { Running } from "./running.ts";

/** How long a server may take to stop a query before its connection is cut. */
const CANCEL_GRACE_MS = 5_000;

export class Loan<T extends Origin> {
  readonly #client: Socket;
  readonly #backend: Backend<T>;
  readonly #session: Sink;
  readonly #gone = new AbortController();
  #origin: T | undefined;
  #running: Running | undefined;
  #connectionMs = 0;

  constructor(client: Socket, backend: Backend<T>, session: Sink) {
    this.#client = client;
    this.#backend = backend;
    this.#session = session;
  }

  /** The connection that the session has, if any. */
  get origin(): T | undefined {
    return this.#origin;
  }

  /** The server has something to answer. */
  get running(): boolean {
    return this.#running !== undefined;
  }

  /** The client has gone. */
  get ended(): boolean {
    return this.#gone.signal.aborted;
  }

  /**
   * Gets a connection, if the session has none, and has it prepared by `begin`. When there is none to be had `refuse` is
   * told why, unless the client has gone, and it is false.
   */
  async take(refuse: (error: unknown) => void, begin?: (origin: T) => void): Promise<boolean> {
    if (this.#origin !== undefined) return true;
    try {
      const origin = await this.#backend.pool.acquire(this.#gone.signal);
      if (this.ended) {
        this.#backend.pool.release(origin);
        return false;
      }
      this.#origin = origin;
      this.#connectionMs = origin.connectMs;
      origin.connectMs = 0;
      origin.lend(this.#session);
      begin?.(origin);
      return true;
    } catch (error) {
      if (!this.ended) refuse(error);
      return false;
    }
  }

  /** Gives the connection back, made as new. */
  giveBack(thoroughly: boolean): void {
    const origin = this.#origin;
    if (origin === undefined) return;
    this.#origin = undefined;
    origin.takeBack();
    origin.reset(thoroughly);
    this.#backend.pool.release(origin);
  }

  /** The connection is of no more use, and what runs there has failed. */
  lose(): void {
    const origin = this.#origin;
    this.#origin = undefined;
    if (origin !== undefined) this.#backend.pool.discard(origin);
    this.fail();
    this.finish();
  }

  /** `status` undefined: nothing that counts as a query. */
  start(status: CacheStatus | undefined, key: string | undefined, bytes: number): void {
    const start = { status, key, bytes, connectionMs: this.#connectionMs };
    this.#running = new Running(this.#backend, start, () => this.cancel());
    this.#connectionMs = 0;
  }

  /** What runs ends in an error. */
  fail(): void {
    if (this.#running !== undefined) this.#running.failed = true;
  }

  finish(): void {
    this.#running?.end();
    this.#running = undefined;
  }

  /** Has the server stop what runs; one that does not loses its connection. */
  cancel(): void {
    const { log, configId } = this.#backend;
    const [origin, running] = [this.#origin, this.#running];
    if (origin === undefined || running === undefined) return;
    origin.cancel().catch((error: unknown) => log.warn("hyperdrive.cancel_failed", { config: configId, error }));
    setTimeout(() => {
      if (this.#running === running) this.#session.onLost();
    }, CANCEL_GRACE_MS).unref();
  }

  /** A part of the answer, for the client, for the cache and for the figures. */
  answer(bytes: Buffer): void {
    this.#running?.add(bytes);
    this.tell(bytes);
  }

  /** Something for the client, which the server waits with when the client does not keep up. */
  tell(bytes: Buffer): void {
    const origin = this.#origin;
    if (this.#client.write(bytes) || origin === undefined) return;
    origin.pause();
    this.#client.once("drain", () => origin.resume());
  }

  /** The client has gone: a running query is stopped, and an open transaction ends with its connection. */
  end(): void {
    this.#gone.abort(new Error("the Worker has closed its connection"));
    this.fail();
    this.cancel();
    this.lose();
  }
}

/** The first connection of a pool tells what its servers are. When there is none to be had `refuse` is told why, and it is false. */
export async function meetServer<T extends Origin>(
  client: Socket,
  { pool }: Backend<T>,
  refuse: (error: unknown) => void,
): Promise<boolean> {
  const gone = new AbortController();
  const abort = (): void => gone.abort(new Error("the Worker has closed its connection"));
  client.once("close", abort);
  try {
    pool.release(await pool.acquire(gone.signal));
    return true;
  } catch (error) {
    if (!gone.signal.aborted) refuse(error);
    return false;
  } finally {
    client.off("close", abort);
  }
}
