/**
 * What a Python main module exports, read from its source: the classes at its top level that derive from one of the SDK's
 * (`Default` is the default export), or `on_fetch` and its like of the older form. Nothing runs here.
 * https://developers.cloudflare.com/workers/languages/python/
 */
import type { ExportInfo } from "./model.ts";

const BASES: Readonly<Record<string, ExportInfo["type"]>> = {
  WorkerEntrypoint: "entrypoint",
  DurableObject: "durable-object",
  WorkflowEntrypoint: "workflow",
};

export function pythonExports(source: string): ExportInfo[] {
  const exports: ExportInfo[] = [];
  // A class goes on until the next line that is not indented.
  for (const [, name, bases, body] of source.matchAll(
    /^class[ \t]+(\w+)[ \t]*\(([^)]*)\)[ \t]*:((?:.*\n?)(?:(?:[ \t]+.*|[ \t]*)(?:\n|$))*)/gm,
  )) {
    const base = (bases as string)
      .split(",")
      .map((part) => part.trim().replace(/^.*\./, ""))
      .find((part) => Object.hasOwn(BASES, part));
    if (base === undefined) continue;
    const handlers = [...(body as string).matchAll(/^[ \t]+(?:async[ \t]+)?def[ \t]+([a-z]\w*)/gm)].map((match) => match[1] as string);
    exports.push({ name: name === "Default" ? "default" : (name as string), type: BASES[base] as ExportInfo["type"], handlers });
  }
  const older = [...source.matchAll(/^(?:async[ \t]+)?def[ \t]+on_(\w+)/gm)].map((match) => match[1] as string);
  if (older.length > 0 && !exports.some(({ name }) => name === "default"))
    exports.push({ name: "default", type: "object", handlers: older });
  return exports;
}
