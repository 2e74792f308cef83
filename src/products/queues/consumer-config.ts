/** Consumers as clients configure them: parsed, checked against the documented limits, with defaults. */
import { z } from "zod";
import { queuesError } from "./errors.ts";
import {
  BATCH_DEFAULT,
  BATCH_MAX,
  BATCH_WAIT_DEFAULT_MS,
  BATCH_WAIT_MAX_MS,
  CONCURRENCY_MAX,
  checkName,
  DELAY_MAX_S,
  RETENTION_MAX_S,
  RETENTION_MIN_S,
  RETRIES_DEFAULT,
  RETRIES_MAX,
  VISIBILITY_DEFAULT_MS,
  VISIBILITY_MAX_MS,
} from "./limits.ts";
import type { QueueSettings } from "./model.ts";
import type { NewConsumer } from "./queues.ts";

const within = (min: number, max: number) => z.number().int().min(min).max(max);

const retries = within(0, RETRIES_MAX).nullish();
const delay = within(0, DELAY_MAX_S).nullish();

const workerSettings = z.object({
  batch_size: within(1, BATCH_MAX).nullish(),
  max_retries: retries,
  max_wait_time_ms: within(0, BATCH_WAIT_MAX_MS).nullish(),
  max_concurrency: within(1, CONCURRENCY_MAX).nullish(),
  retry_delay: delay,
});

const pullSettings = z.object({
  batch_size: within(1, BATCH_MAX).nullish(),
  max_retries: retries,
  visibility_timeout_ms: within(0, VISIBILITY_MAX_MS).nullish(),
  retry_delay: delay,
});

export const consumerBody = z.looseObject({
  type: z.string().default("worker"),
  script_name: z.string().optional(),
  /** Older clients name the Worker so. */
  service: z.string().optional(),
  dead_letter_queue: z.string().nullish(),
  settings: z.looseObject({}).nullish(),
});

/** The consumer of a request. Throws `queues.consumerSettings`, `queues.invalidName`. */
export function parseConsumer(body: z.infer<typeof consumerBody>, queueName: string): NewConsumer {
  const deadLetterQueue = body.dead_letter_queue || null;
  if (deadLetterQueue !== null) {
    checkName(deadLetterQueue);
    if (deadLetterQueue === queueName) throw queuesError("consumerSettings", "A queue cannot be its own dead letter queue.");
  }
  const given = body.settings ?? {};
  if (body.type === "http_pull") {
    const s = check(pullSettings, given, "consumerSettings");
    return {
      type: "http_pull",
      deadLetterQueue,
      settings: {
        batch_size: s.batch_size ?? BATCH_DEFAULT,
        max_retries: s.max_retries ?? RETRIES_DEFAULT,
        visibility_timeout_ms: s.visibility_timeout_ms ?? VISIBILITY_DEFAULT_MS,
        retry_delay: s.retry_delay ?? 0,
      },
    };
  }
  const script = body.script_name || body.service;
  if (body.type !== "worker" || !script) throw queuesError("consumerSettings");
  const s = check(workerSettings, given, "consumerSettings");
  return {
    type: "worker",
    script,
    deadLetterQueue,
    settings: {
      batch_size: s.batch_size ?? BATCH_DEFAULT,
      max_retries: s.max_retries ?? RETRIES_DEFAULT,
      max_wait_time_ms: s.max_wait_time_ms ?? BATCH_WAIT_DEFAULT_MS,
      max_concurrency: s.max_concurrency ?? null,
      retry_delay: s.retry_delay ?? 0,
    },
  };
}

const queueSettings = z.object({
  delivery_delay: within(0, DELAY_MAX_S).optional(),
  message_retention_period: within(RETENTION_MIN_S, RETENTION_MAX_S).optional(),
  delivery_paused: z.boolean().optional(),
});

/** The settings that are given. Throws `queues.queueSettings`. */
export function parseQueueSettings(settings: unknown): Partial<QueueSettings> {
  const parsed = check(queueSettings, settings ?? {}, "queueSettings");
  return Object.fromEntries(Object.entries(parsed).filter(([, value]) => value !== undefined));
}

function check<T>(schema: z.ZodType<T>, value: unknown, error: "consumerSettings" | "queueSettings"): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const what = error === "queueSettings" ? "queue" : "consumer";
  const text = `The specified ${what} settings are invalid. (${issue?.path.join(".")}: ${issue?.message})`;
  throw queuesError(error, text, { cause: parsed.error });
}
