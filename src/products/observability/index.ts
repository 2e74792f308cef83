/**
 * Workers observability: logs and traces of Workers, kept as each Worker's settings say and queried by the API that the
 * dashboard, the official SDK and the observability MCP server use. What is gathered comes from the Workers product by the
 * `telemetry` capability. README.md has the path of an event and what is promised.
 */
import type { Telemetry } from "../../kernel/capabilities.ts";
import type { KernelSlice, Product, RunningProduct } from "../../kernel/product.ts";
import { openDestinations } from "./destinations.ts";
import { eventsOf, outputRows } from "./invocation-events.ts";
import { migrations } from "./migrations.ts";
import { queryEngine } from "./query-engine.ts";
import { observabilityRoutes, READ, WRITE } from "./routes.ts";
import { savedQueries } from "./saved-queries.ts";
import { destinationsOf, ratesOf, settingsOf } from "./settings.ts";
import { openEventStore } from "./store.ts";

export const observability = {
  name: "observability",
  status: "beta",
  provides: ["telemetry"],
  migrations,
  permissions: [
    { id: "5b1c0e9a7d3f42c8a6e4f10b92d7c301", name: "Workers Observability Read", scopes: ["com.cloudflare.api.account"] },
    { id: "5b1c0e9a7d3f42c8a6e4f10b92d7c302", name: "Workers Observability Write", scopes: ["com.cloudflare.api.account"] },
  ],
  start,
} satisfies Product;

async function start(kernel: KernelSlice): Promise<RunningProduct> {
  const { accountId, clock, config, log, meta } = kernel;
  const store = await openEventStore(kernel);
  const engine = queryEngine(store, config["observability.query_timeout_ms"]);
  const saved = savedQueries(meta, clock);
  let workers: Parameters<Telemetry["addWorkers"]>[0] = () => [];
  const destinations = await openDestinations(kernel, { read: READ, write: WRITE }, (slug) =>
    workers()
      .filter(({ settings }) => destinationsOf(settingsOf(settings)).includes(slug))
      .map(({ scriptName }) => scriptName),
  );
  const telemetry: Telemetry = {
    addWorkers(list) {
      workers = list;
    },
    plan: (settings) => ratesOf(settingsOf(settings)),
    recordOutput(origin, lines) {
      try {
        store.add(outputRows(accountId, origin, lines));
      } catch (error) {
        log.error("observability.not_recorded", { worker: origin.scriptName, error });
      }
    },
    record(worker, invocations) {
      try {
        const settings = settingsOf(worker.settings);
        const events = invocations.map((invocation) => eventsOf(accountId, worker, settings, invocation));
        destinations.export(
          settings.logs?.destinations ?? [],
          "logs",
          events.flatMap(({ logs }) => logs),
        );
        destinations.export(
          settings.traces?.destinations ?? [],
          "traces",
          events.flatMap(({ spans }) => spans),
        );
        store.add(
          events.flatMap(({ logs, spans }) => [...(settings.logs?.persist ? logs : []), ...(settings.traces?.persist ? spans : [])]),
        );
      } catch (error) {
        log.error("observability.not_recorded", { worker: worker.scriptName, error });
      }
    },
  };
  return {
    routes: [...observabilityRoutes({ kernel, engine, saved }), ...destinations.routes],
    offers: { telemetry },
    async stop() {
      await destinations.stop();
      await store.stop();
    },
  };
}
