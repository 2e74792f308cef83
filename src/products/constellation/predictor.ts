/** A model that is loaded, whatever its runtime. Lives in the model's thread. */
import type { NumberTensor } from "./tensors.ts";

export interface Predictor {
  /** Names of the inputs, in the model's order; undefined when it takes one input by any name. */
  readonly inputs: readonly string[] | undefined;
  /** Inputs by name; `Map` because the names are a Worker's. Throws a `ModelError`. */
  run(inputs: ReadonlyMap<string, NumberTensor>): Promise<NumberTensor[]>;
}

export const RUNTIMES = ["ONNX", "XGBoost"] as const;
export type RuntimeName = (typeof RUNTIMES)[number];
