/**
 * Runs a Python main module inside a Worker: starts Pyodide from its snapshot, lays out the Worker's files, and gives classes
 * of JavaScript for those of Python. What crosses between the two is converted in Python (`sdk/freehold_entry.py`).
 */
import * as sockets from "cloudflare:sockets";
import * as runtime from "cloudflare:workers";
// @ts-expect-error The same.
import { loadPyodide } from "./loader.js";
// @ts-expect-error A module of the Worker's own.
import lockFile from "./lock.json";
// @ts-expect-error The same.
import snapshot from "./snapshot.bin";

/** A file by its path, with its content. */
type File = readonly [path: string, content: string | ArrayBuffer];

/** What of Pyodide is used here. */
interface Pyodide {
  readonly FS: { mkdirTree(path: string): void; writeFile(path: string, content: string | Uint8Array): void };
  pyimport(name: string): Entry;
  registerJsModule(name: string, module: object): void;
  setStdout(options: { batched(line: string): void }): void;
  setStderr(options: { batched(line: string): void }): void;
}

/** `sdk/freehold_entry.py`. */
interface Entry {
  start(main: string, paths: readonly string[]): void;
  exported(name: string): Exported | undefined;
  handlers(): readonly string[];
  construct(name: string, context: unknown, env: unknown): object;
  invoke(instance: object, method: string, args: readonly unknown[]): Promise<unknown>;
  handle(name: string, args: readonly unknown[]): Promise<unknown>;
  awaited(value: unknown): Promise<unknown>;
}

interface Exported {
  readonly kind: keyof typeof bases;
  readonly methods: readonly string[];
}

type Class = new (context: never, env: never) => object;

const bases = {
  entrypoint: runtime.WorkerEntrypoint,
  "durable-object": runtime.DurableObject,
  workflow: runtime.WorkflowEntrypoint,
} as unknown as Record<"entrypoint" | "durable-object" | "workflow", Class>;

/** What workerd takes for an export that is no entrypoint. */
const NOTHING = (): void => undefined;

/** Where the Worker's own files lie, and those of the platform. */
const FILES = "/session/metadata";
const SDK = "/lib/freehold";

/**
 * Runs the main module at `main` among `files`; `sdk` are the platform's own modules. Gives what the module exports by a name:
 * a class, the handlers of its older form as an object (`default`), or a function, which is no export to anyone.
 */
export async function start(main: string, files: readonly File[], sdk: readonly File[]): Promise<(name: string) => unknown> {
  const python: Pyodide = await loadPyodide({
    indexURL: "/pyodide/",
    lockFileContents: lockFile,
    _loadSnapshot: snapshot,
    toJsLiteralMap: true,
  });
  python.setStdout({ batched: (line) => console.log(line) });
  python.setStderr({ batched: (line) => console.error(line) });
  for (const [directory, list] of [[FILES, files] as const, [SDK, sdk] as const]) {
    for (const [path, content] of list) {
      const whole = `${directory}/${path}`;
      python.FS.mkdirTree(whole.slice(0, whole.lastIndexOf("/")));
      python.FS.writeFile(whole, typeof content === "string" ? content : new Uint8Array(content));
    }
  }
  // The names by which the SDK of packages, where a Worker brings it, asks its host.
  python.registerJsModule("_pyodide_entrypoint_helper", {
    cloudflareWorkersModule: runtime,
    cloudflareSocketsModule: sockets,
    doAnImport: (name: string) => import(name),
    patchWaitUntil,
    promise: (awaitable: unknown) => Promise.resolve(entry.awaited(awaitable)),
    step,
  });
  python.registerJsModule("_cloudflare_compat_flags", {
    python_request_headers_preserve_commas: true,
    python_workflows_implicit_dependencies: true,
  });
  // At the end, so that a Worker's own packages come first.
  const sys = python.pyimport("sys") as unknown as { path: { append(path: string): void } };
  sys.path.append(SDK);
  const entry = python.pyimport("freehold_entry");
  entry.start(main.replace(/\.py$/, "").replaceAll("/", "."), [FILES, `${FILES}/python_modules`]);

  /** A Python coroutine is as good as a promise. */
  function patchWaitUntil(context: { waitUntil(promise: unknown): void }): void {
    const { waitUntil } = context;
    context.waitUntil = (awaitable) => waitUntil.call(context, Promise.resolve(entry.awaited(awaitable)));
  }

  function classOf(name: string, { kind, methods }: Exported): Class {
    const instances = new WeakMap<object, object>();
    const exportedName = name === "default" ? "Default" : name;
    const base: Class = bases[kind];
    const { [exportedName]: made } = {
      [exportedName]: class extends base {
        constructor(context: never, env: never) {
          super(context, env);
          instances.set(this, entry.construct(exportedName, context, env));
        }
      },
    } as Record<string, Class>;
    for (const method of methods) {
      Object.defineProperty((made as Class).prototype, method, {
        async value(this: object, ...args: unknown[]) {
          return await entry.invoke(instances.get(this) as object, method, args);
        },
        configurable: true,
        writable: true,
      });
    }
    return made as Class;
  }

  return (name) => {
    const exported = entry.exported(name === "default" ? "Default" : name);
    if (exported !== undefined) return classOf(name, exported);
    const handlers = name === "default" ? entry.handlers() : [];
    if (handlers.length === 0) return NOTHING;
    return Object.fromEntries(handlers.map((handler) => [handler, async (...args: unknown[]) => await entry.handle(handler, args)]));
  };
}

/** A step's function for the workflow: what Python raised to end it at once is the error that says so in JavaScript. */
function step(work: (context: unknown) => Promise<unknown>): (context: unknown) => Promise<unknown> {
  return async (context) => {
    try {
      return await work(context);
    } catch (error) {
      if (!(error instanceof Error) || (error as { type?: unknown }).type !== "NonRetryableError") throw error;
      // The message is Python's traceback, whose last line has the exception's words.
      const words = error.message
        .trimEnd()
        .split("\n")
        .at(-1)
        ?.replace(/^[\w.]+(?:: )?/, "");
      throw Object.assign(new Error(words), { name: "NonRetryableError" });
    }
  };
}
