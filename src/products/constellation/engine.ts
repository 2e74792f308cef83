/**
 * Models that are loaded, each in a thread of its own (ADR 0011): the least recently used makes room for the next. A model's
 * runs are answered one after another; a run that ends its thread fails alone, and the runs behind it get a new one.
 */
import { oneAtATime } from "../../kernel/one-at-a-time.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { constellationError } from "./errors.ts";
import type { ThreadData } from "./model-thread.ts";
import { Models } from "./models.ts";
import type { RuntimeName } from "./predictor.ts";
import { ModelThread } from "./thread.ts";

export interface ModelFile {
  readonly id: string;
  readonly runtime: RuntimeName;
  read(): Promise<Uint8Array>;
}

export interface Engine {
  /** Throws `constellation.badModel` for a file that the runtime does not load. */
  check(runtime: RuntimeName, bytes: Uint8Array): Promise<void>;
  /** The JSON of a run, answered with that of its outputs. Throws the errors of runs, also `constellation.busy`. */
  run(model: ModelFile, body: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  /** The model is deleted. */
  forget(id: string): void;
  stop(): Promise<void>;
}

type Body = Uint8Array<ArrayBuffer>;

interface Run {
  readonly body: Body;
  resolve(answer: Body): void;
  reject(error: unknown): void;
}

interface Loaded {
  readonly model: ModelFile;
  readonly waiting: Run[];
  thread: ModelThread | undefined;
  /** Runs are under way. */
  busy: boolean;
}

export function openEngine({ config, log }: Pick<KernelSlice, "config" | "log">): Engine {
  const timeouts = { loadMs: config["constellation.load_timeout_ms"], runMs: config["constellation.run_timeout_ms"] };
  const waitingMax = config["constellation.runs_waiting_max"];
  /** The least recently used first. */
  const loaded = new Map<string, Loaded>();
  /** Runs of models that wait until another has nothing to do. */
  const wantsRoom: (() => void)[] = [];
  const stopping = new AbortController();
  /** Threads that check uploads are beside those of loaded models: one at a time. */
  const checks = oneAtATime();
  const models = new Models(log);

  async function threadOf(runtime: RuntimeName, bytes: Uint8Array): Promise<ModelThread> {
    const data: ThreadData = {
      ...{ runtime, bytes, onnxruntime: config["constellation.onnxruntime"] },
      memoryBytes: config["constellation.model_memory_mb"] * 1024 * 1024,
    };
    return ModelThread.start(models, data, timeouts);
  }

  async function start({ id, runtime, read }: ModelFile): Promise<ModelThread> {
    const began = performance.now();
    const thread = await threadOf(runtime, await read());
    log.info("constellation.model_loaded", { model: id, runtime, ms: Math.round(performance.now() - began) });
    return thread;
  }

  /** Answers what waits for the model, then lets others have its room. */
  async function serve(one: Loaded): Promise<void> {
    if (one.busy) return;
    one.busy = true;
    while (one.waiting.length > 0) {
      try {
        if (one.thread === undefined || one.thread.ended) one.thread = await start(one.model);
      } catch (error) {
        for (const { reject } of one.waiting.splice(0)) reject(error);
        break;
      }
      const run = one.waiting.shift();
      // None: the model was deleted while its thread started.
      if (run !== undefined) await one.thread.run(run.body).then(run.resolve, run.reject);
    }
    one.busy = false;
    if (one.thread === undefined || one.thread.ended) drop(one);
    // Deleted meanwhile.
    if (loaded.get(one.model.id) !== one) one.thread?.end();
    wantsRoom.shift()?.();
  }

  function drop(one: Loaded): void {
    if (loaded.get(one.model.id) === one) loaded.delete(one.model.id);
  }

  /** The model's place, the most recently used of all; undefined while every place is busy with another model. */
  function placeOf(model: ModelFile): Loaded | undefined {
    const found = loaded.get(model.id);
    if (found === undefined && loaded.size >= config["constellation.models_loaded_max"]) {
      const idle = [...loaded.values()].find(({ busy }) => !busy);
      if (idle === undefined) return undefined;
      drop(idle);
      idle.thread?.end();
    }
    const place = found ?? { model, waiting: [], thread: undefined, busy: false };
    loaded.delete(model.id);
    loaded.set(model.id, place);
    return place;
  }

  async function room(): Promise<void> {
    if (wantsRoom.length >= waitingMax) throw constellationError("busy");
    const { promise, resolve } = Promise.withResolvers<void>();
    wantsRoom.push(resolve);
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(timeouts.runMs)]);
    const late = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(constellationError("busy"))));
    await Promise.race([promise, late]).finally(() => {
      const at = wantsRoom.indexOf(resolve);
      if (at !== -1) wantsRoom.splice(at, 1);
    });
  }

  function end(one: Loaded, error?: Error): void {
    drop(one);
    for (const { reject } of one.waiting.splice(0)) reject(error ?? constellationError("runEnded"));
    one.thread?.end(error);
  }

  return {
    check: (runtime, bytes) =>
      checks("", async () => {
        const thread = await threadOf(runtime, bytes);
        thread.end();
      }),
    async run(model, body) {
      let place = placeOf(model);
      while (place === undefined) {
        await room();
        place = placeOf(model);
      }
      if (place.waiting.length >= waitingMax) throw constellationError("busy");
      const { promise, resolve, reject } = Promise.withResolvers<Body>();
      place.waiting.push({ body, resolve, reject });
      void serve(place);
      return promise;
    },
    forget(id) {
      const one = loaded.get(id);
      if (one !== undefined) end(one, constellationError("modelNotFound"));
    },
    async stop() {
      stopping.abort();
      for (const one of [...loaded.values()]) end(one);
      await models.stop();
    },
  };
}
