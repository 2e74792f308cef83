/**
 * Calls of the account's Workers that a configuration names: variables, the enricher of the Context, custom components. They
 * get JSON in a POST, as the real service sends it, and answer in bounded time and length.
 */
import { request } from "node:http";
import type { Dispatch } from "../../kernel/capabilities.ts";
import type { WorkerName } from "./model.ts";

export interface WorkerCalls {
  /** The body of the answer. Rejects when there is no such Worker, when it fails, and when it takes too long. */
  call(worker: WorkerName, path: string, body: unknown): Promise<string>;
}

const CALL_MAX_MS = 10_000;
const ANSWER_MAX_BYTES = 1024 * 1024;

export function workerCalls(dispatch: Dispatch): WorkerCalls {
  return {
    async call({ escapedWorkerName: name }, path, body) {
      if (!dispatch.has(name)) throw new Error(`there is no Worker ${JSON.stringify(name)}`);
      const process = await dispatch.enter(name);
      try {
        const { status, text } = await post(process.socket("http"), path, JSON.stringify(body));
        if (status < 200 || status > 299) throw new Error(`the Worker ${JSON.stringify(name)} answered with status ${status}`);
        return text;
      } finally {
        process.release();
      }
    },
  };
}

function post(socketPath: string, path: string, body: string): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { host: "zaraz", "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const call = request({ socketPath, path, method: "POST", headers, signal: AbortSignal.timeout(CALL_MAX_MS) }, (answer) => {
      const pieces: Buffer[] = [];
      let size = 0;
      answer.on("data", (piece: Buffer) => {
        size += piece.length;
        if (size > ANSWER_MAX_BYTES) call.destroy(new Error("the Worker's answer is too long"));
        else pieces.push(piece);
      });
      answer.once("error", reject);
      answer.once("end", () => resolve({ status: answer.statusCode as number, text: Buffer.concat(pieces).toString("utf8") }));
    });
    call.once("error", reject);
    call.end(body);
  });
}
