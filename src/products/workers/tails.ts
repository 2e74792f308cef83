/**
 * Live tails: `wrangler tail` opens a session by the API and then a WebSocket that speaks "trace-v1", one JSON message an
 * invocation. Filters are applied here. Sessions live in memory: a client opens a new one after a restart.
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { z } from "zod";
import type { OutputLine } from "../../kernel/capabilities.ts";
import type { HostRoute, KernelSlice } from "../../kernel/product.ts";
import { workersError } from "./errors.ts";
import type { Script } from "./model.ts";
import type { Serving } from "./serving.ts";
import type { ScriptStore } from "./store.ts";
import { acceptTraceSocket, type TraceSocket } from "./trace-socket.ts";

const PROTOCOL = "trace-v1";
/** Documented life of a tail session. */
const TTL_MS = 6 * 60 * 60 * 1000;
/** A session without a client ends after this long: wrangler deletes its own, but may be killed. */
const UNCONNECTED_MS = 60_000;
/** Messages that a slow client may have waiting; further ones are dropped. */
const BUFFERED_MAX_BYTES = 8 * 1024 * 1024;

export const filtersSchema = z.object({
  filters: z
    .array(
      z.object({
        sampling_rate: z.number().optional(),
        outcome: z.array(z.string()).optional(),
        method: z.array(z.string()).optional(),
        header: z.object({ key: z.string(), query: z.string().optional() }).optional(),
        client_ip: z.array(z.string()).optional(),
        query: z.string().optional(),
        scriptVersion: z.string().optional(),
      }),
    )
    .default([]),
});

export type TailFilter = z.infer<typeof filtersSchema>["filters"][number];

/** A trace as workerd gives it to a tail handler; only what filters read. */
export interface TraceItem {
  readonly outcome: string;
  readonly event?: {
    readonly request?: { readonly method: string; readonly url: string; readonly headers: Readonly<Record<string, string>> };
  } | null;
  readonly logs: readonly { readonly message: unknown }[];
  readonly exceptions: readonly { readonly message: unknown; readonly stack?: unknown }[];
  readonly [key: string]: unknown;
}

/** What a program of a Worker's printed outside any invocation, in the form of a trace. */
export const outputTrace = (scriptName: string, versionId: string, origin: string, lines: readonly OutputLine[]): TraceItem => ({
  scriptName,
  scriptVersion: { id: versionId },
  entrypoint: origin,
  outcome: "ok",
  event: null,
  eventTimestamp: lines[0]?.time ?? null,
  logs: lines.map(({ time, level, text }) => ({ timestamp: time, level, message: [text] })),
  exceptions: [],
  diagnosticsChannelEvents: [],
  truncated: false,
  wallTime: 0,
  cpuTime: 0,
});

interface Session {
  readonly id: string;
  readonly scriptId: string;
  readonly filters: readonly TailFilter[];
  /** Address of the client that opened it: what "self" means in a filter. */
  readonly ownAddress: string;
  readonly expiresAt: number;
  sockets: Set<TraceSocket>;
  /** Ends the session; set while no client is connected. */
  abandoned?: NodeJS.Timeout;
}

/** A session as the API shows it. */
export interface TailView {
  readonly id: string;
  readonly url: string;
  readonly expires_at: string;
  /** Clients that listen now. */
  readonly connected: number;
}

export interface Tails {
  create(script: Pick<Script, "id">, filters: readonly TailFilter[], ownAddress: string): Promise<TailView>;
  list(script: Script): TailView[];
  remove(script: Script, id: string): Promise<void>;
  /** Ends every session of a script that is gone. */
  end(scriptId: string): void;
  /** Whether anyone wants the script's traces now. */
  listening(scriptId: string): boolean;
  /** Traces of one process. */
  publish(scriptId: string, versionId: string, items: readonly TraceItem[]): void;
  readonly route: HostRoute;
  close(): void;
}

export function createTails(kernel: KernelSlice, store: ScriptStore, serving: Serving): Tails {
  const { clock, log } = kernel;
  const sessions = new Map<string, Session>();

  const describe = ({ id, expiresAt, sockets }: Session): TailView => ({
    id,
    connected: sockets.size,
    url: `${kernel.urls.host("tail").replace(/^http/, "ws")}/${id}`,
    expires_at: new Date(expiresAt).toISOString(),
  });

  function alive(scriptId: string): Session[] {
    const now = clock.now();
    for (const session of sessions.values()) if (session.expiresAt <= now) drop(session);
    return [...sessions.values()].filter((session) => session.scriptId === scriptId);
  }

  const listeners = (scriptId: string): Session[] => alive(scriptId).filter((session) => session.sockets.size > 0);

  function watchAbandoned(session: Session): void {
    clearTimeout(session.abandoned);
    session.abandoned = setTimeout(() => sessions.has(session.id) && drop(session), UNCONNECTED_MS);
    session.abandoned.unref();
  }

  function drop(session: Session): void {
    sessions.delete(session.id);
    clearTimeout(session.abandoned);
    for (const socket of session.sockets) socket.close(1000);
    if (![...sessions.values()].some((other) => other.scriptId === session.scriptId)) {
      serving.setTailed(session.scriptId, false).catch((error: unknown) => log.error("tail.stop_failed", { error }));
    }
  }

  function upgrade(_params: Readonly<Record<string, string>>, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const session = sessions.get((request.url ?? "").slice(1).split("?")[0] as string);
    if (session === undefined || session.expiresAt <= clock.now()) {
      socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    const client = acceptTraceSocket(request, socket, head, PROTOCOL, () => {
      session.sockets.delete(client as TraceSocket);
      if (session.sockets.size === 0 && sessions.has(session.id)) watchAbandoned(session);
    });
    if (client === undefined) return;
    session.sockets.add(client);
    clearTimeout(session.abandoned);
  }

  return {
    async create(script, filters, ownAddress) {
      if (alive(script.id).length >= kernel.config["workers.tail_clients_max"]) throw workersError("tailLimit");
      const session: Session = {
        id: randomBytes(16).toString("hex"),
        scriptId: script.id,
        filters,
        ownAddress,
        expiresAt: clock.now() + TTL_MS,
        sockets: new Set(),
      };
      sessions.set(session.id, session);
      watchAbandoned(session);
      await serving.setTailed(script.id, true);
      return describe(session);
    },
    list: (script) => alive(script.id).map(describe),
    async remove(script, id) {
      const session = sessions.get(id);
      if (session !== undefined && session.scriptId === script.id) drop(session);
    },
    end(scriptId) {
      for (const session of alive(scriptId)) drop(session);
    },
    listening: (scriptId) => listeners(scriptId).length > 0,
    publish(scriptId, versionId, items) {
      const wanted = listeners(scriptId);
      const script = store.liveById(scriptId)?.script;
      for (const item of items) {
        const message = JSON.stringify({ ...item, scriptName: script?.name ?? null, scriptVersion: { id: versionId } });
        for (const session of wanted) {
          if (!session.filters.every((filter) => passes(filter, item, versionId, session.ownAddress))) continue;
          for (const socket of session.sockets) {
            if (socket.waiting < BUFFERED_MAX_BYTES) socket.send(message);
          }
        }
      }
    },
    route: {
      name: "tail",
      patterns: ["tail"],
      template: "/{id}",
      handle(_params, _request, response) {
        response.writeHead(426, { "content-type": "text/plain", upgrade: "websocket" }).end("Connect by WebSocket\n");
      },
      upgrade,
    },
    close() {
      for (const session of sessions.values()) {
        clearTimeout(session.abandoned);
        for (const socket of session.sockets) socket.close(1001);
      }
      sessions.clear();
    },
  };
}

/** Whether a trace passes one filter; a filter object holds one condition, and all filters must pass. */
export function passes(
  filter: TailFilter,
  item: TraceItem,
  versionId: string,
  ownAddress: string,
  random: () => number = Math.random,
): boolean {
  const request = item.event?.request;
  if (filter.sampling_rate !== undefined && random() >= filter.sampling_rate) return false;
  if (filter.outcome !== undefined && !filter.outcome.includes(item.outcome)) return false;
  if (filter.method !== undefined && !filter.method.some((m) => m.toUpperCase() === request?.method.toUpperCase())) return false;
  if (filter.scriptVersion !== undefined && filter.scriptVersion !== versionId) return false;
  if (filter.header !== undefined) {
    const value = request?.headers[filter.header.key.toLowerCase()];
    if (value === undefined || (filter.header.query !== undefined && !value.includes(filter.header.query))) return false;
  }
  if (filter.client_ip !== undefined) {
    const ip = request?.headers["cf-connecting-ip"];
    if (ip === undefined || !filter.client_ip.some((wanted) => (wanted === "self" ? ownAddress : wanted) === ip)) return false;
  }
  if (filter.query !== undefined) {
    const texts = [...item.logs, ...item.exceptions].map((entry) => textOf(entry.message));
    if (!texts.some((text) => text.includes(filter.query as string))) return false;
  }
  return true;
}

const textOf = (message: unknown): string => (typeof message === "string" ? message : JSON.stringify(message));
