/**
 * Makes small ONNX models: the protobuf of onnx.proto3, of which only what the tests' models need. No checker of ours: what is
 * written wrong, the runtime refuses.
 */

type Bytes = Uint8Array<ArrayBuffer>;

/** Numbers of onnx.TensorProto.DataType. */
export const onnxTypes = {
  ...{ float32: 1, uint8: 2, int8: 3, uint16: 4, int16: 5, int32: 6, int64: 7, str: 8 },
  ...{ bool: 9, float16: 10, float64: 11, uint32: 12, uint64: 13 },
} as const;
export type OnnxType = keyof typeof onnxTypes;

/** A dimension with a name may have any size. */
export interface Value {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly (number | string)[];
}

export interface Initializer {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly number[];
  /** The elements as they lie in memory; or the file beside the model in which they are said to lie. */
  readonly data: ArrayBufferView | { readonly file: string };
}

export interface Node {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** The operator set; ONNX's own when it is absent. */
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

/** Whole numbers, lists of them or of fractions (`Float32Array`), texts, a graph (of Loop). */
type Attribute = number | readonly number[] | Float32Array | string | readonly string[] | Graph;

export interface Graph {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly nodes: readonly Node[];
  readonly initializers?: readonly Initializer[];
}

/** A model of the operator set 17, as bytes of an `.onnx` file. */
export function onnxModel(graph: Graph): Bytes {
  return message(
    varint(1, 8),
    text(2, "test"),
    bytes(7, graphBytes(graph)),
    bytes(8, message(text(1, ""), varint(2, 17))),
    bytes(8, message(text(1, "ai.onnx.ml"), varint(2, 3))),
  );
}

function graphBytes({ nodes, inputs, outputs, initializers = [] }: Graph): Bytes {
  return message(
    ...nodes.map((node) => bytes(1, nodeBytes(node))),
    text(2, "graph"),
    ...initializers.map((one) => bytes(5, initializerBytes(one))),
    ...inputs.map((value) => bytes(11, valueBytes(value))),
    ...outputs.map((value) => bytes(12, valueBytes(value))),
  );
}

function attributeBytes(name: string, value: Attribute): Bytes {
  const typed = (type: number, ...fields: readonly Bytes[]): Bytes => message(text(1, name), ...fields, varint(20, type));
  if (typeof value === "number") return typed(2, varint(3, value));
  if (typeof value === "string") return typed(3, text(4, value));
  if (value instanceof Float32Array) return typed(6, bytes(7, new Uint8Array(value.buffer as ArrayBuffer)));
  if ("nodes" in value) return typed(5, bytes(6, graphBytes(value)));
  if (typeof value[0] === "string") return typed(8, ...value.map((one) => text(9, String(one))));
  return typed(7, ...value.map((one) => varint(8, Number(one))));
}

function nodeBytes({ op, inputs, outputs, domain = "", attributes = {} }: Node): Bytes {
  return message(
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) => bytes(5, attributeBytes(name, value))),
    text(7, domain),
  );
}

function initializerBytes({ name, type, shape, data }: Initializer): Bytes {
  const content =
    "file" in data
      ? [bytes(13, message(text(1, "location"), text(2, data.file))), varint(14, 1)]
      : [bytes(9, new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength))];
  return message(...shape.map((size) => varint(1, size)), varint(2, onnxTypes[type]), text(8, name), ...content);
}

function valueBytes({ name, type, shape }: Value): Bytes {
  const dimensions = shape.map((size) => bytes(1, typeof size === "number" ? message(varint(1, size)) : message(text(2, size))));
  const tensor = message(varint(1, onnxTypes[type]), bytes(2, message(...dimensions)));
  return message(text(1, name), bytes(2, message(bytes(1, tensor))));
}

// --- protobuf ----------------------------------------------------------------------------------------------

const message = (...fields: readonly Bytes[]): Bytes => new Uint8Array(Buffer.concat(fields));
const text = (field: number, value: string): Bytes => bytes(field, new Uint8Array(Buffer.from(value)));
const varint = (field: number, value: number): Bytes => message(number(field * 8), number(value));
const bytes = (field: number, value: Bytes): Bytes => message(number(field * 8 + 2), number(value.byteLength), value);

function number(value: number): Bytes {
  const out: number[] = [];
  let left = BigInt(value);
  while (left > 127n) {
    out.push(Number(left & 127n) | 128);
    left >>= 7n;
  }
  return new Uint8Array([...out, Number(left)]);
}

// --- models ------------------------------------------------------------------------------------------------

/** One operator between its inputs and outputs. */
export const oneNode = (
  op: string,
  inputs: readonly Value[],
  outputs: readonly Value[],
  attributes: NonNullable<Node["attributes"]> = {},
): Bytes =>
  onnxModel({
    inputs,
    outputs,
    nodes: [{ op, inputs: inputs.map(({ name }) => name), outputs: outputs.map(({ name }) => name), attributes }],
  });

/** SqueezeNet 1.1 in its shape, 1×3×224×224 to 1,000 scores and 5 MB of weights, which are random (by a fixed seed). */
export function squeezeNet(): Bytes {
  const nodes: Node[] = [];
  const initializers: Initializer[] = [];
  let seed = 1;
  const random = (): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 32 - 0.5;
  };
  const add = (op: string, inputs: readonly string[], attributes: NonNullable<Node["attributes"]> = {}): string => {
    const output = `v${nodes.length}`;
    nodes.push({ op, inputs, outputs: [output], attributes });
    return output;
  };
  const convolved = (input: string, from: number, to: number, size: number, stride = 1, pad = 0): string => {
    const count = from * size * size;
    const weights = Float32Array.from({ length: to * count }, () => (random() * 4) / Math.sqrt(count));
    const name = `w${nodes.length}`;
    initializers.push({ name, type: "float32", shape: [to, from, size, size], data: weights });
    const shape = { kernel_shape: [size, size], strides: [stride, stride], pads: [pad, pad, pad, pad] };
    return add("Relu", [add("Conv", [input, name], shape)]);
  };
  const pooled = (input: string): string => add("MaxPool", [input], { kernel_shape: [3, 3], strides: [2, 2] });
  const fire = (input: string, from: number, squeezed: number, expanded: number): string => {
    const middle = convolved(input, from, squeezed, 1);
    return add("Concat", [convolved(middle, squeezed, expanded, 1), convolved(middle, squeezed, expanded, 3, 1, 1)], { axis: 1 });
  };
  let at = pooled(convolved("data", 3, 64, 3, 2));
  at = pooled(fire(fire(at, 64, 16, 64), 128, 16, 64));
  at = pooled(fire(fire(at, 128, 32, 128), 256, 32, 128));
  at = fire(fire(at, 256, 48, 192), 384, 48, 192);
  at = fire(fire(at, 384, 64, 256), 512, 64, 256);
  at = add("Softmax", [add("Flatten", [add("GlobalAveragePool", [convolved(at, 512, 1000, 1)])])], { axis: 1 });
  const last = nodes.pop() as Node;
  nodes.push({ ...last, outputs: ["scores"] });
  return onnxModel({
    ...{ nodes, initializers },
    inputs: [{ name: "data", type: "float32", shape: [1, 3, 224, 224] }],
    outputs: [{ name: "scores", type: "float32", shape: [1, 1000] }],
  });
}

export interface XgboostModel {
  readonly learner: {
    readonly gradient_booster: {
      readonly model?: {
        readonly tree_info: readonly number[];
        readonly trees: readonly {
          readonly left_children: readonly number[];
          readonly right_children: readonly number[];
          readonly split_indices: readonly number[];
          readonly split_conditions: readonly number[];
        }[];
      };
    };
    readonly learner_model_param: { readonly base_score: string };
    readonly objective: { readonly name: string };
  };
}

/** The operator that makes predictions of the trees' sums, by XGBoost's objective. */
const FINISHES: Readonly<Record<string, string>> = {
  ...{ "reg:squarederror": "Identity", "binary:logistic": "Sigmoid", "multi:softprob": "Softmax", "count:poisson": "Exp" },
};

const startOf = (finish: string, base: number): number =>
  finish === "Sigmoid" ? Math.log(base / (1 - base)) : finish === "Exp" ? Math.log(base) : base;

/** The trees of an XGBoost model as ONNX's TreeEnsembleRegressor, from "rows" to "prediction"; undefined for what that has no words for. */
export function treesAsOnnx({ learner }: XgboostModel): Bytes | undefined {
  const { gradient_booster: booster, learner_model_param: param, objective } = learner;
  const finish = FINISHES[objective.name];
  if (finish === undefined || booster.model === undefined) return undefined;
  const { trees, tree_info } = booster.model;
  const bases = (JSON.parse(param.base_score) as number[]).map((base) => startOf(finish, base));
  const nodes = trees.flatMap((tree, id) =>
    tree.left_children.map((left, node) => ({
      ...{ id, node, left, leaf: left === -1, class: tree_info[id] as number },
      ...{
        right: tree.right_children[node] as number,
        feature: tree.split_indices[node] as number,
        value: tree.split_conditions[node] as number,
      },
    })),
  );
  const leaves = nodes.filter(({ leaf }) => leaf);
  const attributes = {
    nodes_treeids: nodes.map(({ id }) => id),
    nodes_nodeids: nodes.map(({ node }) => node),
    nodes_featureids: nodes.map(({ leaf, feature }) => (leaf ? 0 : feature)),
    nodes_values: Float32Array.from(nodes, ({ leaf, value }) => (leaf ? 0 : value)),
    nodes_modes: nodes.map(({ leaf }) => (leaf ? "LEAF" : "BRANCH_LT")),
    nodes_truenodeids: nodes.map(({ leaf, left }) => (leaf ? 0 : left)),
    nodes_falsenodeids: nodes.map(({ leaf, right }) => (leaf ? 0 : right)),
    target_treeids: leaves.map(({ id }) => id),
    target_nodeids: leaves.map(({ node }) => node),
    target_ids: leaves.map((leaf) => leaf.class),
    target_weights: Float32Array.from(leaves, ({ value }) => value),
    base_values: Float32Array.from(bases),
    ...{ n_targets: bases.length, aggregate_function: "SUM", post_transform: "NONE" },
  };
  return onnxModel({
    inputs: [{ name: "rows", type: "float32", shape: ["n", 4] }],
    outputs: [{ name: "prediction", type: "float32", shape: ["n", bases.length] }],
    nodes: [
      { op: "TreeEnsembleRegressor", domain: "ai.onnx.ml", inputs: ["rows"], outputs: ["sums"], attributes },
      { op: finish, inputs: ["sums"], outputs: ["prediction"] },
    ],
  });
}
