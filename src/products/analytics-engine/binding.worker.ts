/**
 * `env.NAME` of a dataset: `writeDataPoint()` as the types of Workers have it. It returns at once; points of one turn of the
 * event loop travel together, and the invocation lives until they have arrived. What is wrong with a point is a TypeError in
 * workerd's words; what happens to it afterwards is never an exception.
 */
// @ts-expect-error The types of Workers do not know workerd's own modules.
import runtime from "cloudflare-internal:workers";
import type { PointLimits, WirePoint } from "./limits.ts";

interface DataPoint {
  readonly indexes?: unknown;
  readonly doubles?: unknown;
  readonly blobs?: unknown;
}

const { now } = Date;
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const PREFIX = "writeDataPoint(): ";

class AnalyticsEngine {
  readonly #send: (body: string) => Promise<Response>;
  readonly #limits: PointLimits;
  #waiting: WirePoint[] = [];

  constructor(points: Fetcher, limits: PointLimits) {
    this.#limits = limits;
    // The method as it is now: what counts the subrequests of a Worker is put around it later.
    const fetch = points.fetch.bind(points);
    this.#send = (body) => fetch("http://analytics-engine/points", { method: "POST", body });
  }

  writeDataPoint(event?: DataPoint): void {
    this.#waiting.push(pointOf(event, this.#limits));
    // Within this turn only one invocation runs.
    if (this.#waiting.length === 1) runtime.waitUntil(this.#flush());
  }

  async #flush(): Promise<void> {
    await undefined;
    const points = this.#waiting;
    this.#waiting = [];
    try {
      await (await this.#send(JSON.stringify(points))).arrayBuffer();
    } catch {
      // The platform is stopping, or the invocation was cut off: the point is lost, as documented for a write that fails.
    }
  }
}

function pointOf(event: DataPoint | null | undefined, limits: PointLimits): WirePoint {
  const time = now();
  if (event === undefined || event === null) return [time, "", [], []];
  if (typeof event !== "object" && typeof event !== "function")
    throw new TypeError("Failed to execute 'writeDataPoint' on 'AnalyticsEngine': parameter 1 is not of type 'AnalyticsEngineEvent'.");
  const indexes = listOf(event.indexes, "indexes", limits.indexes);
  const blobs = listOf(event.blobs, "blobs", limits.blobs).map(textOf);
  const doubles = listOf(event.doubles, "doubles", limits.doubles).map(numberOf);
  const index = textOf(indexes[0]);
  if (bytesOf(index) > limits.indexBytes) throw new TypeError(`${PREFIX}Size of indexes[0] exceeds ${limits.indexBytes} bytes).`);
  if (blobs.reduce((sum, blob) => sum + bytesOf(blob), 0) > limits.blobsBytes)
    throw new TypeError(`${PREFIX}Cumulative size of blobs exceeds ${limits.blobsBytes} bytes).`);
  return [time, index, blobs, doubles];
}

function listOf(value: unknown, field: string, max: number): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value))
    throw new TypeError(`Incorrect type for the '${field}' field on 'AnalyticsEngineEvent': the provided value is not of type 'Array'.`);
  if (value.length > max) throw new TypeError(`${PREFIX}Maximum of ${max} ${field} supported.`);
  // Array.from: a hole is an undefined.
  return Array.from(value as unknown[]);
}

/** Text, bytes as UTF-8, nothing as the empty text. */
function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return decoder.decode(value);
  if (typeof value === "symbol") throw new TypeError("Cannot convert a Symbol value to a string");
  return String(value).toWellFormed();
}

function numberOf(value: unknown): WirePoint[3][number] {
  if (typeof value === "bigint") throw new TypeError("Cannot convert a BigInt value to a number");
  const number = Number(value);
  return Number.isFinite(number) ? number : (String(number) as WirePoint[3][number]);
}

const bytesOf = (text: string): number => encoder.encode(text).length;

export default (env: { readonly points: Fetcher; readonly limits: PointLimits }): AnalyticsEngine =>
  new AnalyticsEngine(env.points, env.limits);
