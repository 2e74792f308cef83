/**
 * Live tails of streams: what was accepted and what was dropped, as lines of JSON in an answer without an end. Each event
 * is told after it is durable. A reader that is slow is told how many events it missed instead of making anything grow,
 * and a stream that nobody tails is not looked at. Nothing of it is kept: it begins with what comes next.
 *
 * ```
 * {"kind":"start","time":…,"stream":{"id":…,"name":…}}
 * {"kind":"event","time":…,"event":{…}}
 * {"kind":"drop","time":…,"error":"type_mismatch","message":…,"event":{…}}
 * {"kind":"skipped","time":…,"count":12}
 * ```
 */
import type { Clock } from "../../kernel/clock.ts";
import { pipelinesError } from "./errors.ts";
import { type Batch, visitEvents } from "./records.ts";
import type { Stream } from "./streams.ts";

export interface Tails {
  /** The answer to a reader; ends when the stream is deleted, the reader goes, or the platform stops. Throws `pipelines.tooManyTails`. */
  open(stream: Stream): Response;
  /** Tells the stream's readers of a request that was accepted at that time. */
  publish(streamId: string, batch: Batch, time: number): void;
  /** Ends the stream's tails. */
  end(streamId: string): void;
  /** Ends all tails, and each that is opened from now on. */
  close(): void;
}

interface Session {
  /** False when the reader has not taken enough of what it was told. */
  readonly ready: boolean;
  tell(line: Uint8Array): void;
  skip(): void;
  end(): void;
}

const TAILS_MAX = 20;
/** Bytes that wait for a reader; one event more may be added to them. */
const WAITING_BYTES_MAX = 1024 * 1024;

const lineOf = (kind: string, time: number, more: string): Uint8Array =>
  Buffer.from(`{"kind":"${kind}","time":"${new Date(time).toISOString()}",${more}}\n`);

export function openTails(clock: Clock): Tails {
  const byStream = new Map<string, Set<Session>>();
  let closed = false;

  function remove(streamId: string, session: Session): void {
    const sessions = byStream.get(streamId);
    sessions?.delete(session);
    if (sessions?.size === 0) byStream.delete(streamId);
  }

  function end(streamId: string): void {
    for (const session of [...(byStream.get(streamId) ?? [])]) session.end();
  }

  return {
    open({ id, name }) {
      if ([...byStream.values()].reduce((sum, sessions) => sum + sessions.size, 0) >= TAILS_MAX) throw pipelinesError("tooManyTails");
      const { session, body } = openSession(clock, () => remove(id, session));
      const sessions = byStream.get(id) ?? new Set();
      byStream.set(id, sessions.add(session));
      session.tell(lineOf("start", clock.now(), `"stream":${JSON.stringify({ id, name })}`));
      if (closed) session.end();
      return new Response(body, { headers: { "content-type": "application/x-ndjson", "cache-control": "no-store" } });
    },
    publish(streamId, batch, time) {
      const sessions = byStream.get(streamId);
      if (sessions === undefined) return;
      visitEvents(batch, (text, error) => {
        const told = [...sessions].filter(({ ready }) => ready);
        for (const session of sessions) if (!told.includes(session)) session.skip();
        if (told.length === 0) return;
        const drop = error === undefined ? "" : `"error":"${error.type}","message":${JSON.stringify(error.message)},`;
        // Line breaks stand between tokens alone: strings have theirs escaped.
        const line = lineOf(error === undefined ? "event" : "drop", time, `${drop}"event":${text().replace(/[\r\n]/g, " ")}`);
        for (const session of told) session.tell(line);
      });
    },
    end,
    close() {
      closed = true;
      for (const streamId of [...byStream.keys()]) end(streamId);
    },
  };
}

function openSession(clock: Clock, onEnd: () => void): { session: Session; body: ReadableStream<Uint8Array> } {
  let controller: ReadableStreamDefaultController<Uint8Array>;
  let skipped = 0;
  const tellSkipped = (): void => {
    if (skipped === 0) return;
    controller.enqueue(lineOf("skipped", clock.now(), `"count":${skipped}`));
    skipped = 0;
  };
  const body = new ReadableStream<Uint8Array>(
    {
      start: (given) => {
        controller = given;
      },
      // The reader has caught up.
      pull: tellSkipped,
      cancel: onEnd,
    },
    new ByteLengthQueuingStrategy({ highWaterMark: WAITING_BYTES_MAX }),
  );
  const session: Session = {
    get ready() {
      return (controller.desiredSize ?? 0) > 0;
    },
    tell(line) {
      tellSkipped();
      controller.enqueue(line);
    },
    skip() {
      skipped++;
    },
    end() {
      tellSkipped();
      controller.close();
      onEnd();
    },
  };
  return { session, body };
}
