/** What passes between `file-threads.ts` and its threads, and the threads' side of it. Plain data only. */
import { parentPort } from "node:worker_threads";

/** Requests of a product's threads by kind. */
export type Asking<R> = { readonly [K in keyof R]: { readonly ask: unknown; readonly answer: unknown } };

export interface Call {
  readonly call: number;
  readonly kind: string;
  readonly ask: unknown;
}

export type Reply =
  | { readonly call: number; readonly ok: true; readonly answer: unknown }
  | { readonly call: number; readonly ok: false; readonly error: unknown };

export type Handlers<R extends Asking<R>> = { readonly [K in keyof R]: (ask: R[K]["ask"]) => R[K]["answer"] };

/** Answers requests one after another: the last line of a thread's program. */
export function serveCalls<R extends Asking<R>>(handlers: Handlers<R>): void {
  const port = parentPort;
  if (port === null) throw new Error("this is a thread's program");
  port.on("message", ({ call, kind, ask }: Call) => {
    let reply: Reply;
    try {
      const handle = handlers[kind as keyof R] as (ask: unknown) => unknown;
      reply = { call, ok: true, answer: handle(ask) };
    } catch (error) {
      reply = { call, ok: false, error };
    }
    port.postMessage(reply);
  });
}
