/**
 * Runs the code of one JavaScript or TypeScript context: requests come as lines of JSON on descriptor 3, what happens is told on
 * descriptor 4. V8's own REPL mode gives top-level await, and `let` and `const` that later code sees and may declare again.
 */
import { createReadStream, writeSync } from "node:fs";
import { type Runtime, Session } from "node:inspector/promises";
import { createRequire, stripTypeScriptTypes } from "node:module";
import { createInterface } from "node:readline";
import { format, inspect } from "node:util";

const PNG = "89504e470d0a1a0a";

function tell(event: object): void {
  let bytes = Buffer.from(`${JSON.stringify(event)}\n`);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(4, bytes));
    } catch (error) {
      // The pipe is full: the reader is on its way.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  }
}

function shown(value: unknown): object {
  const text = typeof value === "string" ? value : inspect(value, { depth: 4 });
  if (typeof value !== "object" || value === null) return { text };
  if (value instanceof Uint8Array && Buffer.from(value.subarray(0, 8)).toString("hex") === PNG) {
    return { text, png: Buffer.from(value).toString("base64") };
  }
  try {
    const json = JSON.stringify(value);
    return json === undefined ? { text } : { text, json: JSON.parse(json) };
  } catch {
    // What refers to itself has no JSON; its text stands for it.
    return { text };
  }
}

const display = (value: unknown) => tell({ type: "result", ...shown(value), metadata: {} });
const print = (type: "stdout" | "stderr", text: string) => tell({ type, text });

for (const method of ["log", "info", "debug"] as const) console[method] = (...values) => print("stdout", `${format(...values)}\n`);
for (const method of ["error", "warn", "trace"] as const) console[method] = (...values) => print("stderr", `${format(...values)}\n`);
for (const kind of ["stdout", "stderr"] as const) {
  process[kind].write = (text: string | Uint8Array) => {
    print(kind, typeof text === "string" ? text : Buffer.from(text).toString("utf8"));
    return true;
  };
}

Object.assign(globalThis, { require: createRequire(`${process.cwd()}/`), display });
Object.defineProperty(globalThis, Symbol.for("sandbox.display"), { value: display });

const session = new Session();
session.connect();

/** Modules are had by `require`: a cell is a script, which has no `import` of its own. */
function withoutImports(code: string): string {
  const from = `\\s+from\\s+(["'][^"']+["']);?`;
  const renamed = (names: string) => `{${names.replace(/\s+as\s+/g, ": ")}}`;
  const statement = (pattern: string) => new RegExp(`^[ \\t]*import\\s+${pattern}`, "gm");
  return code
    .replace(statement(`\\*\\s+as\\s+(\\w+)${from}`), "const $1 = require($2);")
    .replace(statement(`(\\w+)\\s*,\\s*\\{([^}]*)\\}${from}`), (_, name, names, module) => {
      return `const ${name} = require(${module}).default ?? require(${module}); const ${renamed(names)} = require(${module});`;
    })
    .replace(statement(`\\{([^}]*)\\}${from}`), (_, names, module) => `const ${renamed(names)} = require(${module});`)
    .replace(statement(`(\\w+)${from}`), "const $1 = require($2).default ?? require($2);")
    .replace(statement(`(["'][^"']+["']);?`), "require($1);");
}

/** Undefined when the code ran, else what it threw. */
async function run(code: string, language: string): Promise<Runtime.ExceptionDetails | undefined> {
  const expression = withoutImports(language === "typescript" ? stripTypeScriptTypes(code, { mode: "transform" }) : code);
  const evaluated = await session.post("Runtime.evaluate", { expression, replMode: true, awaitPromise: true });
  // The types say that nothing comes back.
  const { result, exceptionDetails } = evaluated as unknown as Runtime.EvaluateReturnType;
  if (exceptionDetails) return exceptionDetails;
  if (result.objectId !== undefined) {
    const functionDeclaration = `function () { globalThis[Symbol.for("sandbox.display")](this); }`;
    await session.post("Runtime.callFunctionOn", { objectId: result.objectId, functionDeclaration });
  } else if (result.unserializableValue !== undefined) tell({ type: "result", text: result.unserializableValue, metadata: {} });
  else if (result.type !== "undefined") display(result.value);
  return undefined;
}

function failure(thrown: Runtime.ExceptionDetails): object {
  const description = thrown.exception?.description ?? String(thrown.exception?.value ?? thrown.text);
  const [first = "", ...frames] = description.split("\n");
  const [, ename = "Error", evalue = first] = /^(\w*(?:Error|Exception)): (.*)$/s.exec(first) ?? [];
  // The frames of this file are none of the caller's code.
  return { type: "error", ename, evalue, traceback: [first, ...frames.filter((frame) => !frame.includes(import.meta.url))] };
}

function refusal({ name, message, stack = "" }: Error): object {
  return { type: "error", ename: name, evalue: message, traceback: stack.split("\n") };
}

// What code leaves running must not end its context.
for (const event of ["uncaughtException", "unhandledRejection"]) {
  process.on(event, (error: unknown) => print("stderr", `${error instanceof Error ? error.stack : error}\n`));
}

let count = 0;
for await (const line of createInterface({ input: createReadStream("", { fd: 3 }) })) {
  const { code, language } = JSON.parse(line);
  count++;
  let ended: object = { type: "execution_complete", execution_count: count };
  try {
    const thrown = await run(code, language);
    if (thrown) ended = failure(thrown);
  } catch (error) {
    // TypeScript that cannot be read.
    ended = refusal(error as Error);
  }
  tell({ ...ended, last: true });
}
