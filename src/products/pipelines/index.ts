/**
 * Pipelines: events in as JSON, durably buffered, reshaped by SQL, out as files in R2 or rows of an Iceberg table, exactly
 * once. The new generation (stream → SQL → sink); `README.md` has the guarantees and the path of an event.
 */
import type { Product } from "../../kernel/product.ts";
import { pipelinesBinding } from "./binding.ts";
import { openIngest } from "./ingest.ts";
import { openMetrics } from "./metrics.ts";
import { migrations } from "./migrations.ts";
import { openPipelines } from "./pipelines.ts";
import { pipelinesRoutes } from "./routes.ts";
import { openSinks } from "./sinks.ts";
import { streamIntake } from "./stream-intake.ts";
import { openStreams } from "./streams.ts";

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
    const ingest = openIngest(auth, config, log);
    const door = ingest.door(streamIntake(streams, clock, config));
    return {
      routes: pipelinesRoutes({ kernel, streams, sinks, pipelines: flows, objects, tables }),
      hosts: [door.host],
      datasets: metrics.datasets,
      bindings: { pipelines: pipelinesBinding(streams, flows, mint) },
      internal: (claims, request, response) => door.internal(String(claims.stream), request, response),
      async stop() {
        ingest.stop();
        await flows.stop();
      },
    };
  },
} satisfies Product;
