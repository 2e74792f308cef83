/** Rate limits by a clock that the test moves: the example of docs/ai-gateway/features/rate-limiting. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Gateway, settingsSchema } from "./gateways.ts";
import { openLimiter } from "./limiter.ts";

test("[ai-gateway-18] ten requests at 12:09 and ten at 12:11: a fixed window of ten minutes takes all, a sliding one the first ten", () => {
  const admitted = (technique: "fixed" | "sliding"): number[] => {
    let now = 0;
    const limiter = openLimiter({ now: () => now });
    const settings = settingsSchema.parse({
      cache_invalidate_on_update: false,
      cache_ttl: 0,
      collect_logs: true,
      rate_limiting_interval: 600,
      rate_limiting_limit: 10,
      rate_limiting_technique: technique,
    });
    const gateway: Gateway = { id: "g", settings, createdAt: 0, modifiedAt: 0 };
    return ["12:09", "12:11", "12:20"].map((time) => {
      now = Date.parse(`2026-01-01T${time}:00Z`);
      return Array.from({ length: 11 }, () => limiter.take(gateway)).filter(Boolean).length;
    });
  };
  assert.deepEqual(admitted("fixed"), [10, 10, 10]);
  assert.deepEqual(admitted("sliding"), [10, 0, 10]);
});
