/**
 * Values of Workflows as text: everything that structured cloning knows of plain data, with shared references and cycles.
 * Written inside workerd and read on both sides of its border, so that what a step returned comes back equal, a Date as a
 * Date. The text is a JSON array of nodes, the first the reference to the root; it is stored, so its form never changes:
 * only new tags may be added.
 */

/** Thrown for what cannot be stored: functions, stubs, streams inside a value, symbols. */
export class NotSerialisable extends Error {}

export interface EncodedValue {
  readonly text: string;
  /** Size that counts against limits: UTF-8 of the text, binary data without its base64. */
  readonly bytes: number;
}

/** A primitive of JSON is itself; `[index]` is a node, `[tag]` or `[tag, text]` a primitive that JSON lacks. */
type Reference = string | number | boolean | null | readonly [number] | readonly [string] | readonly [string, string];
type Node = [tag: string, ...parts: unknown[]];

const VIEWS = {
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
} as const;
type ViewName = keyof typeof VIEWS;
/** Chunk of bytes that becomes characters at a time: arguments of one call. */
const CHUNK = 0x8000;

export function encode(root: unknown): EncodedValue {
  const nodes: Node[] = [];
  const known = new Map<object, number>();
  let saved = 0;

  function refer(value: unknown): Reference {
    switch (typeof value) {
      case "string":
      case "boolean":
        return value;
      case "undefined":
        return ["u"];
      case "bigint":
        return ["b", String(value)];
      case "number":
        return Number.isFinite(value) && !Object.is(value, -0) ? value : ["n", Object.is(value, -0) ? "-0" : String(value)];
      case "object":
        return value === null ? null : [indexOf(value)];
      default:
        throw new NotSerialisable(`a ${typeof value} cannot be stored`);
    }
  }

  function indexOf(value: object): number {
    const old = known.get(value);
    if (old !== undefined) return old;
    const index = nodes.length;
    known.set(value, index);
    nodes.push(["?"]);
    nodes[index] = nodeOf(value);
    return index;
  }

  function nodeOf(value: object): Node {
    if (Array.isArray(value)) return ["a", ...value.map(refer)];
    if (value instanceof Date) return ["d", Number.isNaN(value.getTime()) ? null : value.getTime()];
    if (value instanceof RegExp) return ["r", value.source, value.flags];
    if (value instanceof Map) return ["m", ...[...value].flat().map(refer)];
    if (value instanceof Set) return ["s", ...[...value].map(refer)];
    if (value instanceof ArrayBuffer) {
      const base64 = toBase64(new Uint8Array(value));
      saved += base64.length - value.byteLength;
      return ["B", base64];
    }
    if (ArrayBuffer.isView(value)) {
      const name = value.constructor.name in VIEWS ? (value.constructor.name as ViewName) : "Uint8Array";
      return ["v", name, refer(value.buffer), value.byteOffset, (value as Uint8Array).length ?? value.byteLength];
    }
    if (value instanceof Error) return ["e", value.name, value.message, refer(value.stack), refer(value.cause)];
    if (value instanceof Number || value instanceof String || value instanceof Boolean) return ["p", refer(value.valueOf())];
    const prototype = Object.getPrototypeOf(value);
    if (prototype !== null && prototype !== Object.prototype) throw new NotSerialisable(`${value.constructor?.name} cannot be stored`);
    return ["o", ...Object.entries(value).flatMap(([name, member]) => [name, refer(member)])];
  }

  const start = refer(root);
  const text = JSON.stringify([start, ...nodes]);
  return { text, bytes: new TextEncoder().encode(text).byteLength - saved };
}

export function decode(text: string): unknown {
  const [start, ...nodes] = JSON.parse(text) as [Reference, ...Node[]];
  const made = new Map<number, unknown>();

  function follow(reference: unknown): unknown {
    if (!Array.isArray(reference)) return reference;
    const [tag, content] = reference as [number | string, string?];
    if (tag === "u") return undefined;
    if (tag === "b") return BigInt(content as string);
    if (tag === "n") return Number(content);
    const index = tag as number;
    if (!made.has(index)) make(index, nodes[index] as Node);
    return made.get(index);
  }

  /** Whatever may contain itself is registered before its parts are made. */
  function make(index: number, [tag, ...parts]: Node): void {
    const put = <T>(value: T): T => {
      made.set(index, value);
      return value;
    };
    switch (tag) {
      case "a": {
        const array = put([] as unknown[]);
        for (const part of parts) array.push(follow(part));
        return;
      }
      case "o": {
        const object = put({} as Record<string, unknown>);
        for (let i = 0; i < parts.length; i += 2) {
          // Not by assignment: a member may be called "__proto__".
          const member = { value: follow(parts[i + 1]), writable: true, enumerable: true, configurable: true };
          Object.defineProperty(object, parts[i] as string, member);
        }
        return;
      }
      case "m": {
        const map = put(new Map());
        for (let i = 0; i < parts.length; i += 2) map.set(follow(parts[i]), follow(parts[i + 1]));
        return;
      }
      case "s": {
        const set = put(new Set());
        for (const part of parts) set.add(follow(part));
        return;
      }
      case "d":
        put(new Date((parts[0] as number | null) ?? Number.NaN));
        return;
      case "r":
        put(new RegExp(parts[0] as string, parts[1] as string));
        return;
      case "B":
        put(fromBase64(parts[0] as string));
        return;
      case "v": {
        const [name, buffer, offset, length] = parts as [ViewName, Reference, number, number];
        put(new (VIEWS[name] as Uint8ArrayConstructor)(follow(buffer) as ArrayBuffer, offset, length));
        return;
      }
      case "e": {
        const [name, message, stack, cause] = parts as [string, string, Reference, Reference];
        const error = put(new Error(message));
        for (const [key, value] of Object.entries({ name, stack: follow(stack), cause: follow(cause) }))
          if (value !== undefined && (key !== "name" || value !== "Error")) Object.defineProperty(error, key, hidden(value));
        return;
      }
      case "p":
        put(Object(follow(parts[0])));
        return;
      default:
        throw new Error(`unknown tag "${tag}" in a stored value`);
    }
  }

  return follow(start);
}

/** The value as JSON shows it, or undefined where JSON has nothing: for the REST API. Cycles are cut. */
export const asJson = (text: string): unknown => plain(decode(text), []);

function plain(value: unknown, above: readonly object[]): unknown {
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value !== "object" || value === null) return value;
  if (above.includes(value)) return null;
  const inside = [...above, value];
  if (Array.isArray(value) || value instanceof Set) return [...value].map((member) => plain(member, inside) ?? null);
  if (value instanceof Date) return value.toJSON();
  if (value instanceof Error) return { name: value.name, message: value.message };
  if (value instanceof Number || value instanceof String || value instanceof Boolean) return value.valueOf();
  if (value instanceof ArrayBuffer || value instanceof DataView || value instanceof RegExp) return {};
  const members = value instanceof Map ? [...value].map(([key, member]) => [String(key), member] as const) : Object.entries(value);
  return Object.fromEntries(members.map(([key, member]) => [key, plain(member, inside)]));
}

const hidden = (value: unknown) => ({ value, writable: true, enumerable: false, configurable: true });

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let i = 0; i < bytes.length; i += CHUNK) binary += String.fromCharCode(...bytes.subarray(i, i + CHUNK));
  return btoa(binary);
}

function fromBase64(text: string): ArrayBuffer {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes.buffer;
}
