/**
 * The thread behind `hash-pool.ts`: runs digests over memory that it shares with the main thread. Knows digests by
 * number; one message in, at most one out.
 */
import { parentPort } from "node:worker_threads";
import type { Digest } from "../../protocols/s3/index.ts";
import { digest } from "./digest.ts";
import type { DigestName, Digests } from "./model.ts";

export type HashRequest =
  | { readonly kind: "open"; readonly lane: number; readonly names: readonly DigestName[] }
  | { readonly kind: "update"; readonly lane: number; readonly memory: SharedArrayBuffer; readonly length: number }
  | { readonly kind: "digest"; readonly lane: number }
  | { readonly kind: "drop"; readonly lane: number };

/** Answers `update` (nothing) and `digest` (hex by name). */
export interface HashAnswer {
  readonly lane: number;
  readonly digests?: Digests;
}

const lanes = new Map<number, readonly (readonly [DigestName, Digest])[]>();
const port = parentPort;
if (port === null) throw new Error("hash-thread.ts is a worker thread's program");

port.on("message", (request: HashRequest) => {
  const { lane } = request;
  switch (request.kind) {
    case "open":
      lanes.set(
        lane,
        request.names.map((name) => [name, digest(name)] as const),
      );
      return;
    case "update": {
      const bytes = new Uint8Array(request.memory, 0, request.length);
      for (const [, one] of lanes.get(lane) ?? []) one.update(bytes);
      port.postMessage({ lane } satisfies HashAnswer);
      return;
    }
    case "digest": {
      const digests: Digests = Object.fromEntries((lanes.get(lane) ?? []).map(([name, one]) => [name, one.digest().toString("hex")]));
      lanes.delete(lane);
      port.postMessage({ lane, digests } satisfies HashAnswer);
      return;
    }
    case "drop":
      lanes.delete(lane);
  }
});
