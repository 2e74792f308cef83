/**
 * The thread of one model: loads it, then answers runs one after another. All that is a model's or a Worker's is read here and not
 * on the platform's own thread, which ends this one when it takes too long or too much.
 */
import { parentPort, workerData } from "node:worker_threads";
import { loadOnnx, RuntimeMissing } from "./onnx.ts";
import type { Predictor, RuntimeName } from "./predictor.ts";
import { ModelError, type NumberTensor, tensorsOf, tensorsText } from "./tensors.ts";
import { loadXgboost } from "./xgboost.ts";

export interface ThreadData {
  readonly runtime: RuntimeName;
  readonly bytes: Uint8Array;
  readonly onnxruntime: string;
  readonly memoryBytes: number;
  /** ONNX Runtime, compiled by an earlier thread. */
  readonly compiled?: object | undefined;
}

/** The first reply tells that the model is loaded, each further one answers a run. */
export type Reply =
  | { readonly ok: true; readonly body: Uint8Array<ArrayBuffer>; readonly compiled?: object | undefined }
  /** "model": what is wrong with the model or its inputs; "runtime": it is not installed; "failure": anything else. */
  | { readonly ok: false; readonly kind: "model" | "runtime" | "failure"; readonly message: string };

const { runtime, bytes, onnxruntime: packageDirectory, memoryBytes, compiled } = workerData as ThreadData;

const loading: Promise<{ predictor: Predictor; compiled?: object | undefined }> =
  runtime === "ONNX"
    ? loadOnnx(bytes, { packageDirectory, memoryBytes, compiled })
    : Promise.resolve().then(() => ({ predictor: loadXgboost(bytes) }));

/** Named inputs go where they are named, others to the model's input at their place. */
function byName(tensors: readonly NumberTensor[], names: readonly string[] | undefined): Map<string, NumberTensor> {
  if (names === undefined) {
    if (tensors.length !== 1) throw new ModelError(`the model takes one input, not ${tensors.length}`);
    return new Map([["", tensors[0] as NumberTensor]]);
  }
  const inputs = new Map<string, NumberTensor>();
  tensors.forEach((tensor, index) => {
    const name = tensor.name ?? names[index];
    if (name === undefined) throw new ModelError(`the model takes ${names.length} inputs, not ${tensors.length}`);
    if (!names.includes(name)) throw new ModelError(`the model has no input '${name}'`);
    if (inputs.has(name)) throw new ModelError(`input '${name}' is given twice`);
    inputs.set(name, tensor);
  });
  for (const name of names) if (!inputs.has(name)) throw new ModelError(`input '${name}' is missing in 'feeds'.`);
  return inputs;
}

async function reply(work: () => Promise<Reply>): Promise<void> {
  const answer = await work().catch((error: unknown): Reply => {
    const kind = error instanceof ModelError ? "model" : error instanceof RuntimeMissing ? "runtime" : "failure";
    return { ok: false, kind, message: error instanceof Error ? error.message : String(error) };
  });
  parentPort?.postMessage(answer, answer.ok ? [answer.body.buffer] : []);
}

await reply(async () => ({ ok: true, body: new Uint8Array(), compiled: (await loading).compiled }));
// Only one run is asked for at a time.
parentPort?.on("message", (body: Uint8Array) =>
  reply(async () => {
    const { predictor } = await loading;
    const inputs = byName(tensorsOf(new TextDecoder().decode(body)), predictor.inputs);
    return { ok: true, body: new TextEncoder().encode(tensorsText(await predictor.run(inputs))) };
  }),
);
