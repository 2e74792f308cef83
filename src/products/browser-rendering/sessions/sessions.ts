/**
 * Sessions: browsers that Workers hold on to. Each is a Chromium of its own with at most one connection at a time; one that
 * gets no commands for its time is closed. In memory, as browsers are; what was is history.
 */
import { randomUUID } from "node:crypto";
import type { KernelSlice } from "../../../kernel/product.ts";
import type { Browser } from "../browser.ts";
import { browserError } from "../errors.ts";
import { fillRate } from "../fill-rate.ts";
import type { Launcher } from "../launcher.ts";
import type { CloseReason, History, PastSession } from "./history.ts";

export interface SessionView {
  readonly sessionId: string;
  readonly startTime: number;
  /** While a client is connected. */
  readonly connectionId?: string;
  readonly connectionStartTime?: number;
}

export interface Limits {
  readonly activeSessions: readonly { readonly id: string }[];
  readonly maxConcurrentSessions: number;
  readonly allowedBrowserAcquisitions: number;
  readonly timeUntilNextAllowedBrowserAcquisition: number;
}

/** A session as its clients' connections use it. */
export interface Session {
  readonly id: string;
  readonly browser: Browser;
  /** A client has sent a command. */
  touch(): void;
  /** Ends the session; resolves when that is in the history. */
  close(reason: CloseReason): Promise<void>;
}

export interface Sessions {
  /** Starts a browser. Rejects with the documented refusals. */
  acquire(keepAliveMs?: number): Promise<Session>;
  /** Throws `browserRendering.sessionNotFound`. */
  require(id: string): Session;
  /** Takes the session's one connection; the function gives it back. Throws `browserRendering.sessionBusy`. */
  hold(session: Session): () => void;
  list(): SessionView[];
  history(): Promise<PastSession[]>;
  limits(): Limits;
  stop(): Promise<void>;
}

interface Running extends Session {
  readonly startTime: number;
  connection?: { readonly id: string; readonly startTime: number };
}

/** Documented; the minimum is that of newer clients. */
const KEEP_ALIVE_MIN_MS = 10_000;
const KEEP_ALIVE_MAX_MS = 600_000;
const HISTORY_MAX = 100;

export function openSessions({ config, clock, log }: KernelSlice, launcher: Launcher, history: History): Sessions {
  const running = new Map<string, Running>();
  const rate = fillRate(clock, config["browser_rendering.sessions_per_min"]);
  const max = config["browser_rendering.sessions_max"];
  const idleMs = config["browser_rendering.idle_timeout_s"] * 1000;
  /** Browsers that are starting count as well. */
  let starting = 0;
  /** Of browsers that have not ended, or whose end is not in the history. */
  const ends = new Set<Promise<void>>();
  let stopped = false;

  function track(browser: Browser, keepAliveMs: number): Running {
    const id = randomUUID();
    const startTime = clock.now();
    let lastCommand = startTime;
    let closing: CloseReason | undefined;
    const close = (reason: CloseReason): Promise<void> => {
      closing ??= reason;
      // Nobody sees it from here on; its processes are gone in a moment.
      running.delete(id);
      browser.kill(reason);
      return over;
    };
    const look = (): void => {
      const left = lastCommand + keepAliveMs - clock.now();
      if (left <= 0) void close("BrowserIdle");
      else timer = setTimeout(look, Math.min(left, keepAliveMs));
    };
    let timer = setTimeout(look, keepAliveMs);
    const over: Promise<void> = browser.ended.then(async (why) => {
      clearTimeout(timer);
      running.delete(id);
      const reason = closing ?? "BrowserCrashed";
      if (reason === "BrowserCrashed") log.warn("sessions.browser_crashed", { session: id, why });
      await history.end(id, reason).catch((error: unknown) => log.error("sessions.end_not_written", { session: id, error }));
      ends.delete(over);
    });
    ends.add(over);
    const touch = (): void => {
      lastCommand = clock.now();
    };
    return { id, browser, startTime, touch, close };
  }

  function admit(): void {
    if (stopped) throw browserError("startFailed", "The platform is stopping");
    if (ends.size + starting >= max) throw browserError("tooManySessions");
    if (rate.take() > 0) throw browserError("rateLimited");
  }

  return {
    async acquire(keepAliveMs) {
      admit();
      starting++;
      try {
        const browser = await launcher.launch();
        const session = track(
          browser,
          keepAliveMs === undefined ? idleMs : Math.min(KEEP_ALIVE_MAX_MS, Math.max(KEEP_ALIVE_MIN_MS, keepAliveMs)),
        );
        running.set(session.id, session);
        if (stopped) void session.close("ServiceRestarted");
        await history.begin(session.id, session.startTime);
        return session;
      } finally {
        starting--;
      }
    },
    require(id) {
      const session = running.get(id);
      if (session === undefined) throw browserError("sessionNotFound");
      return session;
    },
    hold(session) {
      const held = session as Running;
      if (held.connection !== undefined) throw browserError("sessionBusy");
      held.connection = { id: randomUUID(), startTime: clock.now() };
      return () => {
        delete held.connection;
      };
    },
    list: () =>
      [...running.values()].map(({ id, startTime, connection }) => ({
        sessionId: id,
        startTime,
        ...(connection !== undefined && { connectionId: connection.id, connectionStartTime: connection.startTime }),
      })),
    history: () => history.recent(HISTORY_MAX),
    limits: () => ({
      activeSessions: [...running.keys()].map((id) => ({ id })),
      maxConcurrentSessions: max,
      allowedBrowserAcquisitions: Math.min(rate.left(), max - ends.size - starting),
      timeUntilNextAllowedBrowserAcquisition: rate.wait(),
    }),
    async stop() {
      stopped = true;
      for (const { close } of [...running.values()]) void close("ServiceRestarted");
      await Promise.all(ends);
    },
  };
}
