/**
 * Main module of a probe process: imports the uploaded code, so that its top level runs exactly once under the real
 * bindings, and answers with what the code exports. It re-exports everything, because workerd then checks the exports
 * as it would in service. The import's name is replaced by `probe.ts`.
 */
import { DurableObject, WorkerEntrypoint, WorkflowEntrypoint } from "cloudflare:workers";
// @ts-expect-error The name of the uploaded main module.
import * as uploaded from "freehold-uploaded-main";

// @ts-expect-error The same.
export * from "freehold-uploaded-main";

interface Export {
  name: string;
  type: string;
  handlers: string[];
}

const bases: [string, { prototype: object }][] = [
  ["entrypoint", WorkerEntrypoint],
  ["durable-object", DurableObject],
  ["workflow", WorkflowEntrypoint as unknown as { prototype: object }],
];

/** Names of what can be called, of a class's prototype or of an object with the prototypes that it has. */
function methods(from: object, until: object): string[] {
  const names = new Set<string>();
  for (let level = from; level !== until && level !== Object.prototype && level !== null; level = Object.getPrototypeOf(level)) {
    for (const [name, { value, get }] of Object.entries(Object.getOwnPropertyDescriptors(level)))
      if (name !== "constructor" && (typeof value === "function" || get !== undefined)) names.add(name);
  }
  return [...names];
}

function describe(name: string, value: unknown): Export | undefined {
  if (typeof value === "object" && value !== null) return { name, type: "object", handlers: methods(value, Object.prototype) };
  if (typeof value !== "function" || typeof value.prototype !== "object" || value.prototype === null) return undefined;
  const prototype = value.prototype as object;
  const base = bases.find(([, b]) => Object.prototype.isPrototypeOf.call(b.prototype, prototype));
  return { name, type: base?.[0] ?? "class", handlers: methods(prototype, base?.[1].prototype ?? Object.prototype) };
}

export default {
  fetch(): Response {
    const exports = Object.entries(uploaded as Record<string, unknown>).flatMap(([name, value]) => describe(name, value) ?? []);
    return Response.json({ exports });
  },
};
