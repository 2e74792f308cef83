/**
 * Limits of the real service that an operator may want, too: requests a minute by task (workers-ai/platform/limits) and
 * neurons a day. Both are counted in memory and begin anew with the platform. Neurons are estimated by tokens, at the rate of
 * an 8-billion-parameter model; what is answered without tokens counts as one.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Model, TaskName } from "./catalogue.ts";
import { aiError } from "./errors.ts";

/** Documented. */
const PER_MINUTE: Readonly<Record<TaskName, number>> = {
  "Text Generation": 300,
  "Text Embeddings": 3000,
  "Text Classification": 2000,
  "Automatic Speech Recognition": 720,
  "Text-to-Speech": 720,
  Translation: 720,
  Summarization: 1500,
  "Image-to-Text": 720,
  "Image Classification": 3000,
  "Object Detection": 3000,
  "Text-to-Image": 720,
  "Voice Activity Detection": 720,
};
const LARGE_EMBEDDINGS_PER_MINUTE = 1500;
const NEURONS_A_TOKEN_IN = 0.0256;
const NEURONS_A_TOKEN_OUT = 0.0752;
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 3600_000;

export interface Usage {
  readonly prompt_tokens?: number | undefined;
  readonly completion_tokens?: number | undefined;
}

export interface Limits {
  /** Counts a request for the model. Throws `workersAi.rateLimited` or `workersAi.allocationUsed`. */
  take(model: Model): void;
  /** Counts what an answer has used. */
  used(usage: Usage | undefined): void;
}

/** `perMinute`: whether requests a minute are limited. `neuronsPerDay`: 0 is without limit. */
export function openLimits(clock: Clock, perMinute: boolean, neuronsPerDay: number): Limits {
  let minute = 0;
  const requests = new Map<TaskName, number>();
  let day = 0;
  let neurons = 0;
  return {
    take(model) {
      const now = clock.now();
      if (Math.floor(now / DAY_MS) !== day) {
        day = Math.floor(now / DAY_MS);
        neurons = 0;
      }
      if (neuronsPerDay > 0 && neurons >= neuronsPerDay) throw aiError("allocationUsed", allocationText(neuronsPerDay));
      if (!perMinute) return;
      if (Math.floor(now / MINUTE_MS) !== minute) {
        minute = Math.floor(now / MINUTE_MS);
        requests.clear();
      }
      const count = requests.get(model.task) ?? 0;
      const most = model.name.includes("bge-large") ? LARGE_EMBEDDINGS_PER_MINUTE : PER_MINUTE[model.task];
      if (count >= most) throw aiError("rateLimited", `Rate limited: ${model.task} takes ${most} requests a minute`);
      requests.set(model.task, count + 1);
    },
    used(usage) {
      const { prompt_tokens: tokensIn = 0, completion_tokens: tokensOut = 0 } = usage ?? {};
      neurons += Math.max(1, tokensIn * NEURONS_A_TOKEN_IN + tokensOut * NEURONS_A_TOKEN_OUT);
    },
  };
}

const allocationText = (neurons: number): string =>
  `You have used up your daily free allocation of ${neurons.toLocaleString("en-US")} neurons. It begins anew at 00:00 UTC`;
