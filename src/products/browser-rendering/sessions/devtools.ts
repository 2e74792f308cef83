/**
 * The paths of sessions, as the binding and the REST API share them: browsers acquired, listed and closed, their pages, and
 * the WebSockets that reach them. Answers are JSON without an envelope.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { browserError } from "../errors.ts";
import { chunkedDialect, type Dialect, MESSAGE_MAX_BYTES, plainDialect } from "./dialect.ts";
import { relay } from "./relay.ts";
import type { Session, Sessions } from "./sessions.ts";

export interface Devtools {
  /** The answer's JSON. `path` begins with "/devtools/". Throws the documented errors. */
  answer(method: string, path: string, query: URLSearchParams): Promise<unknown>;
  /** Connects a WebSocket to what the path says. Throws before anything was answered. */
  connect(path: string, query: URLSearchParams, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
  /** Connects an older client (`/v1/connectDevtools`). */
  connectChunked(sessionId: string, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
  acquire(query: URLSearchParams): Promise<{ sessionId: string }>;
}

interface TargetInfo {
  readonly targetId: string;
  readonly type: string;
  readonly title: string;
  readonly url: string;
}

export function openDevtools(sessions: Sessions): Devtools {
  const names = new WeakMap<IncomingMessage, string>();
  const server = new WebSocketServer({ noServer: true, maxPayload: MESSAGE_MAX_BYTES, perMessageDeflate: false });
  server.on("headers", (headers, request) => void headers.push(`cf-browser-session-id: ${names.get(request)}`));

  const acquire = async (query: URLSearchParams): Promise<Session> => {
    const keepAlive = query.get("keep_alive");
    if (keepAlive !== null && !/^\d{1,9}$/.test(keepAlive)) throw browserError("badOptions", "keep_alive is a number of milliseconds");
    return sessions.acquire(keepAlive === null ? undefined : Number(keepAlive));
  };

  function upgrade(
    session: Session,
    dialect: Dialect,
    targetId: string | undefined,
    at: [IncomingMessage, Duplex, Buffer],
    done: () => void,
  ): void {
    names.set(at[0], session.id);
    server.handleUpgrade(...at, (socket) => void relay(session, socket, dialect, targetId, done));
    // A handshake that ws has refused.
    if (at[1].destroyed || at[1].writableEnded) done();
  }

  const whole = (session: Session, dialect: Dialect, at: [IncomingMessage, Duplex, Buffer]): void =>
    upgrade(session, dialect, undefined, at, sessions.hold(session));

  async function page(session: Session, action: string, id: string | undefined, query: URLSearchParams): Promise<unknown> {
    const { browser } = session;
    switch (action) {
      case "version": {
        const { product, protocolVersion, userAgent, jsVersion } = await browser.command<Record<string, string>>("Browser.getVersion");
        return { Browser: product, "Protocol-Version": protocolVersion, "User-Agent": userAgent, "V8-Version": jsVersion };
      }
      case "list":
        return (await browser.command<{ targetInfos: TargetInfo[] }>("Target.getTargets")).targetInfos.map(targetView);
      case "new": {
        const url = query.get("url") || "about:blank";
        if (!/^(https?|about|data):/i.test(url)) throw browserError("badOptions", `No such address is opened: ${url}`);
        const { targetId } = await browser.command<{ targetId: string }>("Target.createTarget", { url });
        return targetView((await browser.command<{ targetInfo: TargetInfo }>("Target.getTargetInfo", { targetId })).targetInfo);
      }
      case "activate":
      case "close": {
        const method = action === "close" ? "Target.closeTarget" : "Target.activateTarget";
        await browser.command(method, { targetId: id }).catch((cause: unknown) => {
          throw browserError("targetNotFound", undefined, { cause });
        });
        return { message: action === "close" ? "Target is closing" : "Target activated" };
      }
      default:
        throw browserError("notImplemented");
    }
  }

  return {
    acquire: async (query) => ({ sessionId: (await acquire(query)).id }),
    async answer(method, path, query) {
      const [, kind, id, json, action = "list", target] = path.split("/").slice(1);
      if (kind === "session" && method === "GET") {
        if (id === undefined) return sessions.list();
        sessions.require(id);
        return sessions.list().find(({ sessionId }) => sessionId === id);
      }
      if (kind !== "browser") throw browserError("noRoute");
      if (id === undefined && method === "POST") return { sessionId: (await acquire(query)).id };
      const session = sessions.require(String(id));
      if (json === undefined && method === "DELETE") {
        await session.close("NormalClosure");
        return { status: "closed" };
      }
      if (json !== "json" || method !== (action === "new" ? "PUT" : "GET")) throw browserError("noRoute");
      session.touch();
      return page(session, action, target, query);
    },
    async connect(path, query, request, socket, head) {
      const [, kind, id, page, target] = path.split("/").slice(1);
      if (kind !== "browser") throw browserError("noRoute");
      const session = id === undefined ? await acquire(query) : sessions.require(id);
      if (page === "page" && target !== undefined) return upgrade(session, plainDialect, target, [request, socket, head], () => undefined);
      whole(session, plainDialect, [request, socket, head]);
    },
    async connectChunked(sessionId, request, socket, head) {
      whole(sessions.require(sessionId), chunkedDialect(), [request, socket, head]);
    },
  };
}

const targetView = ({ targetId, type, title, url }: TargetInfo) => ({ id: targetId, type, title, url });
