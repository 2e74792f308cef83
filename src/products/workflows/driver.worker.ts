/**
 * Runs instances of the Workflows that a Worker implements, inside its process: calls `run()` of the user's class with
 * steps that ask the engine. A trusted Worker beside the user's; only the platform reaches its socket. It keeps nothing:
 * when the engine ends the request, everything that the run has started ends with it.
 */
import { RpcTarget } from "cloudflare:workers";
import { RUN_OVER, type RunOrder, type RunOutcome } from "./protocol.worker.ts";
import { type DriverEnv, Engine, Run, RunOver } from "./run.worker.ts";
import { decode, encode, NotSerialisable } from "./values.worker.ts";

/** What user code gets as `step`. Its methods are all that can be reached through it. */
class Step extends RpcTarget {
  readonly #run: Run;

  constructor(run: Run) {
    super();
    this.#run = run;
  }

  do(name: string, ...rest: unknown[]): Promise<unknown> {
    return this.#run.do(name, rest);
  }

  sleep(name: string, duration: unknown): Promise<void> {
    return this.#run.sleep(name, duration);
  }

  sleepUntil(name: string, time: unknown): Promise<void> {
    return this.#run.sleepUntil(name, time);
  }

  waitForEvent(name: string, options: unknown): Promise<unknown> {
    return this.#run.waitForEvent(name, options);
  }
}

interface UserWorkflow {
  run(event: unknown, step: Step): Promise<unknown>;
}

export default {
  async fetch(request: Request, env: DriverEnv & { readonly [service: `class:${string}`]: UserWorkflow }): Promise<Response> {
    const order = (await request.json()) as RunOrder;
    const run = new Run(order, new Engine(env.ENGINE, order.run), env.PRESERVE_ERRORS);
    try {
      return Response.json(await outcomeOf(order, env[`class:${order.className}`] as UserWorkflow, run));
    } catch (error) {
      // The engine has let go of this run: nobody reads the answer.
      if (error instanceof RunOver) return new Response(null, { status: RUN_OVER });
      throw error;
    }
  },
};

async function outcomeOf(order: RunOrder, workflow: UserWorkflow, run: Run): Promise<RunOutcome> {
  const { instanceId, workflowName, schedule } = order;
  const event = {
    payload: decode(order.params),
    timestamp: new Date(order.timestamp),
    instanceId,
    workflowName,
    ...(schedule !== undefined && { schedule }),
  };
  let output: unknown;
  try {
    output = await workflow.run(event, new Step(run));
    if (order.rollback === undefined) return { output: encodedOutput(output, order.valueMaxBytes) };
  } catch (error) {
    if (order.rollback === undefined) return await run.failed(error);
  } finally {
    (output as Disposable | undefined)?.[Symbol.dispose]?.();
  }
  return { error: order.rollback, rollback: await run.undo(order.rollback) };
}

function encodedOutput(output: unknown, maxBytes: number): string {
  try {
    const { text, bytes } = encode(output);
    if (bytes <= maxBytes) return text;
  } catch (error) {
    if (!(error instanceof NotSerialisable)) throw error;
    throw Object.assign(
      new Error("The execution of the Workflow instance was terminated, as run() returned a value which is not serialisable"),
      { name: "WorkflowFatalError" },
    );
  }
  throw Object.assign(new Error("The output of the Workflow instance is too large. Maximum allowed size is 1MiB."), {
    name: "WorkflowInternalError",
  });
}
