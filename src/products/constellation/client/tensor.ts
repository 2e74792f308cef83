/**
 * Tensors (docs: Constellation, Client API). Messages are those of `@cloudflare/ai` 1.0.12, whose tensors these are, but for one thing:
 * without a shape, nested lists have that of their nesting, as documented.
 */

export const TensorType = {
  ...{ String: "str", Bool: "bool", Float16: "float16", Float32: "float32", Int8: "int8", Int16: "int16", Int32: "int32", Int64: "int64" },
  ...{ Uint8: "uint8", Uint16: "uint16", Uint32: "uint32", Uint64: "uint64" },
} as const;
export type TensorType = (typeof TensorType)[keyof typeof TensorType];

export interface TensorOpts {
  /** Sizes of the dimensions; inferred from the value when it is absent. */
  readonly shape?: number[] | undefined;
  readonly name?: string | null | undefined;
}

interface TensorJson extends TensorOpts {
  readonly type: TensorType;
  readonly value: unknown;
}

type List = readonly unknown[];

const isList = (value: unknown): value is List => Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));

export class Tensor<T extends TensorType = TensorType> {
  readonly type: T;
  readonly value: unknown;
  readonly shape: number[];
  readonly name: string | null;

  /** Throws for elements that are not of the type, and for a shape that does not have room for exactly these elements. */
  constructor(type: T, value: unknown, { shape, name }: TensorOpts = {}) {
    checkType(type, value);
    this.type = type;
    this.value = value;
    this.shape = shape ?? shapeOf(value);
    checkShape(this.shape, value);
    this.name = name || null;
  }

  static fromJSON({ type, value, shape, name }: TensorJson): Tensor {
    return new Tensor(type, isWide(type) ? deep(value, (one) => BigInt(one as string)) : value, { shape, name });
  }

  /** Whole numbers of 64 bits, which JSON has no room for, become text. */
  toJSON(): { type: T; name: string | null; shape: number[]; value: unknown } {
    const { type, name, shape, value } = this;
    return { type, name, shape, value: deep(value, isWide(type) ? String : (one) => one) };
  }
}

const isWide = (type: TensorType): boolean => type === "int64" || type === "uint64";

const deep = (value: unknown, change: (one: unknown) => unknown): unknown =>
  isList(value) ? Array.from(value, (one) => deep(one, change)) : change(value);

function checkType(type: TensorType, value: unknown): void {
  if (isList(value)) {
    for (const one of value) checkType(type, one);
    return;
  }
  if (!isOfType(type, value)) throw new Error(`unexpected type "${type}" with value "${value}".`);
}

function isOfType(type: TensorType, value: unknown): boolean {
  if (type === "str") return typeof value === "string";
  if (type === "bool") return typeof value === "boolean";
  if (isWide(type)) return typeof value === "bigint";
  return type.startsWith("float") ? typeof value === "number" : /^u?int\d/.test(type) && Number.isInteger(value);
}

/** Throws for lists whose members are not equally long. */
function shapeOf(value: unknown): number[] {
  if (!isList(value)) return [];
  const [first, ...others] = Array.from(value, shapeOf);
  if (others.some((other) => String(other) !== String(first))) throw new Error("cannot infer the shape: nested lists differ in length");
  return [value.length, ...(first ?? [])];
}

const countOf = (value: unknown): number => (isList(value) ? value.reduce<number>((sum, one) => sum + countOf(one), 0) : 1);

function checkShape(shape: readonly number[], value: unknown): void {
  for (const size of shape)
    if (!Number.isInteger(size)) throw new Error(`expected shape to be array-like of integers but found non-integer element "${size}"`);
  const expected = shape.reduce((product, size) => product * size, 1);
  const count = countOf(value);
  if (expected !== count)
    throw new Error(`invalid shape: expected ${expected} elements for shape ${shape} but value array has length ${count}`);
}
