/**
 * Runs an upload's top level once in a process of its own, with the bindings it will have, and learns what it exports.
 * Whatever workerd says against it becomes the error of the upload (10021); nothing that serves is touched.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "undici";
import { PlatformError } from "../../kernel/errors.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import type { Module, WorkerdConfig } from "../../kernel/workerd/config.ts";
import { workerModule } from "../../kernel/workerd/module.ts";
import type { ProcessSpec } from "../../kernel/workerd/runtime.ts";
import { workersError } from "./errors.ts";
import type { ExportInfo, Script, Version } from "./model.ts";
import { compileBindings, internet, type PlanContext, userCode } from "./process.ts";
import { exportCandidates } from "./python/exports.ts";
import { mainModule } from "./python/modules.ts";

export interface ProbeResult {
  readonly exports: readonly ExportInfo[];
  readonly startupTimeMs: number;
}

const PROBE_MODULE = "freehold-probe.js";
/** What Python itself may use before a Worker's top level runs: its program is compiled, on several threads. */
const PYTHON_START_CPU_MS = 10_000;

/** Throws `workers.validation` with workerd's words when the code does not start. */
export async function probe(
  context: PlanContext,
  script: Pick<Script, "id" | "name">,
  version: Version,
  classes: readonly { readonly className: string; readonly sqlite: boolean }[],
): Promise<ProbeResult> {
  const { kernel } = context;
  const { runtime, clock } = kernel;
  const id = `probe-${version.id}`;
  // Objects of the probe are nobody's: they live in a directory that goes with it.
  const scratch = join(kernel.directory, "probe", version.id);
  await mkdir(scratch, { recursive: true });
  const spec: ProcessSpec = {
    id,
    label: script.name,
    limits: {
      cpuMs: Number.POSITIVE_INFINITY,
      startCpuMs: kernel.config["workers.startup_cpu_ms"] + (version.syntax === "python" ? PYTHON_START_CPU_MS : 0),
      aliveSocket: "http",
    },
    plan: async (socket) => {
      const parts = await compileBindings(context, { script, version });
      const config: WorkerdConfig = {
        services: [
          internet(kernel),
          ...(parts.services ?? []),
          { name: "probe-objects", disk: { path: scratch, writable: true } },
          ...(version.assets === undefined ? [] : [{ name: "assets", assets: { path: scratch, config: "{}", userWorker: "user" } }]),
          {
            name: "user",
            worker: {
              ...(await probeCode(context, version, classes)),
              bindings: parts.bindings,
              durableObjectNamespaces: context.durableObjects.previewNamespaces(classes),
              ...(classes.length > 0 && { durableObjectStorage: "probe-objects" }),
            },
          },
        ],
        sockets: [{ name: "http", address: `unix:${socket("http")}`, http: {}, service: "user" }],
        ...(parts.extensions && { extensions: parts.extensions }),
      };
      return { config, environment: parts.environment ?? {} };
    },
  };
  const startedAt = clock.now();
  runtime.define(spec);
  try {
    const lease = await runtime.lease(id);
    const startupTimeMs = Math.max(1, clock.now() - startedAt);
    try {
      const exports =
        mainModule(version) === undefined ? exportsIn(await mainSource(kernel, version)) : await askExports(lease.socket("http"));
      return { exports, startupTimeMs };
    } finally {
      lease.release();
    }
  } catch (error) {
    if (error instanceof PlatformError && error.code === "runtime.startFailed") {
      if (/No event handlers were registered/.test(error.message)) throw workersError("noHandlers", undefined, { cause: error });
      throw workersError("validation", validationText(error.message), { cause: error });
    }
    throw error;
  } finally {
    await runtime.remove(id);
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The code under a main module that imports it and tells what it exports. */
async function probeCode(
  context: PlanContext,
  version: Version,
  classes: readonly { readonly className: string }[],
): ReturnType<typeof userCode> {
  const uploaded = mainModule(version);
  if (uploaded === undefined) return userCode(context, version);
  const names =
    version.syntax === "python"
      ? [...new Set([...exportCandidates(await mainSource(context.kernel, version)), ...classes.map(({ className }) => className)])]
      : undefined;
  const code = await userCode(context, version, names);
  const source = workerModule(import.meta.url, "./probe.worker.ts").replaceAll('"freehold-uploaded-main"', JSON.stringify(`./${uploaded}`));
  const main: Module = { name: PROBE_MODULE, esModule: source };
  return { ...code, modules: [main, ...(code.modules ?? [])] };
}

async function askExports(socketPath: string): Promise<ExportInfo[]> {
  const client = new Client("http://probe", { socketPath });
  try {
    const answer = await client.request({ method: "GET", path: "/" });
    return ((await answer.body.json()) as { exports: ExportInfo[] }).exports;
  } finally {
    await client.close();
  }
}

async function mainSource(kernel: KernelSlice, version: Version): Promise<string> {
  const blob = version.modules[0]?.blob;
  return blob === undefined ? "" : Buffer.from(await kernel.blobs.bytes(blob)).toString("utf8");
}

/** What code in service-worker syntax has, which no module can import and ask: handlers are registered by call. */
function exportsIn(source: string): ExportInfo[] {
  const handlers = new Set([...source.matchAll(/addEventListener\(\s*["'`](\w+)["'`]/g)].map((match) => match[1] as string));
  return [{ name: "default", type: "object", handlers: [...handlers] }];
}

/** workerd's words, without what only concerns the process. */
function validationText(words: string): string {
  const lines = words.split("\n").map((line) => line.replace(/^service user: /, ""));
  const told = lines.filter((line) => line.trim() !== "" && !/^workerd\/|config\.capnp|warning:/.test(line));
  const text = (told.length > 0 ? told : lines).join("\n").replaceAll(`imported from "${PROBE_MODULE}"`, "").trim();
  if (/did not serve within/.test(text)) return "Script startup exceeded CPU time limit.";
  return text;
}
