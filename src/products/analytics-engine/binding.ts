/** The binding type "analytics_engine": `env.NAME.writeDataPoint(…)`, by a module of ours inside the Worker's process. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { BindingCompiler, BindingConfig, CapabilityMint, Claims } from "../../kernel/product.ts";
import { workerModule } from "../../kernel/workerd/module.ts";
import { analyticsError } from "./errors.ts";
import { limits, POINTS_MAX } from "./limits.ts";
import { type Points, REQUEST_MAX_BYTES } from "./points.ts";

const MODULE = "freehold:analytics-engine";
const NAME_MAX = 128;

export function datasetBinding(mint: CapabilityMint): BindingCompiler {
  return {
    perInvocation: { method: "writeDataPoint", max: POINTS_MAX, message: "Analytics Engine write limit exceeded." },
    async validate(binding) {
      return { type: binding.type, name: binding.name, dataset: datasetOf(binding) };
    },
    async compile(binding) {
      const dataset = datasetOf(binding);
      const service = `analytics-engine:${dataset}`;
      return {
        bindings: [
          {
            name: binding.name,
            wrapped: {
              moduleName: MODULE,
              innerBindings: [
                { name: "points", service },
                { name: "limits", json: JSON.stringify(limits) },
              ],
            },
          },
        ],
        services: [mint.node(service, { dataset })],
        extensions: [{ name: MODULE, esModule: workerModule(import.meta.url, "./binding.worker.ts"), internal: true }],
      };
    },
  };
}

/** Without a name of its own the dataset is called as the binding (docs/workers/wrangler/configuration). */
function datasetOf({ name, dataset = name }: BindingConfig): string {
  if (typeof dataset !== "string" || dataset === "" || dataset.length > NAME_MAX || /\p{Cc}/u.test(dataset))
    throw analyticsError("binding", `Binding "${name}": a dataset's name is a text of at most ${NAME_MAX} characters`);
  return dataset;
}

/** Takes points of a Worker: 200 when they are on disk, 503 when they are lost. */
export async function takePoints(points: Points, claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size <= REQUEST_MAX_BYTES) chunks.push(chunk as Buffer);
  }
  const status = size > REQUEST_MAX_BYTES ? 413 : await points.write(claims.dataset as string, Buffer.concat(chunks).toString("utf8"));
  response.writeHead(status, { "content-length": 0 }).end();
}
