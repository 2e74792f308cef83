/**
 * The bindings that belong to Workers themselves: variables, secrets, blobs of the upload, assets, version metadata.
 * (Service bindings: `service-bindings.ts`.) Secrets are stored sealed and reach the process as environment variables,
 * so that they never lie readable on disk.
 */
import type { BlobId, BlobStore } from "../../kernel/blobs/blobs.ts";
import type { BindingCompiler, BindingConfig, KernelSlice } from "../../kernel/product.ts";
import { workersError } from "./errors.ts";
import type { ScriptStore } from "./store.ts";

/** Service name of the assets of a process; see `process.ts`. */
export const ASSETS_SERVICE = "assets";
/** Documented size of one variable or secret. */
const VARIABLE_MAX_BYTES = 5 * 1024;
const SECRET_PURPOSE = "workers.secret";

/** A variable's value as the API takes it; throws when it is no text or too large. */
export function variableText(name: string, value: unknown): string {
  if (typeof value !== "string") throw workersError("validation", `Binding "${name}" must have a \`text\` that is a string.`);
  // Neither an environment variable nor a config text can hold it.
  if (value.includes("\0")) throw workersError("validation", `Binding "${name}" must not contain the character U+0000.`);
  if (Buffer.byteLength(value) > VARIABLE_MAX_BYTES) {
    throw workersError("variableTooLarge", `Text binding '${name}' is too large. The limit is 5 KB.`);
  }
  return value;
}

/** What the API shows of a stored binding: nothing of a secret's value, nothing of where blobs lie. */
export function publicBinding(binding: BindingConfig): Record<string, unknown> {
  const { sealed: _sealed, blob: _blob, text, ...rest } = binding;
  return binding.type === "secret_text" ? rest : { ...rest, ...(text !== undefined && { text }) };
}

/** Seals a secret's value for storage. */
export const sealSecret = (kernel: KernelSlice, name: string, value: unknown): BindingConfig => ({
  type: "secret_text",
  name,
  sealed: kernel.secrets.seal(variableText(name, value), SECRET_PURPOSE),
});

/** A blob as a file for workerd's config. The directory backend's file stays for as long as the version does. */
async function fileOf(blobs: BlobStore, id: unknown): Promise<{ file: string }> {
  const local = await blobs.localFile(id as BlobId);
  await local.release();
  return { file: local.path };
}

export function workerBindings(kernel: KernelSlice, store: ScriptStore): Readonly<Record<string, BindingCompiler>> {
  const asIs = async (binding: BindingConfig): Promise<BindingConfig> => binding;
  const partBinding = (value: (file: { file: string }) => object): BindingCompiler => ({
    validate: asIs,
    compile: async (b) => ({ bindings: [{ name: b.name, ...value(await fileOf(kernel.blobs, b.blob)) } as never] }),
  });
  return {
    plain_text: {
      validate: async (b) => ({ type: b.type, name: b.name, text: variableText(b.name, b.text) }),
      compile: async (b) => ({ bindings: [{ name: b.name, text: b.text as string }] }),
    },
    json: {
      async validate(b) {
        const json = JSON.stringify(b.json);
        if (json === undefined) throw workersError("validation", `Binding "${b.name}" must have a \`json\` value.`);
        variableText(b.name, json);
        return { type: b.type, name: b.name, json: b.json };
      },
      compile: async (b) => ({ bindings: [{ name: b.name, json: JSON.stringify(b.json) }] }),
    },
    secret_text: {
      // A stored secret comes back here when a later version inherits it.
      validate: async (b) => (b.sealed === undefined ? sealSecret(kernel, b.name, b.text) : b),
      async compile(b) {
        const variable = `SECRET_${Buffer.from(b.name).toString("hex")}`;
        return {
          bindings: [{ name: b.name, fromEnvironment: variable }],
          environment: { [variable]: kernel.secrets.open(b.sealed as string, SECRET_PURPOSE) },
        };
      },
    },
    worker_loader: {
      validate: async (b) => ({ type: b.type, name: b.name }),
      compile: async (b) => ({ bindings: [{ name: b.name, workerLoader: {} }] }),
    },
    text_blob: partBinding((file) => ({ text: file })),
    data_blob: partBinding((file) => ({ data: file })),
    wasm_module: partBinding((file) => ({ wasmModule: file })),
    assets: {
      validate: async (b) => ({ type: b.type, name: b.name }),
      compile: async (b) => ({ bindings: [{ name: b.name, service: { name: ASSETS_SERVICE, entrypoint: "AssetWorker" } }] }),
    },
    version_metadata: {
      validate: async (b) => ({ type: b.type, name: b.name }),
      async compile(b, worker) {
        const version = await store.version(worker.scriptId, worker.versionId);
        // While an upload is probed its version is no row yet.
        const timestamp = new Date(version?.createdOn ?? kernel.clock.now()).toISOString();
        const metadata = { id: worker.versionId, tag: version?.annotations["workers/tag"] ?? "", timestamp };
        return { bindings: [{ name: b.name, json: JSON.stringify(metadata) }] };
      },
    },
  };
}
