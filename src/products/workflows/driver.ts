/** What Workflows add to the process of a Worker that implements some: the driver, on a socket that only the platform reaches. */
import type { ProcessWorker } from "../../kernel/capabilities.ts";
import type { CapabilityMint, WorkerdParts } from "../../kernel/product.ts";
import { workerModules } from "../../kernel/workerd/module.ts";

export const DRIVER_SOCKET = "workflow-driver";
const DRIVER = "workflows:driver";
const ENGINE = "workflows:engine";
const COMPATIBILITY_DATE = "2026-01-01";
const PRESERVE_FLAG = "workflows_preserve_non_retryable_error_message";
const REPLACE_FLAG = "workflows_replace_non_retryable_error_message";
/** From this compatibility date on the first flag is on by itself (workerd 1.20261117.1). */
const PRESERVE_SINCE = "2026-05-14";

export function driverParts(mint: CapabilityMint, worker: ProcessWorker): WorkerdParts | undefined {
  const classes = worker.exports.filter(({ type }) => type === "workflow").map(({ name }) => name);
  if (classes.length === 0) return undefined;
  const flags = new Set(worker.compatibilityFlags);
  const preserve = flags.has(PRESERVE_FLAG) || (worker.compatibilityDate >= PRESERVE_SINCE && !flags.has(REPLACE_FLAG));
  return {
    bindings: [],
    services: [
      mint.node(ENGINE, { kind: "engine", script: worker.scriptId }),
      {
        name: DRIVER,
        worker: {
          modules: workerModules(
            import.meta.url,
            "./driver.worker.ts",
            "./run.worker.ts",
            "./step-config.worker.ts",
            "./durations.worker.ts",
            "./protocol.worker.ts",
            "./values.worker.ts",
          ),
          compatibilityDate: COMPATIBILITY_DATE,
          bindings: [
            { name: "ENGINE", service: ENGINE },
            { name: "PRESERVE_ERRORS", json: JSON.stringify(preserve) },
            ...classes.map((name) => ({ name: `class:${name}`, service: { name: worker.user, entrypoint: name } })),
          ],
        },
      },
    ],
    sockets: [{ name: DRIVER_SOCKET, service: DRIVER }],
  };
}
