/**
 * What instances print, line by line: to Workers Logs where the application's observability is on, and to whoever tails the
 * Worker. The engine keeps the last lines of each container itself; what it dropped before it was read is lost.
 */
import type { Dispatch, DurableObjects, OutputLine, Telemetry } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import { type Applications, logsEnabled } from "./applications.ts";
import type { Engine } from "./engine.ts";
import type { Instance, Instances } from "./instances.ts";

export interface Output {
  /** Ends reading. Resolves when the last lines are passed on. */
  stop(): Promise<void>;
}

export interface OutputOptions {
  readonly engine: Engine;
  readonly instances: Pick<Instances, "onRunning">;
  readonly applications: Pick<Applications, "find">;
  readonly dispatch: Pick<Dispatch, "showOutput">;
  readonly durableObjects: Pick<DurableObjects, "namespace">;
  readonly telemetry: Pick<Telemetry, "recordOutput">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Lines are passed on this long after the first of them. */
const BATCH_MS = 200;
const BATCH_MAX = 500;
const LINE_MAX_BYTES = 256 * 1024;
/** Head of one piece of the engine's stream: which output it is, and how long. */
const FRAME_HEAD = 8;

export function readOutput(options: OutputOptions): Output {
  const { engine, instances, applications, dispatch, durableObjects, telemetry, clock, log } = options;
  const closing = new AbortController();
  const readers = new Set<Promise<void>>();

  instances.onRunning((instance) => {
    const application = applications.find(instance.applicationId);
    if (application === undefined || !logsEnabled(application)) return;
    const reader = read(instance)
      .catch((error: unknown) => {
        if (!closing.signal.aborted) log.warn("containers.output_lost", { instance: instance.id, error });
      })
      .finally(() => readers.delete(reader));
    readers.add(reader);
  });

  async function read(instance: Instance): Promise<void> {
    const owner = await durableObjects.namespace(instance.object.namespaceId);
    // A container that was taken over: what it printed before is there already.
    const since = Math.max(instance.startedAt, clock.now() - 60_000) / 1000;
    const query = `follow=true&stdout=true&stderr=true&timestamps=true&since=${since.toFixed(3)}`;
    const stream = await engine.stream("GET", `/containers/${instance.containerId}/logs?${query}`, closing.signal);
    const batch = batcher((lines) => {
      const origin = {
        scriptName: owner?.scriptName ?? "",
        cloudService: "containers",
        requestId: instance.id,
        details: {
          entrypoint: owner?.className ?? "",
          durableObjectId: instance.object.objectId,
          containerApplicationId: instance.applicationId,
          containerInstanceId: instance.id,
          containerVersion: instance.version,
        },
      };
      telemetry.recordOutput(origin, lines);
      dispatch.showOutput(instance.scriptId, owner?.className ?? "", lines);
    });
    try {
      for await (const line of linesOf(stream)) batch.add(line);
    } finally {
      batch.flush();
    }
  }

  return {
    async stop() {
      // Containers have ended by now, and their streams with them; what does not end is cut.
      const timer = setTimeout(() => closing.abort(), BATCH_MS);
      await Promise.allSettled(readers);
      clearTimeout(timer);
    },
  };
}

function batcher(send: (lines: readonly OutputLine[]) => void): { add(line: OutputLine): void; flush(): void } {
  let waiting: OutputLine[] = [];
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (waiting.length > 0) send(waiting.splice(0));
    waiting = [];
  };
  return {
    add(line) {
      waiting.push(line);
      if (waiting.length >= BATCH_MAX) flush();
      else timer ??= setTimeout(flush, BATCH_MS);
    },
    flush,
  };
}

/** The lines of the engine's stream, in which pieces of both outputs follow one another. */
async function* linesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<OutputLine> {
  let bytes = Buffer.alloc(0);
  const rest = ["", "", ""];
  for await (const chunk of stream) {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= FRAME_HEAD) {
      const length = bytes.readUInt32BE(4);
      if (bytes.length < FRAME_HEAD + length) break;
      const output = bytes[0] === 2 ? 2 : 1;
      const parts = `${rest[output]}${bytes.toString("utf8", FRAME_HEAD, FRAME_HEAD + length)}`.split("\n");
      bytes = bytes.subarray(FRAME_HEAD + length);
      rest[output] = (parts.pop() as string).slice(0, LINE_MAX_BYTES);
      for (const part of parts) yield lineOf(part, output);
    }
  }
  for (const output of [1, 2]) if (rest[output] !== "") yield lineOf(rest[output] as string, output);
}

/** The engine puts the time before each line. */
function lineOf(text: string, output: number): OutputLine {
  const space = text.indexOf(" ");
  return {
    time: Math.floor(Date.parse(text.slice(0, space))),
    level: output === 2 ? "error" : "log",
    text: text.slice(space + 1).replace(/\r$/, ""),
  };
}
