/**
 * `env.NAME` of a Durable Object binding: the namespace is workerd's own; its prototype gets what workerd does not
 * implement. Jurisdictions: each is a namespace of its own (`jurisdictions.ts`), so that workerd itself tells ids apart.
 * Gradual deployments: objects that another version has are reached by stand-ins, whose namespace has the same ids.
 * https://developers.cloudflare.com/durable-objects/reference/data-location/
 */
import { ELSEWHERE, OWN_SHARE } from "./remote-protocol.worker.ts";
import { isOwn, type OwnShare } from "./split.worker.ts";

interface IdOptions {
  readonly jurisdiction?: string;
}
type Namespace = DurableObjectNamespace & { jurisdiction(name: string): Namespace };
type Parts = Readonly<Record<string, Namespace>>;

/** The parts of each namespace that has no jurisdiction. */
const partsOf = new WeakMap<object, Parts>();
/** The namespace that made an id. */
const makerOf = new WeakMap<object, Namespace>();
const patched = new WeakSet<object>();

/** The stand-ins for objects of a namespace that another version has. */
interface Elsewhere {
  readonly namespace: Namespace;
  readonly own: OwnShare;
}
const elsewhereOf = new Map<Namespace, Elsewhere>();

/** Where an object of the namespace is. `ctx.exports` gives namespaces that no binding made: an id tells what they are. */
function placeOf(namespace: Namespace, id: DurableObjectId): Namespace {
  const known = elsewhereOf.get(namespace) ?? [...elsewhereOf.values()].find((one) => takes(one.namespace, id));
  return known === undefined || isOwn(known.own, id.toString()) ? namespace : known.namespace;
}

function takes(namespace: Namespace, id: DurableObjectId): boolean {
  try {
    return namespace.idFromString(id.toString()) !== undefined;
  } catch {
    // An id of another namespace.
    return false;
  }
}

function patch(prototype: Record<string, unknown>): void {
  if (patched.has(prototype)) return;
  patched.add(prototype);
  const native = { ...Object.getOwnPropertyDescriptors(prototype) };
  const call = <T>(name: string, self: Namespace, ...args: unknown[]): T =>
    ((native[name] as PropertyDescriptor).value as (...args: unknown[]) => T).apply(self, args);
  const define = (name: string, value: (this: Namespace, ...args: never[]) => unknown): void => {
    Object.defineProperty(prototype, name, { ...native[name], value });
  };

  define("jurisdiction", function (name: string) {
    const parts = partsOf.get(this);
    if (parts === undefined) throw new TypeError("The namespace is already restricted to a jurisdiction.");
    const part = Object.hasOwn(parts, name) ? parts[name] : undefined;
    if (part === undefined)
      throw new TypeError(`Invalid jurisdiction: ${JSON.stringify(name)}. Known ones are ${Object.keys(parts).join(", ")}.`);
    return part;
  });
  define("newUniqueId", function (options?: IdOptions) {
    const { jurisdiction, ...others } = options ?? {};
    if (jurisdiction === undefined) return made(this, call("newUniqueId", this, others));
    return this.jurisdiction(jurisdiction).newUniqueId(others);
  });
  define("idFromName", function (name: string) {
    return made(this, call("idFromName", this, name));
  });
  define("idFromString", function (text: string) {
    try {
      return made(this, call("idFromString", this, text));
    } catch (error) {
      // A namespace without a jurisdiction takes the ids of all of them.
      for (const part of Object.values(partsOf.get(this) ?? {})) {
        try {
          return part.idFromString(text);
        } catch {
          // Not this one's: whose it is decides the error above.
        }
      }
      throw error;
    }
  });
  define("get", function (id: DurableObjectId, options?: unknown) {
    const maker = makerOf.get(id) ?? makerOf.get(this.idFromString(id.toString()));
    const parts = partsOf.get(this);
    if (maker !== undefined && maker !== this && !Object.values(parts ?? {}).includes(maker)) {
      throw new TypeError(
        parts === undefined
          ? "get called on jurisdictional subnamespace with an ID from a different jurisdiction"
          : "The given Durable Object ID is not of this namespace.",
      );
    }
    const namespace = maker ?? this;
    return call("get", elsewhereOf.size === 0 ? namespace : placeOf(namespace, id), id, options);
  });
  define("getByName", function (name: string, options?: unknown) {
    return (this.get as (id: DurableObjectId, options?: unknown) => unknown)(this.idFromName(name), options);
  });
}

function made(namespace: Namespace, id: object): object {
  makerOf.set(id, namespace);
  return id;
}

/** `env`: the namespace as "whole" and its jurisdictions; those of the stand-ins, and which objects are the version's own. */
export default ({ [OWN_SHARE]: own, ...namespaces }: Readonly<Record<string, Namespace | OwnShare>>): Namespace => {
  const { whole, ...parts } = Object.fromEntries(Object.entries(namespaces).filter(([name]) => !name.startsWith(ELSEWHERE))) as Record<
    string,
    Namespace
  > & { readonly whole: Namespace };
  patch(Object.getPrototypeOf(whole) as Record<string, unknown>);
  partsOf.set(whole, parts);
  for (const [name, namespace] of own === undefined ? [] : Object.entries({ whole, ...parts })) {
    elsewhereOf.set(namespace, { namespace: namespaces[`${ELSEWHERE}${name}`] as Namespace, own: own as OwnShare });
  }
  return whole;
};
