/** A thread that converts one document and ends. */
import { parentPort, workerData } from "node:worker_threads";
import { type Conversion, markdownOf } from "./conversion.ts";

try {
  parentPort?.postMessage({ text: await markdownOf(workerData as Conversion) });
} catch (error) {
  // What recursion cannot follow.
  const tooDeep = error instanceof RangeError && /call stack/.test(error.message);
  parentPort?.postMessage({ error: tooDeep ? "the document is nested too deeply" : (error as Error).message });
}
