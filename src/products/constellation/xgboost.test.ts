import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { ModelError } from "./tensors.ts";
import { loadXgboost } from "./xgboost.ts";

interface Model {
  readonly learner: {
    readonly objective: object;
    readonly learner_model_param: object;
    readonly gradient_booster: { readonly model: { readonly trees: Record<string, unknown[]>[] } };
  };
}

interface Golden {
  readonly rows: readonly (number | null)[][];
  readonly cases: readonly {
    readonly name: string;
    readonly model: object;
    readonly prediction: readonly number[];
    readonly shape: number[];
  }[];
}

const file = new URL("../../../test/golden/constellation/xgboost.json", import.meta.url);
const { rows, cases } = JSON.parse(await readFile(file, "utf8")) as Golden;
const bytesOf = (model: unknown): Uint8Array => Buffer.from(JSON.stringify(model));

for (const { name, model, prediction, shape } of cases) {
  test(`predictions are XGBoost's own, also for rows with missing values: ${name}`, async () => {
    const data = Float32Array.from(rows.flat(), (value) => value ?? Number.NaN);
    const input = { type: "float32", shape: [rows.length, 4], data, name: undefined } as const;
    const [output] = await loadXgboost(bytesOf(model)).run(new Map([["", input]]));
    assert.deepEqual(output?.shape, shape);
    for (const [at, value] of prediction.entries()) assert.ok(Math.abs(Number(output?.data[at]) - value) < 1e-6, `${at}`);
  });
}

test("files that are no trees are refused", () => {
  const changed = (change: (tree: Record<string, unknown[]>, learner: Model["learner"]) => void): Uint8Array => {
    const model = structuredClone(cases[0]?.model) as Model;
    change(model.learner.gradient_booster.model.trees[0] as Record<string, unknown[]>, model.learner);
    return bytesOf(model);
  };
  const refused: [Uint8Array, RegExp][] = [
    [Buffer.from("binf"), /no JSON/],
    [bytesOf({}), /learner/],
    [changed((tree) => Object.assign(tree.left_children as unknown[], { 1: 0 })), /two parents/],
    [changed((tree) => Object.assign(tree.left_children as unknown[], { 1: 999 })), /no node 999/],
    [changed((tree) => Object.assign(tree.right_children as unknown[], { 1: -7 })), /no node -7/],
    [changed((tree) => Object.assign(tree.split_indices as unknown[], { 0: 4 })), /more than the 4 features/],
    [changed((tree) => tree.default_left?.pop()), /not equally long/],
    [changed((tree) => Object.assign(tree.split_type as unknown[], { 0: 1 })), /splits by category/],
    [changed((_, learner) => Object.assign(learner.objective, { name: "survival:aft" })), /objective "survival:aft"/],
    [changed((_, learner) => Object.assign(learner.gradient_booster, { name: "gblinear" })), /booster "gblinear"/],
    [changed((_, learner) => Object.assign(learner.learner_model_param, { num_class: "999999999" })), /classes/],
    [changed((_, learner) => Object.assign(learner.learner_model_param, { base_score: "[1,2]" })), /base_score/],
  ];
  for (const [bytes, message] of refused) assert.throws(() => loadXgboost(bytes), { constructor: ModelError, message });
});
