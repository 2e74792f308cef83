/**
 * A change of an index as it lies in the journal, version 1: a head that tells where it belongs, and a body for the thread
 * that carries it out. Integers are little-endian, floats 32 bits wide.
 *
 *   0 u32 bytes of the head | head, JSON | u32 bytes of the list | list, JSON: [id, namespace, metadata] of each vector
 *   zeros up to a multiple of 4 | values of all vectors
 */
import type { Indexed } from "./filter.ts";

export type PropertyType = "string" | "number" | "boolean";

/** A vector as it is stored. */
export interface Vector {
  readonly id: string;
  readonly namespace: string | null;
  readonly values: Float32Array;
  /** JSON text of an object. */
  readonly metadata: string | null;
}

export type Change =
  | { readonly kind: "insert" | "upsert"; readonly vectors: readonly Vector[] }
  | { readonly kind: "delete"; readonly ids: readonly string[] }
  | { readonly kind: "create-property"; readonly property: string; readonly type: PropertyType }
  | { readonly kind: "delete-property"; readonly property: string };

export interface MutationHead {
  readonly version: 1;
  /** The index's own id, which no other index ever gets. */
  readonly index: string;
  /** What the caller was told: a UUID. */
  readonly mutation: string;
  /** Of vectors that the change has. */
  readonly vectors: number;
  readonly change: Exclude<Change, { vectors: unknown }> | { readonly kind: "insert" | "upsert" };
}

type Listed = readonly [id: string, namespace: string | null, metadata: string | null];

const framed = (value: unknown): Buffer[] => {
  const text = Buffer.from(JSON.stringify(value));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.byteLength);
  return [length, text];
};

const bytesOf = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

export function encodeMutation(index: string, mutation: string, change: Change): Buffer {
  if (!("vectors" in change)) {
    const head: MutationHead = { version: 1, index, mutation, vectors: 0, change };
    return Buffer.concat(framed(head));
  }
  const { kind, vectors } = change;
  const head: MutationHead = { version: 1, index, mutation, vectors: vectors.length, change: { kind } };
  const parts = [...framed(head), ...framed(vectors.map(({ id, namespace, metadata }): Listed => [id, namespace, metadata]))];
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0);
  return Buffer.concat([...parts, Buffer.alloc((4 - (length % 4)) % 4), ...vectors.map(({ values }) => bytesOf(values))]);
}

function unframe(payload: Uint8Array, at: number): { value: unknown; end: number } {
  const view = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const end = at + 4 + view.readUInt32LE(at);
  return { value: JSON.parse(view.toString("utf8", at + 4, end)), end };
}

export const decodeHead = (payload: Uint8Array): MutationHead => unframe(payload, 0).value as MutationHead;

/** The payload begins at a multiple of four in its memory. */
export function decodeMutation(payload: Uint8Array): MutationHead & { readonly change: Change } {
  const { value, end } = unframe(payload, 0);
  const head = value as MutationHead;
  const { change } = head;
  if (change.kind !== "insert" && change.kind !== "upsert") return head as MutationHead & { readonly change: Change };
  const list = unframe(payload, end);
  const first = Math.ceil(list.end / 4);
  const floats = new Float32Array(payload.buffer, payload.byteOffset + first * 4);
  const dimensions = head.vectors === 0 ? 0 : floats.length / head.vectors;
  const vectors = (list.value as Listed[]).map(([id, namespace, metadata], i) => ({
    id,
    namespace,
    metadata,
    values: floats.subarray(i * dimensions, (i + 1) * dimensions),
  }));
  return { ...head, change: { kind: change.kind, vectors } };
}

/** The value at a property's path, when it has the type of the metadata index. */
export function valueAt(metadata: unknown, property: string, type: PropertyType): Exclude<Indexed, null> | undefined {
  let value = metadata;
  for (const step of property.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  return typeof value === type ? (value as string | number | boolean) : undefined;
}
