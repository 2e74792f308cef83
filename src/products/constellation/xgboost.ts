/**
 * XGBoost models in JSON, as `Booster.save_model("….json")` writes them (XGBoost, Introduction to Model IO): trees on numbers,
 * gbtree and dart, walked in single precision as XGBoost does. Categories, linear boosters and trees of vectors are refused by name.
 * A file is not trusted: what is walked has been checked to be trees whose nodes exist.
 */
import { z } from "zod";
import type { Predictor } from "./predictor.ts";
import { ModelError, type NumberTensor } from "./tensors.ts";

const { fround } = Math;

/** The format writes its numbers as text here. */
const count = z.union([z.string().regex(/^\d{1,9}$/), z.number().int().nonnegative()]).transform(Number);
const numbers = z.array(z.number());
/** Booleans: 0 and 1 since version 1.6 of XGBoost, false and true before. */
const flags = z.array(z.union([z.number(), z.boolean()]));
const treeSchema = z.object({
  left_children: z.array(z.number().int()),
  right_children: z.array(z.number().int()),
  split_indices: z.array(z.number().int().nonnegative()),
  split_conditions: numbers,
  default_left: flags,
  split_type: flags.optional(),
  tree_param: z.object({ size_leaf_vector: count.optional() }).optional(),
});
const treesSchema = z.object({ trees: z.array(treeSchema), tree_info: z.array(z.number().int().nonnegative()) });
const modelSchema = z.object({
  learner: z.object({
    gradient_booster: z.object({
      name: z.string(),
      model: treesSchema.optional(),
      gbtree: z.object({ model: treesSchema }).optional(),
      weight_drop: numbers.optional(),
    }),
    learner_model_param: z.object({ base_score: z.string(), num_class: count, num_feature: count, num_target: count.optional() }),
    objective: z.object({ name: z.string() }),
  }),
});

interface Tree {
  readonly left: Int32Array;
  readonly right: Int32Array;
  readonly feature: Int32Array;
  readonly threshold: Float32Array;
  readonly missingLeft: Uint8Array;
  /** The output that the tree adds to. */
  readonly group: number;
  readonly weight: number;
}

const GROUPS_MAX = 10_000;

const same = (values: Float32Array): Float32Array => values;
const each =
  (change: (value: number) => number) =>
  (values: Float32Array): Float32Array =>
    values.map(change);
const sigmoid = each((value) => 1 / (1 + Math.exp(-value)));
const exponential = each(Math.exp);

interface Objective {
  /** `base_score` on the scale that trees add up on. */
  readonly start: (score: number) => number;
  /** Sums of one row as predictions. */
  readonly finish: (sums: Float32Array) => Float32Array;
}

const identity: Objective = { start: (score) => score, finish: same };
const logistic: Objective = { start: (score) => Math.log(score / (1 - score)), finish: sigmoid };
const log: Objective = { start: Math.log, finish: exponential };

function objectiveOf(name: string): Objective {
  if (/^(binary|reg):logistic$/.test(name)) return logistic;
  if (name === "binary:logitraw") return { ...logistic, finish: same };
  if (/^(count:poisson|reg:gamma|reg:tweedie)$/.test(name)) return log;
  if (name === "multi:softprob") return { start: (score) => score, finish: softmax };
  if (name === "multi:softmax") return { start: (score) => score, finish: (sums) => Float32Array.of(sums.indexOf(Math.max(...sums))) };
  if (/^(reg:(squarederror|squaredlogerror|absoluteerror|pseudohubererror|quantileerror)|rank:.+)$/.test(name)) return identity;
  throw new ModelError(`the objective "${name}" is not known`);
}

function softmax(sums: Float32Array): Float32Array {
  const highest = Math.max(...sums);
  const powers = sums.map((value) => Math.exp(value - highest));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

/** Throws a `ModelError` that says why the file is no model that can be run. */
export function loadXgboost(bytes: Uint8Array): Predictor {
  const { gradient_booster: booster, learner_model_param: param, objective: named } = parsed(bytes).learner;
  const { model = booster.gbtree?.model, weight_drop: weights } = booster;
  if (!/^(gbtree|dart)$/.test(booster.name) || model === undefined) throw new ModelError(`the booster "${booster.name}" is not known`);
  const groups = Math.max(1, param.num_class, param.num_target ?? 1);
  if (groups > GROUPS_MAX) throw new ModelError(`more than ${GROUPS_MAX} classes`);
  if (model.tree_info.length !== model.trees.length) throw new ModelError("tree_info is not as long as trees");
  const features = param.num_feature;
  const trees = model.trees.map((tree, index) => treeOf(tree, { group: model.tree_info[index] as number, weight: weights?.[index] ?? 1 }));
  for (const { group, feature } of trees) {
    if (group >= groups) throw new ModelError(`a tree of class ${group} of ${groups}`);
    if (feature.some((one) => one >= features)) throw new ModelError(`a tree asks for more than the ${features} features`);
  }
  const objective = objectiveOf(named.name);
  const base = baseScores(param.base_score, groups).map(objective.start);

  function row(values: Float32Array): Float32Array {
    const sums = Float32Array.from(base);
    for (const tree of trees) sums[tree.group] = (sums[tree.group] as number) + fround(tree.weight * leafOf(tree, values));
    return objective.finish(sums);
  }

  return {
    inputs: undefined,
    async run(inputs) {
      const [input] = inputs.values();
      const { data, rows } = matrixOf(input as NumberTensor, features);
      const predictions = Array.from({ length: rows }, (_, at) => row(data.subarray(at * features, (at + 1) * features)));
      const wide = predictions[0]?.length ?? 1;
      const flat = new Float32Array(rows * wide);
      predictions.forEach((prediction, at) => {
        flat.set(prediction, at * wide);
      });
      return [{ name: "prediction", type: "float32", shape: wide === 1 ? [rows] : [rows, wide], data: flat }];
    },
  };
}

function parsed(bytes: Uint8Array): z.infer<typeof modelSchema> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ModelError("the file is no JSON: save it with save_model('model.json')", { cause });
  }
  const result = modelSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ModelError(`${issue?.path.join(".")}: ${issue?.message}`);
}

/** One number for all outputs, or since version 3.1 a list of them: "5E-1", "[1E0,2E0]". */
function baseScores(text: string, groups: number): number[] {
  const scores = text
    .replace(/^\[|\]$/g, "")
    .split(",")
    .map(Number);
  if (scores.some((score) => !Number.isFinite(score)) || (scores.length !== 1 && scores.length !== groups))
    throw new ModelError("base_score is not understood");
  return Array.from({ length: groups }, (_, group) => scores[scores.length === 1 ? 0 : group] as number);
}

function treeOf(tree: z.infer<typeof treeSchema>, place: { readonly group: number; readonly weight: number }): Tree {
  const { left_children, right_children, split_indices, split_conditions, default_left, split_type = [], tree_param } = tree;
  const size = left_children.length;
  if ((tree_param?.size_leaf_vector ?? 1) > 1) throw new ModelError("trees with vectors in their leaves are not implemented");
  if (split_type.some(Boolean)) throw new ModelError("splits by category are not implemented");
  if (size === 0 || [right_children, split_indices, split_conditions, default_left].some((list) => list.length !== size))
    throw new ModelError("the lists of a tree are not equally long");
  checkTree(left_children, right_children);
  return {
    ...place,
    left: Int32Array.from(left_children),
    right: Int32Array.from(right_children),
    feature: Int32Array.from(split_indices, (feature, node) => (left_children[node] === -1 ? 0 : feature)),
    threshold: Float32Array.from(split_conditions),
    missingLeft: Uint8Array.from(default_left, Number),
  };
}

/** Nodes that are reached twice would make a walk without an end; those that do not exist, one into nothing. */
function checkTree(left: readonly number[], right: readonly number[]): void {
  const seen = new Uint8Array(left.length);
  const open = [0];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (node < 0 || node >= left.length) throw new ModelError(`a tree has no node ${node}`);
    if (seen[node] === 1) throw new ModelError(`node ${node} of a tree has two parents`);
    seen[node] = 1;
    if (left[node] !== -1) open.push(left[node] as number, right[node] as number);
  }
}

function leafOf({ left, right, feature, threshold, missingLeft }: Tree, row: Float32Array): number {
  let node = 0;
  while (left[node] !== -1) {
    const value = row[feature[node] as number] as number;
    const goesLeft = Number.isNaN(value) ? missingLeft[node] === 1 : value < (threshold[node] as number);
    node = (goesLeft ? left[node] : right[node]) as number;
  }
  return threshold[node] as number;
}

/** Rows of features; a list is one row. */
function matrixOf({ type, shape, data }: NumberTensor, features: number): { data: Float32Array; rows: number } {
  if (!/^(float|u?int)/.test(type)) throw new ModelError(`a tensor of numbers is needed, not of "${type}"`);
  if (shape.length < 1 || shape.length > 2 || shape.at(-1) !== features)
    throw new ModelError(`Feature shape mismatch, expected: ${features}, got ${shape.at(-1) ?? 1}`);
  const floats = data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number | bigint>, Number);
  return { data: floats, rows: shape.length === 1 ? 1 : (shape[0] as number) };
}
