/** A partition tuple as text, for comparison and as a key of maps: equal for equal tuples of one spec. */
import type { Value } from "./values.ts";

export function partitionKey(partition: ReadonlyMap<number, Value | null>): string {
  const plain = (value: Value | null): unknown => {
    if (typeof value === "bigint") return `${value}n`;
    return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
  };
  return JSON.stringify([...partition].map(([id, value]) => [id, plain(value)]));
}
