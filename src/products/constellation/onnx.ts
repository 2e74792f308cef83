/**
 * ONNX models by ONNX Runtime as WebAssembly, inside a model's thread. What a hostile file can reach is the WebAssembly's own
 * memory, which has an upper bound here; it has no files, so that data outside of the model is not found.
 */
import { createRequire } from "node:module";
import type { Predictor } from "./predictor.ts";
import { type Elements, ModelError, type NumberTensor, type TensorType } from "./tensors.ts";

/** What is used of onnxruntime-web, which is no dependency: the operator installs it. */
interface Ort {
  readonly env: { readonly wasm: { numThreads: number; wasmBinary?: Uint8Array } };
  readonly Tensor: new (type: string, data: Elements, shape: readonly number[]) => OrtTensor;
  readonly InferenceSession: { create(bytes: Uint8Array, options: { readonly logSeverityLevel: 4 }): Promise<OrtSession> };
}

interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: Elements;
}

interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(inputs: Readonly<Record<string, OrtTensor>>): Promise<Readonly<Record<string, OrtTensor>>>;
}

/** Of the global that Node's types do not have. */
interface WebAssemblyApi {
  Memory: new (descriptor: MemoryDescriptor) => object;
  instantiate: (source: object, imports: object) => Promise<{ module: object; instance: object }>;
}

interface MemoryDescriptor {
  readonly initial: number;
  readonly maximum?: number;
  readonly shared?: boolean;
}

const wasm = (globalThis as unknown as { readonly WebAssembly: WebAssemblyApi }).WebAssembly;

const PAGE_BYTES = 64 * 1024;

/** Thrown when the package is not there. */
export class RuntimeMissing extends Error {}

export interface OnnxOptions {
  /** That of onnxruntime-web; empty: it is found beside Freehold. */
  readonly packageDirectory: string;
  readonly memoryBytes: number;
  /** The runtime, compiled by an earlier thread: a `WebAssembly.Module`. */
  readonly compiled: object | undefined;
}

/** Throws a `ModelError` for what is no model, `RuntimeMissing` without the package. */
export async function loadOnnx(
  bytes: Uint8Array,
  { packageDirectory, memoryBytes, compiled }: OnnxOptions,
): Promise<{ predictor: Predictor; compiled: object | undefined }> {
  boundMemory(Math.floor(memoryBytes / PAGE_BYTES));
  const ort = runtime(packageDirectory);
  // Its threads would be more of ours.
  ort.env.wasm.numThreads = 1;
  const compiledNow = shareModule(ort, compiled);
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 4 }).catch(refused);
  const predictor: Predictor = {
    inputs: session.inputNames,
    async run(inputs) {
      const feeds: Record<string, OrtTensor> = Object.create(null);
      for (const [name, { type, data, shape }] of inputs) feeds[name] = new ort.Tensor(type === "str" ? "string" : type, data, shape);
      const outputs = await session.run(feeds).catch(refused);
      return session.outputNames.map((name): NumberTensor => {
        const { type, data, dims } = outputs[name] as OrtTensor;
        return { name, type: (type === "string" ? "str" : type) as TensorType, shape: dims, data };
      });
    },
  };
  return { predictor, compiled: compiledNow() };
}

/** Most of what it takes to load a small model is compiling the runtime: once is enough for all threads. Gives the compiled module. */
function shareModule(ort: Ort, compiled: object | undefined): () => object | undefined {
  const { instantiate } = wasm;
  let module = compiled;
  // Else it reads the file of 14 MB again.
  if (compiled !== undefined) ort.env.wasm.wasmBinary = new Uint8Array();
  wasm.instantiate = async (source, imports) => {
    if (compiled !== undefined) return { module: compiled, instance: await instantiate(compiled, imports) };
    const made = await instantiate(source, imports);
    module = made.module;
    return made;
  };
  return () => module;
}

function runtime(packageDirectory: string): Ort {
  const from = packageDirectory === "" ? import.meta.url : `${packageDirectory}/package.json`;
  try {
    return createRequire(from)("onnxruntime-web") as Ort;
  } catch (cause) {
    throw new RuntimeMissing("onnxruntime-web is not installed", { cause });
  }
}

/** The runtime asks for a memory that may grow to 4 GiB. This thread is the model's alone, so that its globals may be changed. */
function boundMemory(pagesMax: number): void {
  const { Memory } = wasm;
  wasm.Memory = class extends Memory {
    constructor({ maximum = pagesMax, ...rest }: MemoryDescriptor) {
      super({ ...rest, maximum: Math.min(maximum, pagesMax) });
    }
  };
}

/** The runtime's words, which say what is wrong with the model or the inputs. After a trap its memory is not to be trusted any more. */
function refused(cause: unknown): never {
  if (!(cause instanceof Error) || cause.name === "RuntimeError") throw cause;
  const text = /ERROR_MESSAGE: (.+)$/s.exec(cause.message)?.[1] ?? cause.message;
  throw new ModelError(text.slice(0, 1000), { cause });
}
