/**
 * Answers of actions that are given again (docs/browser-rendering/faq: five seconds, or `cacheTTL`), in memory and bounded.
 * HTML that was submitted is never kept.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../../../kernel/clock.ts";

export interface CachedAnswer {
  readonly type: string;
  readonly body: Uint8Array<ArrayBuffer>;
}

export interface AnswerCache {
  find(key: string): CachedAnswer | undefined;
  keep(key: string, answer: CachedAnswer, ttlSeconds: number): void;
}

export function openAnswerCache(clock: Clock, maxBytes: number): AnswerCache {
  /** Oldest first. */
  const answers = new Map<string, { answer: CachedAnswer; until: number }>();
  let bytes = 0;

  function drop(key: string): void {
    bytes -= answers.get(key)?.answer.body.byteLength ?? 0;
    answers.delete(key);
  }

  return {
    find(key) {
      const found = answers.get(key);
      if (found !== undefined && found.until > clock.now()) return found.answer;
      drop(key);
      return undefined;
    },
    keep(key, answer, ttlSeconds) {
      if (ttlSeconds === 0 || answer.body.byteLength > maxBytes) return;
      drop(key);
      answers.set(key, { answer, until: clock.now() + ttlSeconds * 1000 });
      bytes += answer.body.byteLength;
      for (const oldest of answers.keys()) {
        if (bytes <= maxBytes) break;
        drop(oldest);
      }
    },
  };
}

/** Equal requests have equal keys: the same action with the same options. */
export const cacheKey = (action: string, options: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify([action, options]))
    .digest("base64");
