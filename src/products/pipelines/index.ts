/**
 * Pipelines: events in as JSON, durably buffered, reshaped by SQL, out as files in R2 or rows of an Iceberg table, exactly
 * once. The new generation (stream → SQL → sink), and the one before it in `legacy/`; `README.md` has the guarantees and
 * the path of an event.
 */
import type { Product } from "../../kernel/product.ts";
import { pipelinesBinding } from "./binding.ts";
import { openEncoder } from "./encoder.ts";
import { openIngest } from "./ingest.ts";
import { legacyIntake } from "./legacy/legacy-intake.ts";
import { openLegacyMetrics } from "./legacy/legacy-metrics.ts";
import { openLegacyPipelines } from "./legacy/legacy-pipelines.ts";
import { legacyRoutes } from "./legacy/routes.ts";
import { openMetrics } from "./metrics.ts";
import { migrations } from "./migrations.ts";
import { openPipelines } from "./pipelines.ts";
import { pipelinesRoutes } from "./routes.ts";
import { openSinks } from "./sinks.ts";
import { streamIntake } from "./stream-intake.ts";
import { openStreams } from "./streams.ts";
import { openTails } from "./tails.ts";

export const pipelines = {
  name: "pipelines",
  status: "beta",
  needs: ["objects", "tables"],
  migrations,
  permissions: [
    { id: "3f8a2b5c9d1e4f70a6b2c8d4e0f61a01", name: "Workers Pipelines Read", scopes: ["com.cloudflare.api.account"] },
    { id: "3f8a2b5c9d1e4f70a6b2c8d4e0f61a02", name: "Workers Pipelines Write", scopes: ["com.cloudflare.api.account"] },
    { id: "3f8a2b5c9d1e4f70a6b2c8d4e0f61a03", name: "Workers Pipelines Send", scopes: ["com.cloudflare.api.account"] },
  ],
  async start(kernel) {
    const { meta, journals, clock, config, secrets, auth, log, mint } = kernel;
    const [objects, tables] = [kernel.get("objects"), kernel.get("tables")];
    const streams = await openStreams(meta, journals, clock, config["pipelines.streams_max"]);
    const sinks = await openSinks(meta, secrets, clock, config["pipelines.sinks_max"]);
    const metrics = openMetrics(meta, clock);
    const flows = await openPipelines(kernel, objects, tables, streams, sinks, metrics);
    const legacyMetrics = openLegacyMetrics(meta, clock, log);
    const legacy = await openLegacyPipelines(kernel, objects, legacyMetrics);
    const tails = openTails(clock);
    const encoder = openEncoder();
    const ingest = openIngest(auth, config, log);
    const door = ingest.door(streamIntake(streams, encoder, tails, clock, config));
    const legacyDoor = ingest.door(legacyIntake(legacy, encoder, legacyMetrics, clock, config));
    return {
      routes: [...pipelinesRoutes({ kernel, streams, sinks, pipelines: flows, tails, objects, tables }), ...legacyRoutes(kernel, legacy)],
      hosts: [door.host, legacyDoor.host],
      datasets: { ...metrics.datasets, ...legacyMetrics.datasets },
      bindings: { pipelines: pipelinesBinding(streams, flows, legacy, mint) },
      internal: ({ stream, pipeline }, request, response) =>
        pipeline === undefined
          ? door.internal(String(stream), request, response)
          : legacyDoor.internal(String(pipeline), request, response),
      closing: () => tails.close(),
      async stop() {
        ingest.stop();
        await encoder.stop();
        await Promise.all([flows.stop(), legacy.stop()]);
        await legacyMetrics.stop();
      },
    };
  },
} satisfies Product;
