/**
 * What Pyodide takes for its surroundings inside workerd. Its two files are ES modules that import these names in place of
 * the global ones (`pyodide.ts` puts the import before their text): WebAssembly comes compiled, files come as modules, and
 * what workerd refuses at a Worker's top level is kept from Pyodide until there is an invocation.
 */
// @ts-expect-error A module of the Worker's own.
import engine from "./engine.wasm";
// @ts-expect-error The same.
import sentinel from "./sentinel.wasm";
// @ts-expect-error The same.
import standardLibrary from "./stdlib.zip";

const native = globalThis.WebAssembly;
const random = (globalThis as unknown as { readonly crypto: Crypto }).crypto;
type Imports = WebAssembly.Imports;

/** Modules arrive compiled; instances are made at once, since nothing may be waited for at the top level. */
export const WebAssembly = Object.create(native, {
  ...Object.getOwnPropertyDescriptors(native),
  compile: { value: async () => sentinel },
  instantiate: {
    value: async (module: unknown, imports: Imports) =>
      module === sentinel ? new native.Instance(sentinel, imports) : { module: engine, instance: new native.Instance(engine, imports) },
  },
});

/** Number of the error "try again", for which Python raises an OSError. */
const EAGAIN = 6;

export const crypto = {
  get subtle() {
    return random.subtle;
  },
  randomUUID: () => random.randomUUID(),
  getRandomValues(view: Uint8Array) {
    try {
      return random.getRandomValues(view);
    } catch {
      // There is no randomness at the top level: whoever asks there must hear of it.
      throw Object.assign(new Error("Random values are not to be had before the first invocation"), { name: "ErrnoError", errno: EAGAIN });
    }
  },
};

/** Python's event loop: a timer belongs to an invocation, and what the top level schedules is done as soon as it has run. */
export function setTimeout(callback: () => void, delayMs?: number): unknown {
  try {
    return globalThis.setTimeout(callback, delayMs);
  } catch (error) {
    if ((delayMs ?? 0) > 0) throw error;
    queueMicrotask(callback);
    return undefined;
  }
}

/** The file of that name. WebAssembly is not read: it comes compiled. */
export const readbuffer = (path: string): ArrayBuffer => (path.endsWith(".zip") ? standardLibrary : new ArrayBuffer(0));

export function read(path: string): never {
  throw new Error(`There is no file ${path}`);
}

/** Loads programs and packages, which come with the Worker or not at all. */
export const load = read;

const scope: object = Object.create(globalThis, { location: { value: { href: "file:///pyodide/" } } });

export { scope as self };
