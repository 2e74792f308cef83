/** Counts events and tells every open page. Sockets hibernate: an idle page costs no memory. */
import { DurableObject } from "cloudflare:workers";

/** Pages hear of changes at most this often, however fast events come. */
const BROADCAST_MS = 250;

export class Counter extends DurableObject {
  #broadcastDue = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL)");
  }

  /** Adds to the number of events that came by one way ("http" or "binding"). */
  async add(way: string, events: number): Promise<number> {
    this.ctx.storage.sql.exec(
      "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
      way,
      events,
    );
    if (!this.#broadcastDue) {
      this.#broadcastDue = true;
      setTimeout(() => this.#broadcast(), BROADCAST_MS);
    }
    return this.total();
  }

  async total(): Promise<number> {
    return this.ctx.storage.sql.exec<{ total: number }>("SELECT coalesce(sum(value), 0) AS total FROM counts").one().total;
  }

  override async fetch(): Promise<Response> {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    server.send(this.#message());
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketClose(socket: WebSocket, code: number): Promise<void> {
    socket.close(code === 1005 || code === 1006 ? 1000 : code);
  }

  #broadcast(): void {
    this.#broadcastDue = false;
    const message = this.#message();
    for (const socket of this.ctx.getWebSockets()) socket.send(message);
  }

  #message(): string {
    const counts = this.ctx.storage.sql.exec<{ name: string; value: number }>("SELECT name, value FROM counts").toArray();
    return JSON.stringify(Object.fromEntries(counts.map(({ name, value }) => [name, value])));
  }
}
