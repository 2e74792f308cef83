/** Events into a legacy pipeline: an array of JSON objects, to the shard whose turn it is. Any content type: `curl -d` sends that of a form. */
import type { Clock } from "../../../kernel/clock.ts";
import type { Config } from "../../../kernel/config.ts";
import { ingestError } from "../errors.ts";
import type { Intake } from "../ingest.ts";
import { rateLimit } from "../rate-limit.ts";
import type { RecordCheck } from "../record-check.ts";
import { encodeBatch } from "../records.ts";
import type { LegacyMetrics } from "./legacy-metrics.ts";
import type { LegacyPipeline, LegacyPipelines } from "./legacy-pipelines.ts";

/** Every object passes, and nothing else. */
const anyObject: RecordCheck = () => undefined;

export function legacyIntake(pipelines: LegacyPipelines, metrics: LegacyMetrics, clock: Clock, config: Config): Intake<LegacyPipeline> {
  const admit = rateLimit(config["pipelines.shard_rate_max_bytes_per_s"], clock);
  const bufferMax = config["pipelines.buffer_max_bytes"];
  return {
    noun: "pipeline",
    hosts: { name: "pipelines", patterns: ["{pipeline}.pipelines"], publicHosts: ["{pipeline}.pipelines.cloudflare.com"] },
    jsonOnly: false,
    find: (id) => pipelines.find(id),
    async commit({ id }, body) {
      // While the body came in, the pipeline may have been changed or deleted. From here to the append nothing waits.
      const pipeline = pipelines.find(id);
      if (pipeline === undefined) throw ingestError("notFound", "Pipeline does not exist");
      const shard = pipeline.instance.next();
      if (!admit(`${id}/${shard.index}`, body.length)) throw ingestError("rateLimited", "The pipeline's ingest rate is exceeded");
      if (shard.journal.bytes > bufferMax) throw ingestError("bufferFull", "The pipeline's buffer is full: events cannot be delivered");
      const batch = encodeBatch(body, anyObject, clock.now(), "plain");
      if (batch === undefined) return 0;
      await shard.append(batch);
      metrics.ingested(id, batch.count, body.length);
      return batch.count;
    },
  };
}
