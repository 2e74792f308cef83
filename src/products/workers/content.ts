/**
 * The code of a Worker apart from its configuration: as the API gives it back, a form with one part a module or the bare
 * script; and new code that takes over the configuration of the code before.
 */
import type { KernelSlice } from "../../kernel/product.ts";
import { workersError } from "./errors.ts";
import type { ModuleKind, Version } from "./model.ts";
import type { LiveScript } from "./store.ts";
import type { Upload, UploadMetadata } from "./upload.ts";

const MIME: Readonly<Record<ModuleKind, string>> = {
  esm: "application/javascript+module",
  commonjs: "application/javascript",
  wasm: "application/wasm",
  text: "text/plain",
  data: "application/octet-stream",
  json: "application/json",
  python: "text/x-python",
  "python-requirement": "text/x-python-requirement",
  "source-map": "application/source-map",
};

export async function scriptContent(kernel: KernelSlice, { versions }: LiveScript): Promise<Response> {
  const version = versions[0];
  const main = version?.modules[0];
  if (version === undefined || main === undefined) throw workersError("notFound");
  if (version.syntax === "service-worker") {
    const bytes = await kernel.blobs.bytes(main.blob);
    return new Response(bytes as Uint8Array<ArrayBuffer>, { headers: { "content-type": "application/javascript", etag: version.etag } });
  }
  const form = new FormData();
  for (const { name, kind, blob } of version.modules) {
    const bytes = await kernel.blobs.bytes(blob);
    form.append(name, new Blob([bytes as Uint8Array<ArrayBuffer>], { type: MIME[kind] }), name);
  }
  const response = new Response(form);
  response.headers.set("cf-entrypoint", version.main);
  response.headers.set("etag", version.etag);
  return response;
}

/** The upload's code under everything else that the Worker has: bindings, assets, compatibility, limits, settings. */
export function withConfigurationOf({ script }: LiveScript, latest: Version, upload: Upload): Upload {
  const { main_module, body_part, annotations } = upload.metadata;
  const { observability, tail_consumers, streaming_tail_consumers } = script.settings;
  const kept = {
    compatibility_date: latest.compatibilityDate,
    compatibility_flags: [...latest.compatibilityFlags],
    limits: latest.limits,
    placement: latest.placement,
    observability,
    tail_consumers: [...tail_consumers],
    streaming_tail_consumers: [...streaming_tail_consumers],
    keep_assets: latest.assets !== undefined,
  };
  return {
    ...upload,
    metadata: { main_module, body_part, annotations, bindings: [], keep_bindings: [], ...kept } as UploadMetadata,
    bindings: latest.bindings.map(({ name }) => ({ type: "inherit", name })),
  };
}

/** The changes of settings over everything that the Worker has; bindings stay where none are given. */
export async function withChangedSettings(kernel: KernelSlice, live: LiveScript, latest: Version, change: Upload): Promise<Upload> {
  const kept = withConfigurationOf(live, latest, change);
  const { bindings: _, compatibility_flags: flags, keep_bindings: __, keep_assets: ___, ...given } = change.metadata;
  const changed = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== null));
  const metadata = { ...kept.metadata, ...changed, ...(flags.length > 0 && { compatibility_flags: flags }) };
  const bindings = change.bindings.length > 0 ? change.bindings : kept.bindings;
  return withCodeOf(kernel, latest, { ...kept, bindings, metadata });
}

/** The configuration of an upload without code, over the code that the Worker has. */
export async function withCodeOf(kernel: KernelSlice, latest: Version, upload: Upload): Promise<Upload> {
  const modules = await Promise.all(
    latest.modules.map(async ({ name, kind, blob }) => ({ name, kind, bytes: await kernel.blobs.bytes(blob) })),
  );
  const { metadata } = upload;
  const code = latest.syntax === "service-worker" ? { body_part: latest.main } : { main_module: latest.main };
  const compatibility = {
    compatibility_date: metadata.compatibility_date ?? latest.compatibilityDate,
    compatibility_flags: metadata.compatibility_flags.length > 0 ? metadata.compatibility_flags : [...latest.compatibilityFlags],
  };
  return { ...upload, modules, metadata: { ...metadata, ...compatibility, ...(latest.main !== "" && code) } };
}
