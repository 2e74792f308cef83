/**
 * Sends what a destination is to get, in batches, one request at a time. What waits is bounded: while the other side does
 * not answer the oldest goes first, and is counted. Not durable: a copy for elsewhere, as the real service's.
 */
import type { Agent } from "undici";
import { fetch } from "undici";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import { type ExportKind, otlp } from "./otlp.ts";
import type { Row } from "./telemetry-event.ts";

const BATCH_ROWS = 500;
const WAITING_MAX_ROWS = 10_000;
const WAITING_MAX_BYTES = 16 * 1024 * 1024;
const PAUSE_MS = 500;
const RETRY_MAX_MS = 60_000;
const TIMEOUT_MS = 10_000;

export interface Target {
  readonly slug: string;
  readonly kind: ExportKind;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface JobStatus {
  readonly error_message: string;
  /** ISO times; empty when it never happened since the platform started. */
  readonly last_complete: string;
  readonly last_error: string;
}

export interface Exporter {
  add(rows: readonly Row[]): void;
  readonly status: JobStatus;
  stop(): Promise<void>;
}

/** Rejects when the other side does not take it. */
export async function send(
  agent: Agent,
  { kind, url, headers }: Pick<Target, "kind" | "url" | "headers">,
  rows: readonly Row[],
): Promise<void> {
  const answer = await fetch(url, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify(otlp(kind, rows)),
    dispatcher: agent,
    redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  await answer.body?.cancel();
  if (!answer.ok) throw new Error(`it answered with status ${answer.status}`);
}

export function openExporter(target: Target, agent: Agent, clock: Clock, log: Log): Exporter {
  let waiting: Row[] = [];
  let bytes = 0;
  let dropped = 0;
  let pause = PAUSE_MS;
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> = Promise.resolve();
  let stopped = false;
  let status: JobStatus = { error_message: "", last_complete: "", last_error: "" };
  const now = (): string => new Date(clock.now()).toISOString();

  const schedule = (): void => {
    if (stopped) return;
    timer ??= setTimeout(() => {
      timer = undefined;
      sending = sending.then(flush);
    }, pause).unref();
  };

  async function flush(): Promise<void> {
    while (waiting.length > 0 && !stopped) {
      const batch = waiting.slice(0, BATCH_ROWS);
      try {
        await send(agent, target, batch);
      } catch (error) {
        pause = Math.min(2 * pause, RETRY_MAX_MS);
        status = { ...status, error_message: (error as Error).message, last_error: now() };
        log.warn("observability.export_failed", { destination: target.slug, waiting: waiting.length, dropped, retry_ms: pause, error });
        return schedule();
      }
      // What was dropped meanwhile was dropped from the front.
      const sent = new Set(batch);
      waiting = waiting.filter((row) => !sent.has(row));
      bytes = waiting.reduce((sum, { event }) => sum + event.length, 0);
      pause = PAUSE_MS;
      status = { ...status, last_complete: now() };
    }
  }

  return {
    add(rows) {
      for (const row of rows) bytes += row.event.length;
      waiting.push(...rows);
      while (waiting.length > WAITING_MAX_ROWS || bytes > WAITING_MAX_BYTES) {
        bytes -= (waiting.shift() as Row).event.length;
        dropped++;
      }
      if (waiting.length > 0) schedule();
    },
    get status() {
      return status;
    },
    async stop() {
      clearTimeout(timer);
      // What waits gets one try: a platform that stops does not wait for others.
      await sending;
      if (waiting.length > 0 && pause === PAUSE_MS) await flush();
      stopped = true;
    },
  };
}
