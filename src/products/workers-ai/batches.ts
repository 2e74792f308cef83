/**
 * Batches: requests that are answered later (docs/workers-ai/features/batch-api). A batch that has an id is on disk, and so is
 * each answer of it; one that was under way when the platform ended goes on with what is not answered yet. Batches of all
 * models are run in their order, so many items at a time; ended ones are kept for a while.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import type { QueueSender } from "../../kernel/capabilities.ts";
import type { Clock } from "../../kernel/clock.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { MetaStore } from "../../kernel/meta/meta.ts";
import { aiError } from "./errors.ts";
import type { ModelRuns } from "./run.ts";
import { checked } from "./task.ts";

/** Documented. */
export const BATCH_MAX_BYTES = 10_000_000;
export const batchEvents = ["batch.queued", "batch.succeeded", "batch.failed"];
const ITEMS_MAX = 10_000;
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 60_000;
const SWEEP_MS = 3600_000;

export const batchRequest = z.object({ requests: z.array(z.looseObject({})).min(1).max(ITEMS_MAX) });

export interface BatchParts {
  readonly meta: MetaStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly runs: ModelRuns;
  readonly announce: QueueSender["announce"];
  readonly itemsAtOnce: number;
  readonly waitingMax: number;
  readonly retentionMs: number;
}

export interface Batches {
  /** Durable when it resolves. Throws `workersAi.outOfCapacity` when too many wait. */
  queue(model: string, inputs: unknown): Promise<{ status: "queued"; request_id: string; model: string }>;
  /** What there is of a batch: its status, or its answers. Throws `workersAi.notFound`. */
  poll(model: string, id: string): Promise<Record<string, unknown>>;
  stop(): Promise<void>;
}

interface Batch {
  readonly id: string;
  readonly model: string;
  readonly status: string;
}

interface Item {
  readonly position: number;
  readonly inputs: string;
}

interface Usage {
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
}

interface Outcome {
  readonly result: unknown;
  readonly success: boolean;
  readonly error?: string;
  readonly usage?: Usage;
}

interface Answered {
  readonly answer: string;
  readonly tokens_in: number;
  readonly tokens_out: number;
}

export async function startBatches(parts: BatchParts): Promise<Batches> {
  const { meta, clock, log, runs, announce, itemsAtOnce, waitingMax, retentionMs } = parts;
  const ending = new AbortController();
  const { signal } = ending;
  let waiting = (await meta.all<{ n: number }>("SELECT count(*) AS n FROM workers_ai_batches WHERE status <> 'done'"))[0]?.n ?? 0;
  let wake = Promise.withResolvers<void>();

  /** Answers one item. Whatever its model has against it is its answer; only the platform's end leaves it open. */
  async function answer(batch: Batch, { position, inputs }: Item): Promise<void> {
    const { external_reference = null, ...asked } = JSON.parse(inputs) as { external_reference?: unknown };
    const outcome = await outcomeOf(batch.model, asked);
    const { usage = {}, ...rest } = outcome;
    await meta.run(
      `UPDATE workers_ai_items SET inputs = '', answer = ?, success = ?, tokens_in = ?, tokens_out = ?
       WHERE batch_id = ? AND position = ?`,
      ...[JSON.stringify({ id: position, ...rest, external_reference }), rest.success ? 1 : 0],
      ...[usage.prompt_tokens ?? 0, usage.completion_tokens ?? 0, batch.id, position],
    );
  }

  async function outcomeOf(model: string, asked: object): Promise<Outcome> {
    try {
      const output = await runs.run(model, { ...asked, stream: false }, signal);
      if (!("json" in output)) throw aiError("notImplemented", "Models that answer with bytes take no batches");
      const usage = (output.json as { usage?: Usage } | null)?.usage;
      return { result: output.json, success: true, ...(usage && { usage }) };
    } catch (error) {
      if (signal.aborted) throw error;
      if (error instanceof PlatformError) return { result: null, success: false, error: `${error.spec.apiCode}: ${error.message}` };
      log.error("workers_ai.internal_error", { error });
      return { result: null, success: false, error: "Internal error" };
    }
  }

  async function carryOut(batch: Batch): Promise<void> {
    await meta.run("UPDATE workers_ai_batches SET status = 'running' WHERE id = ?", batch.id);
    for (;;) {
      const items = await meta.all<Item & Record<string, never>>(
        "SELECT position, inputs FROM workers_ai_items WHERE batch_id = ? AND answer IS NULL ORDER BY position LIMIT ?",
        ...[batch.id, itemsAtOnce],
      );
      if (items.length === 0) break;
      await Promise.all(items.map((item) => answer(batch, item)));
    }
    const announced = await meta.transaction(async (tx) => {
      await tx.run("UPDATE workers_ai_batches SET status = 'done', ended_at = ? WHERE id = ?", clock.now(), batch.id);
      const good = await tx.get("SELECT 1 FROM workers_ai_items WHERE batch_id = ? AND success = 1 LIMIT 1", batch.id);
      const failed = { requestId: batch.id, message: "Model execution failed", internalCode: 5001, httpCode: 500 };
      const source = { type: "workersAi.model", model_name: batch.model };
      return good === undefined
        ? announce(tx, source, "batch.failed", failed)
        : announce(tx, source, "batch.succeeded", { requestId: batch.id });
    });
    announced();
    waiting--;
  }

  const nextBatch = (): Promise<Batch | undefined> =>
    meta.get<Batch & Record<string, never>>(
      "SELECT id, model, status FROM workers_ai_batches WHERE status <> 'done' ORDER BY created_at, id LIMIT 1",
    );

  /** The one loop that runs batches; what fails here is the platform's own trouble, and is tried again. */
  async function loop(): Promise<void> {
    for (let pause = RETRY_MIN_MS; !signal.aborted; ) {
      const woken = wake.promise;
      try {
        const batch = await nextBatch();
        if (batch === undefined) await woken;
        else await carryOut(batch);
        pause = RETRY_MIN_MS;
      } catch (error) {
        if (signal.aborted) return;
        log.warn("workers_ai.batch_failed", { error });
        await delay(pause, undefined, { signal }).catch(() => undefined);
        pause = Math.min(2 * pause, RETRY_MAX_MS);
      }
    }
  }

  async function sweepNowAndThen(): Promise<void> {
    while (!signal.aborted) {
      await sweep().catch((error) => log.warn("workers_ai.sweep_failed", { error }));
      await delay(SWEEP_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  async function sweep(): Promise<void> {
    const before = clock.now() - retentionMs;
    for (;;) {
      const old = await meta.all<{ id: string }>("SELECT id FROM workers_ai_batches WHERE ended_at < ? LIMIT 50", before);
      if (old.length === 0) return;
      await meta.transaction(async (tx) => {
        for (const { id } of old) {
          await tx.run("DELETE FROM workers_ai_items WHERE batch_id = ?", id);
          await tx.run("DELETE FROM workers_ai_batches WHERE id = ?", id);
        }
      });
    }
  }

  const running = Promise.all([loop(), sweepNowAndThen()]);

  return {
    async queue(model, inputs) {
      const { name } = runs.require(model);
      const { requests } = checked(batchRequest, inputs);
      if (waiting >= waitingMax) throw aiError("outOfCapacity", "Too many batches wait for their turn");
      const id = randomUUID();
      waiting++;
      try {
        const announced = await meta.transaction(async (tx) => {
          await tx.run("INSERT INTO workers_ai_batches (id, model, status, created_at) VALUES (?, ?, 'queued', ?)", id, name, clock.now());
          for (const [position, request] of requests.entries())
            await tx.run(
              "INSERT INTO workers_ai_items (batch_id, position, inputs) VALUES (?, ?, ?)",
              id,
              position,
              JSON.stringify(request),
            );
          return announce(tx, { type: "workersAi.model", model_name: name }, "batch.queued", { requestId: id });
        });
        announced();
      } catch (error) {
        waiting--;
        throw error;
      }
      wake.resolve();
      wake = Promise.withResolvers();
      return { status: "queued", request_id: id, model: name };
    },
    async poll(model, id) {
      const batch = await meta.get<Batch & Record<string, never>>("SELECT id, model, status FROM workers_ai_batches WHERE id = ?", id);
      if (batch === undefined || batch.model !== runs.require(model).name)
        throw aiError("notFound", `There is no batch ${id.slice(0, 100)} of ${model}`);
      if (batch.status !== "done") return { status: batch.status, request_id: id, model: batch.model };
      const items = await meta.all<Answered & Record<string, never>>(
        "SELECT answer, tokens_in, tokens_out FROM workers_ai_items WHERE batch_id = ? ORDER BY position LIMIT ?",
        ...[id, ITEMS_MAX],
      );
      const sum = (of: "tokens_in" | "tokens_out"): number => items.reduce((total, item) => total + item[of], 0);
      const [prompt_tokens, completion_tokens] = [sum("tokens_in"), sum("tokens_out")];
      return {
        responses: items.map(({ answer: text }) => JSON.parse(text)),
        usage: { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens },
      };
    },
    async stop() {
      ending.abort();
      wake.resolve();
      await running;
    },
  };
}
