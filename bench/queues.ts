/** Queues by binding: sends of 1 KB messages, one by one and in batches of 10. Miniflare keeps them in memory, we on disk. */
import type { BenchResult } from "./bench.ts";
import { againstMiniflare } from "./miniflare.ts";

export function run(): Promise<BenchResult[]> {
  return againstMiniflare({
    name: "queues",
    operations: ["send", "send_batch"],
    setup: "",
    work: {
      send: `return env.Q.send("m".repeat(1024));`,
      send_batch: `return env.Q.sendBatch(Array.from({ length: 10 }, () => ({ body: "m".repeat(1024) })));`,
    },
    async binding(platform) {
      await platform.rest("POST", `/accounts/${platform.ready.account_id}/queues`, { queue_name: "bench" });
      return { queues: { producers: [{ binding: "Q", queue: "bench" }] } };
    },
    // A consumer, without which Miniflare would keep nothing; it waits longer than the figures take.
    miniflare: { queueProducers: { Q: "bench" }, queueConsumers: { bench: { maxBatchSize: 100, maxBatchTimeout: 60 } } },
  });
}
