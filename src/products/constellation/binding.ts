/**
 * The binding type "constellation": runs of a project's models. The client library posts tensors as JSON, packed by gzip, to
 * `/run` and says which model in a header; what is wrong comes back with its status in the API's envelope.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { bodyChunks } from "../../kernel/api/body.ts";
import { failureOf } from "../../kernel/api/envelope.ts";
import type { BindingCompiler, BindingConfig, CapabilityMint, Claims, KernelSlice } from "../../kernel/product.ts";
import { workerModule } from "../../kernel/workerd/module.ts";
import type { Catalog } from "./catalog.ts";
import type { Engine } from "./engine.ts";
import { constellationError } from "./errors.ts";
import type { Projects } from "./projects.ts";

const MODULE = "freehold:constellation";
const OP = "constellation.run";
/** Bodies of all runs that are under way. */
const BODIES_MAX_BYTES = 256 * 1024 * 1024;

const unpack = promisify(gunzip);

export function constellationBinding(projects: Projects, mint: CapabilityMint): BindingCompiler {
  return {
    async validate(binding) {
      const project = projectOf(binding);
      await projects.find(project).catch((cause: unknown) => {
        throw constellationError("binding", `Binding "${binding.name}": there is no Constellation project "${project}".`, { cause });
      });
      return { type: binding.type, name: binding.name, project };
    },
    async compile(binding) {
      const project = projectOf(binding);
      const service = `constellation:${project}`;
      return {
        bindings: [{ name: binding.name, wrapped: { moduleName: MODULE, innerBindings: [{ name: "project", service }] } }],
        services: [mint.node(service, { project })],
        extensions: [{ name: MODULE, esModule: workerModule(import.meta.url, "./binding.worker.ts"), internal: true }],
      };
    },
  };
}

const projectOf = ({ project }: BindingConfig): string => (typeof project === "string" ? project : "");

export function constellationServer(deps: {
  readonly kernel: Pick<KernelSlice, "config" | "log">;
  readonly projects: Projects;
  readonly catalog: Catalog;
  readonly engine: Engine;
}) {
  const { kernel, projects, catalog, engine } = deps;
  const maxBytes = kernel.config["constellation.input_max_bytes"];
  const limits = { maxBytes, idleTimeoutMs: kernel.config["gateway.body_idle_timeout_ms"] };
  /** Bytes of bodies that are in memory. */
  let held = 0;

  /** The JSON of the run: its caller gives the bytes back to `held`. */
  async function bodyOf(request: IncomingMessage, hold: (bytes: number) => void): Promise<Uint8Array<ArrayBuffer>> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of bodyChunks(request, limits)) {
      hold(chunk.byteLength);
      chunks.push(chunk);
    }
    const bytes = Buffer.concat(chunks);
    if (request.headers["content-encoding"] !== "gzip") return new Uint8Array(bytes);
    const unpacked = await unpack(bytes, { maxOutputLength: maxBytes }).catch((cause: NodeJS.ErrnoException) => {
      throw cause.code === "ERR_BUFFER_TOO_LARGE"
        ? constellationError("runTooLarge", `The tensors have more than ${maxBytes} bytes as JSON`)
        : constellationError("runInvalid", "The body is not packed by gzip", { cause });
    });
    hold(unpacked.byteLength);
    return new Uint8Array(unpacked);
  }

  async function run(claims: Claims, request: IncomingMessage, hold: (bytes: number) => void): Promise<Uint8Array> {
    if (request.method !== "POST" || request.url?.split("?")[0] !== "/run")
      throw constellationError("runInvalid", `${request.method} ${request.url} is not implemented by this version of Freehold`);
    const id = String(request.headers["cf-consn-model-id"] ?? "");
    const model = catalog.file(id) ?? (await projects.file(claims.project as string, id));
    return engine.run(model, await bodyOf(request, hold));
  }

  return async (claims: Claims, request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let mine = 0;
    const hold = (bytes: number): void => {
      mine += bytes;
      held += bytes;
      if (held > BODIES_MAX_BYTES) throw constellationError("busy");
    };
    try {
      const body = await run(claims, request, hold);
      response.writeHead(200, { "content-type": "application/json", "content-length": body.byteLength }).end(body);
    } catch (error) {
      request.resume();
      const failed = failureOf(error, OP, kernel.log);
      response.writeHead(failed.status, { "content-type": "application/json" }).end(await failed.text());
    } finally {
      held -= mine;
    }
  };
}
