/** Events into a stream: rate, buffer, check, one append to its journal. Requests of one moment share an fsync in the journal. */
import type { Clock } from "../../kernel/clock.ts";
import type { Config } from "../../kernel/config.ts";
import { commitBatch } from "./commit.ts";
import type { Encoder } from "./encoder.ts";
import { ingestError } from "./errors.ts";
import type { Intake } from "./ingest.ts";
import { rateLimit } from "./rate-limit.ts";
import type { Stream, Streams } from "./streams.ts";
import type { Tails } from "./tails.ts";

export function streamIntake(streams: Streams, encoder: Encoder, tails: Tails, clock: Clock, config: Config): Intake<Stream> {
  const admit = rateLimit(config["pipelines.rate_max_bytes_per_s"], clock);
  const bufferMax = config["pipelines.buffer_max_bytes"];
  return {
    noun: "stream",
    hosts: { name: "ingest", patterns: ["{stream}.ingest"], publicHosts: ["{stream}.ingest.cloudflare.com"] },
    jsonOnly: true,
    find: (id) => streams.find(id),
    async commit(stream, body) {
      if (!admit(stream.id, body.length)) throw ingestError("rateLimited");
      if (stream.journal.bytes > bufferMax) throw ingestError("bufferFull");
      const now = clock.now();
      const batch = await encoder.encode(body, stream, now);
      if (batch === undefined) return 0;
      await commitBatch(stream.journal, batch);
      tails.publish(stream.id, batch, now);
      return batch.count;
    },
  };
}
