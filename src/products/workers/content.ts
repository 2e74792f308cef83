/** The code of a Worker as the API gives it back: a form with one part a module, or the bare script. */
import type { KernelSlice } from "../../kernel/product.ts";
import { workersError } from "./errors.ts";
import type { ModuleKind } from "./model.ts";
import type { LiveScript } from "./store.ts";

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
