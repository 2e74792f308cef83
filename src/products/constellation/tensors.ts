/**
 * Tensors as the client library writes them in JSON, and as the runtimes take them. Runs in a model's thread: the JSON is a
 * Worker's, of any shape and as large as the configuration lets it be.
 */

/** What is wrong with the inputs of a run, or with a model: for its caller to read. */
export class ModelError extends Error {}

export type Elements =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | readonly string[];

export interface NumberTensor {
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly data: Elements;
  readonly name: string | undefined;
}

const RANK_MAX = 32;
/** Elements of all outputs of a run. */
const OUTPUT_MAX = 2 * 1024 * 1024;

const halves = globalThis as unknown as { readonly Float16Array: new (values: readonly number[]) => Float32Array };

/** By the types' names on the wire: how the elements are kept. The runtimes keep booleans as bytes, half floats as `Float16Array`. */
const kinds = {
  bool: (values) => Uint8Array.from(values as boolean[], Number),
  float16: (values) => new halves.Float16Array(values as number[]),
  float32: (values) => Float32Array.from(values as number[]),
  float64: (values) => Float64Array.from(values as number[]),
  int8: (values) => Int8Array.from(values as number[]),
  uint8: (values) => Uint8Array.from(values as number[]),
  int16: (values) => Int16Array.from(values as number[]),
  uint16: (values) => Uint16Array.from(values as number[]),
  int32: (values) => Int32Array.from(values as number[]),
  uint32: (values) => Uint32Array.from(values as number[]),
  int64: (values) => BigInt64Array.from(values as bigint[]),
  uint64: (values) => BigUint64Array.from(values as bigint[]),
  str: (values) => values as string[],
} satisfies Readonly<Record<string, (values: readonly unknown[]) => Elements>>;

export type TensorType = keyof typeof kinds;

/** What older clients send as bytes in `b64Value`. */
const packed = {
  float32: (bytes) => new Float32Array(bytes),
  float64: (bytes) => new Float64Array(bytes),
  int32: (bytes) => new Int32Array(bytes),
  int64: (bytes) => new BigInt64Array(bytes),
} satisfies Readonly<Record<string, (bytes: ArrayBuffer) => Elements>>;

interface WireTensor {
  readonly type?: unknown;
  readonly shape?: unknown;
  readonly name?: unknown;
  readonly value?: unknown;
  readonly b64Value?: unknown;
}

/** The tensors of a run's body, `{"input": [tensor, …]}`. Throws a `ModelError` that says what is wrong. */
export function tensorsOf(body: string): NumberTensor[] {
  let parsed: { input?: unknown } | null;
  try {
    parsed = JSON.parse(body) as { input?: unknown } | null;
  } catch (cause) {
    throw new ModelError("the body is no JSON", { cause });
  }
  if (!Array.isArray(parsed?.input)) throw new ModelError('expected {"input": [tensor, …]}');
  return parsed.input.map((one: WireTensor | null, index) => tensorOf(one ?? {}, index));
}

function tensorOf({ type, shape, name, value, b64Value }: WireTensor, index: number): NumberTensor {
  const place = typeof name === "string" && name !== "" ? `input "${name}"` : `input ${index}`;
  if (typeof type !== "string" || !Object.hasOwn(kinds, type)) throw new ModelError(`${place}: unknown type "${String(type)}"`);
  const known = type as TensorType;
  const data = typeof b64Value === "string" ? unpacked(known, b64Value, place) : kinds[known](checked(known, flat(value), place));
  const given = shape ?? (Array.isArray(value) ? [data.length] : []);
  if (!Array.isArray(given) || given.length > RANK_MAX || !given.every((size) => Number.isSafeInteger(size) && size >= 0))
    throw new ModelError(`${place}: the shape is no list of whole numbers`);
  const count = given.reduce((product: number, size: number) => product * size, 1);
  if (count !== data.length)
    throw new ModelError(
      `${place}: invalid shape: expected ${count} elements for shape ${given} but value array has length ${data.length}`,
    );
  return { type: known, shape: given as number[], data, name: typeof name === "string" && name !== "" ? name : undefined };
}

function unpacked(type: TensorType, text: string, place: string): Elements {
  if (!Object.hasOwn(packed, type)) throw new ModelError(`${place}: invalid data type for base64 input: ${type}`);
  const bytes = Uint8Array.from(Buffer.from(text, "base64")).buffer;
  const size = type.endsWith("64") ? 8 : 4;
  if (bytes.byteLength % size !== 0) throw new ModelError(`${place}: b64Value ends within an element`);
  return packed[type as keyof typeof packed](bytes);
}

/** The elements of nested lists, in order. Not by recursion: how deep they nest is the sender's choice. */
function flat(value: unknown): unknown[] {
  if (!Array.isArray(value)) return [value];
  const elements: unknown[] = [];
  const open: { readonly list: readonly unknown[]; at: number }[] = [{ list: value, at: 0 }];
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    if (top.at === top.list.length) open.pop();
    else {
      const next = top.list[top.at++];
      if (Array.isArray(next)) open.push({ list: next, at: 0 });
      else elements.push(next);
    }
  }
  return elements;
}

const RANGES: Readonly<Partial<Record<TensorType, readonly [bigint, bigint]>>> = {
  ...{ int8: [-128n, 127n], uint8: [0n, 255n], int16: [-32_768n, 32_767n], uint16: [0n, 65_535n] },
  ...{ int32: [-(2n ** 31n), 2n ** 31n - 1n], uint32: [0n, 2n ** 32n - 1n] },
  ...{ int64: [-(2n ** 63n), 2n ** 63n - 1n], uint64: [0n, 2n ** 64n - 1n] },
};

/** The elements as the type has them: 64-bit whole numbers, which JSON has no room for, come as text; no number is `null`, JSON's NaN. */
function checked(type: TensorType, values: readonly unknown[], place: string): unknown[] {
  const wrong = (value: unknown): ModelError => new ModelError(`${place}: unexpected type "${type}" with value "${String(value)}".`);
  const range = RANGES[type];
  return values.map((value) => {
    if (type === "bool" || type === "str") {
      if (typeof value !== (type === "bool" ? "boolean" : "string")) throw wrong(value);
      return value;
    }
    if (range === undefined) {
      if (typeof value !== "number" && value !== null) throw wrong(value);
      return value ?? Number.NaN;
    }
    const isWide = type.endsWith("64");
    const isWhole = Number.isSafeInteger(value) || (isWide && typeof value === "string" && /^-?\d{1,20}$/.test(value));
    if (!isWhole) throw wrong(value);
    const whole = BigInt(value as number | string);
    if (whole < range[0] || whole > range[1]) throw wrong(value);
    return isWide ? whole : value;
  });
}

/** The body of a run's answer: `{"result": [tensor, …]}`. */
export function tensorsText(tensors: readonly NumberTensor[]): string {
  const count = tensors.reduce((sum, { data }) => sum + data.length, 0);
  if (count > OUTPUT_MAX) throw new ModelError(`the outputs have ${count} elements, more than ${OUTPUT_MAX}`);
  const result = tensors.map(({ type, shape, data, name = null }) => {
    const values = Array.from(data as ArrayLike<unknown>, elementWriter(type));
    return { type, shape, name, value: shape.length === 0 ? values[0] : values };
  });
  return JSON.stringify({ result });
}

function elementWriter(type: TensorType): (value: unknown) => unknown {
  if (type === "bool") return Boolean;
  if (type === "int64" || type === "uint64") return String;
  return (value) => value;
}
