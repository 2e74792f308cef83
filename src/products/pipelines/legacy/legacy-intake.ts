/** Events into a legacy pipeline: an array of JSON objects, to the shard whose turn it is. Any content type: `curl -d` sends that of a form. */
import type { Clock } from "../../../kernel/clock.ts";
import type { Config } from "../../../kernel/config.ts";
import type { Encoder, Schema } from "../encoder.ts";
import { ingestError } from "../errors.ts";
import type { Intake } from "../ingest.ts";
import { rateLimit } from "../rate-limit.ts";
import { recordCheck } from "../record-check.ts";
import type { LegacyMetrics } from "./legacy-metrics.ts";
import type { LegacyPipeline, LegacyPipelines } from "./legacy-pipelines.ts";

/** Every object passes, and nothing else. */
const anyObject: Schema = { fields: [], check: recordCheck([]) };

export function legacyIntake(
  pipelines: LegacyPipelines,
  encoder: Encoder,
  metrics: LegacyMetrics,
  clock: Clock,
  config: Config,
): Intake<LegacyPipeline> {
  const admit = rateLimit(config["pipelines.shard_rate_max_bytes_per_s"], clock);
  const bufferMax = config["pipelines.buffer_max_bytes"];
  /** While a body came in or was encoded, its pipeline may have been changed or deleted. */
  const current = (id: string): LegacyPipeline => {
    const pipeline = pipelines.find(id);
    if (pipeline === undefined) throw ingestError("notFound", "Pipeline does not exist");
    return pipeline;
  };
  return {
    noun: "pipeline",
    hosts: { name: "pipelines", patterns: ["{pipeline}.pipelines"], publicHosts: ["{pipeline}.pipelines.cloudflare.com"] },
    jsonOnly: false,
    find: (id) => pipelines.find(id),
    async commit({ id }, body) {
      const { instance } = current(id);
      const shard = instance.next();
      if (!admit(`${id}/${shard.index}`, body.length)) throw ingestError("rateLimited", "The pipeline's ingest rate is exceeded");
      if (shard.journal.bytes > bufferMax) throw ingestError("bufferFull", "The pipeline's buffer is full: events cannot be delivered");
      const bytes = body.length;
      const batch = await encoder.encode(body, anyObject, clock.now(), "plain");
      if (batch === undefined) return 0;
      // Meanwhile the pipeline may have been changed: a version that was replaced takes no more events.
      const now = current(id).instance;
      await (now === instance ? shard : now.next()).append(batch);
      metrics.ingested(id, batch.count, bytes);
      return batch.count;
    },
  };
}
