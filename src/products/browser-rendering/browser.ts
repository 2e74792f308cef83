/**
 * A browser with many clients over its one pipe. Each client has a DevTools session of its own as its root: what it
 * attaches to, enables and intercepts is gone when it closes, and no client sees or reaches what is another's.
 */
import type { Chromium } from "./chromium.ts";

/** What clients of the DevTools protocol send: no `sessionId` means the client's root. */
export interface CdpRequest {
  readonly id: number;
  readonly method: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly sessionId?: string;
}

export interface CdpClient {
  send(request: CdpRequest): void;
  /** Detaches from everything. Safe to call twice. */
  close(): void;
}

export interface Receiver {
  /** One message as JSON. */
  message(json: Buffer): void;
  /** The browser or the page is gone; nothing follows. */
  closed(): void;
}

export interface Browser {
  /** A client of the whole browser, or of one page as if that were all. Rejects when there is no such page. */
  connect(receiver: Receiver, targetId?: string): Promise<CdpClient>;
  /** A command of our own. */
  command<T = unknown>(method: string, params?: object): Promise<T>;
  readonly ended: Promise<string>;
  kill(why: string): void;
}

interface Client extends Receiver {
  readonly root: string;
}

const SESSION = /,"sessionId":"([0-9A-F]+)"\}$/;
/** More than the longest end of a message that names a session. */
const TAIL_BYTES = 80;
const ATTACHED = '{"method":"Target.attachedToTarget"';
const DETACHED = '{"method":"Target.detachedFromTarget"';

/** `start` starts the process with the receiver that it is given. */
export async function openBrowser(start: (receive: (message: Buffer) => void) => Promise<Chromium>): Promise<Browser> {
  const clients = new Map<string, Client>();
  /** Sessions that clients attached to, by id. */
  const owners = new Map<string, Client>();
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let lastId = 0;
  let over: string | undefined;

  function receive(message: Buffer): void {
    const end = message.toString("latin1", Math.max(0, message.length - TAIL_BYTES));
    const match = SESSION.exec(end);
    if (match === null) {
      own(message);
      return;
    }
    const session = match[1] as string;
    const client = owners.get(session) ?? clients.get(session);
    // A client that has just closed.
    if (client === undefined) return;
    follow(client, message);
    const atRoot = session === client.root;
    client.message(atRoot ? Buffer.concat([message.subarray(0, message.length - match[0].length), Buffer.from("}")]) : message);
  }

  /** Keeps in mind which sessions a client has. */
  function follow(client: Client, message: Buffer): void {
    const head = message.toString("latin1", 0, DETACHED.length);
    if (!head.startsWith(ATTACHED) && head !== DETACHED) return;
    const { sessionId } = (JSON.parse(message.toString()) as { params: { sessionId: string } }).params;
    if (head === DETACHED) owners.delete(sessionId);
    else owners.set(sessionId, client);
  }

  /** What concerns no client: answers to our commands, and the ends of clients' roots. */
  function own(message: Buffer): void {
    const { id, method, params, result, error } = JSON.parse(message.toString()) as {
      id?: number;
      method?: string;
      params?: { sessionId: string };
      result?: unknown;
      error?: { message: string };
    };
    if (method === "Target.detachedFromTarget") forget(params?.sessionId as string)?.closed();
    const waiter = waiting.get(id as number);
    waiting.delete(id as number);
    if (error === undefined) waiter?.resolve(result);
    else waiter?.reject(new Error(error.message));
  }

  function forget(root: string): Client | undefined {
    const client = clients.get(root);
    clients.delete(root);
    for (const [session, owner] of owners) if (owner === client) owners.delete(session);
    return client;
  }

  const chromium = await start(receive);
  const ended = chromium.ended.then((why) => {
    over = why;
    for (const { reject } of waiting.values()) reject(new Error(`the browser has ended: ${why}`));
    waiting.clear();
    for (const root of [...clients.keys()]) forget(root)?.closed();
    return why;
  });

  function command<T>(method: string, params: object = {}): Promise<T> {
    if (over !== undefined) return Promise.reject(new Error(`the browser has ended: ${over}`));
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    waiting.set(++lastId, { resolve: resolve as (value: unknown) => void, reject });
    chromium.post(JSON.stringify({ id: lastId, method, params }));
    return promise;
  }

  return {
    ended,
    command,
    kill: chromium.kill,
    async connect(receiver, targetId) {
      const { sessionId: root } = await (targetId === undefined
        ? command<{ sessionId: string }>("Target.attachToBrowserTarget")
        : command<{ sessionId: string }>("Target.attachToTarget", { targetId, flatten: true }));
      const client: Client = { root, message: (json) => receiver.message(json), closed: () => receiver.closed() };
      clients.set(root, client);
      return {
        send({ id, method, params = {}, sessionId = root }) {
          if (!clients.has(root)) return;
          if (sessionId === root || owners.get(sessionId) === client)
            return chromium.post(JSON.stringify({ id, method, params, sessionId }));
          const error = { code: -32001, message: "Session with given id not found." };
          client.message(Buffer.from(JSON.stringify({ id, error, sessionId })));
        },
        close() {
          if (forget(root) === undefined || over !== undefined) return;
          // It may be gone already.
          command("Target.detachFromTarget", { sessionId: root }).catch(() => undefined);
        },
      };
    },
  };
}
