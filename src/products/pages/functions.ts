/**
 * The Worker of a deployment with Functions: wrangler has bundled them on the client, so that what comes is the upload of a
 * Worker, with the environment's bindings and `ASSETS`. It is a Worker of the product `workers` that Pages owns.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { OwnedWorkers } from "../../kernel/capabilities.ts";
import type { BindingCompiler, BindingConfig, Claims, KernelSlice } from "../../kernel/product.ts";
import { newestDate } from "../../kernel/workerd/newest-date.ts";
import { bindingsOf, configured, type DeploymentConfig, secretsOf } from "./deployment-config.ts";
import { pagesError } from "./errors.ts";

/** What Pages' Workers are called begins with this. */
export const OWNER = "pages:";
const ASSETS_TYPE = "pages_assets";

export const workerName = (project: string, deploymentId: string): string => `${OWNER}${project}:${deploymentId}`;

/** What the name of such a Worker says. */
export function partsOf(name: string): { readonly project: string; readonly deployment: string } {
  const [, project = "", deployment = ""] = name.split(":");
  return { project, deployment };
}

/** The code of a deployment, as the form carries it. */
export type FunctionsCode = { readonly bundle: Uint8Array } | { readonly script: string };

/** Makes the Worker; throws the errors of uploads. Resolves with the configuration that it has. */
export async function createFunctions(
  kernel: KernelSlice,
  workers: OwnedWorkers,
  name: string,
  code: FunctionsCode,
  environment: DeploymentConfig,
): Promise<DeploymentConfig> {
  let config = environment;
  await workers.create(name, "bundle" in code ? code.bundle : formOf(code.script), (metadata) => {
    // A configuration file in the project is the source of truth: its bindings are in the metadata.
    const given = Array.isArray(metadata.bindings) ? (metadata.bindings as BindingConfig[]) : undefined;
    if (given !== undefined) config = configured(environment, metadata, given);
    const bindings = given === undefined ? bindingsOf(config, kernel) : [...given, ...secretsOf(config, kernel)];
    return {
      main_module: metadata.main_module,
      bindings: [...bindings, { type: ASSETS_TYPE, name: "ASSETS" }],
      compatibility_date: config.always_use_latest_compatibility_date ? newestDate(kernel.clock.now()) : config.compatibility_date,
      compatibility_flags: config.compatibility_flags,
      ...(config.limits !== undefined && { limits: config.limits }),
      ...(config.placement !== undefined && { placement: config.placement }),
    };
  });
  return config;
}

/** `_worker.js` alone, as clients of old send it. */
function formOf(script: string): FormData {
  const form = new FormData();
  form.set("metadata", JSON.stringify({ main_module: "_worker.js" }));
  form.set("_worker.js", new File([script], "_worker.js", { type: "application/javascript+module" }));
  return form;
}

/** `env.ASSETS`: the files of the deployment whose Worker it is. No other Worker can have it. */
export function assetsBinding({ mint }: KernelSlice): Readonly<Record<string, BindingCompiler>> {
  return {
    [ASSETS_TYPE]: {
      async validate(binding, worker) {
        if (!worker.scriptName.startsWith(OWNER)) {
          throw pagesError("invalidDeployment", `The binding type "${ASSETS_TYPE}" belongs to deployments of Pages.`);
        }
        return { type: binding.type, name: binding.name };
      },
      async compile(binding, worker) {
        const service = `pages-assets:${binding.name}`;
        const { deployment } = partsOf(worker.scriptName);
        return { bindings: [{ name: binding.name, service }], services: [mint.node(service, { deployment })] };
      },
    },
  };
}

export const internalDoor =
  (assets: (deploymentId: string, request: IncomingMessage, response: ServerResponse) => Promise<void>) =>
  (claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> =>
    assets(String(claims.deployment), request, response);
