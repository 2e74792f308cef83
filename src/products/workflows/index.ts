/**
 * Workflows: durable execution of `WorkflowEntrypoint` classes. Instances and the results of their steps are rows in meta;
 * user code runs in the process of its Worker, told by the engine here what may run. `README.md` has the guarantees.
 */
import type { KernelSlice, Product, RunningProduct } from "../../kernel/product.ts";
import { workflowBinding } from "./binding.ts";
import { serveDoor } from "./door.ts";
import { driverParts } from "./driver.ts";
import { DAY_MS } from "./durations.worker.ts";
import { createEngine } from "./engine.ts";
import { openInstances } from "./instances.ts";
import { openLifecycle } from "./lifecycle.ts";
import { migrations } from "./migrations.ts";
import { startRetention } from "./retention.ts";
import { workflowRoutes } from "./routes.ts";
import { instanceRoutes } from "./routes-instances.ts";
import { startSchedules } from "./schedules.ts";
import { openSteps } from "./steps.ts";
import { openTransitions } from "./transitions.ts";
import { openWorkflows } from "./workflows.ts";

export const workflows = {
  name: "workflows",
  status: "beta",
  needs: ["dispatch", "queueSender"],
  migrations,
  start,
} satisfies Product;

async function start(kernel: KernelSlice): Promise<RunningProduct> {
  const { meta, clock, config, log, mint, blobs, leases } = kernel;
  const dispatch = kernel.get("dispatch");
  const workflows = await openWorkflows(meta, clock);
  const instances = openInstances(meta, clock);
  const steps = openSteps(meta, clock, leases);
  const transitions = openTransitions(meta, kernel.get("queueSender"));
  const valueMaxBytes = config["workflows.value_max_bytes"];
  const storedMaxBytes = config["workflows.stored_max_bytes"];
  const retentionMs = config["workflows.retention_days"] * DAY_MS;
  const engine = createEngine({
    meta,
    clock,
    log,
    workflows,
    instances,
    steps,
    dispatch,
    transitions,
    expires: (at) => retention.by(at),
    limits: {
      runningMax: config["workflows.running_max"],
      stepsDefault: config["workflows.steps_max"],
      valueMaxBytes,
      storedMaxBytes,
      hibernateAfterMs: config["workflows.hibernate_after_ms"],
      successRetentionMs: retentionMs,
      errorRetentionMs: retentionMs,
    },
  });
  const lifecycle = openLifecycle({
    meta,
    clock,
    instances,
    steps,
    engine,
    transitions,
    limits: { valueMaxBytes, queuedMax: config["workflows.queued_max"], createPerS: config["workflows.create_per_s_max"] },
  });
  const retention = startRetention(meta, clock, log, lifecycle.erase);
  dispatch.extend((worker) => driverParts(mint, worker));
  await engine.start();
  const schedules = startSchedules(workflows, lifecycle, clock, log);
  return {
    routes: [
      ...workflowRoutes({
        clock,
        workflows,
        instances,
        engine,
        dispatch,
        changed() {
          schedules.changed();
          retention.by(clock.now());
        },
      }),
      ...instanceRoutes({ clock, workflows, instances, steps, lifecycle, blobs }),
    ],
    bindings: { workflow: workflowBinding(mint) },
    internal: (claims, request, response) =>
      serveDoor({ workflows, lifecycle, engine, steps, blobs, leases, storedMaxBytes }, claims, request, response),
    check: async () => ({ ok: true, detail: `${workflows.list().length} workflows` }),
    async stop() {
      await schedules.stop();
      await engine.stop();
      await retention.stop();
    },
  };
}
