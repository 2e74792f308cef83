/** The thread in which events are planned, one after another. Its other side is `evaluator.ts`, which ends it when it takes too long. */
import { parentPort } from "node:worker_threads";
import { type Plan, type PlanAsk, planOf } from "./plan.ts";

export type ToThread = { readonly ask: PlanAsk } | { readonly variable: string; readonly value: string };
export type FromThread = { readonly ready: true } | { readonly plan: Plan } | { readonly failed: string } | { readonly wanted: string };

const port = parentPort;
if (port === null) throw new Error("this is a thread's program");
const send = (message: FromThread): void => port.postMessage(message);
const wanted = new Map<string, (value: string) => void>();

const workerValue = (id: string): Promise<string> =>
  new Promise((resolve) => {
    wanted.set(id, resolve);
    send({ wanted: id });
  });

port.on("message", (message: ToThread) => {
  if ("variable" in message) return wanted.get(message.variable)?.(message.value);
  planOf(message.ask, workerValue).then(
    (plan) => send({ plan: JSON.parse(JSON.stringify(plan)) as Plan }),
    (error: Error) => send({ failed: error.message }),
  );
});
send({ ready: true });
