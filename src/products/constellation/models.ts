/** The process of models (`models-process.ts`), from the platform's side. Started when it is first needed, and again after it died. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { threadProgram } from "../../kernel/file-threads.ts";
import type { Log } from "../../kernel/log.ts";
import type { Reply, ThreadData } from "./model-thread.ts";
import type { FromModels, ToModels } from "./models-process.ts";

export interface ThreadEvents {
  replied(reply: Reply): void;
  /** There is no thread any more. */
  lost(why: string): void;
}

export interface RemoteThread {
  run(body: Uint8Array): void;
  /** Nothing is heard of it any more. */
  end(): void;
}

export class Models {
  readonly #log: Log;
  readonly #threads = new Map<number, ThreadEvents>();
  #process: ChildProcess | undefined;
  #count = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  start(data: ThreadData, events: ThreadEvents): RemoteThread {
    const thread = this.#count++;
    this.#threads.set(thread, events);
    this.#send({ thread, start: data });
    return {
      run: (run) => this.#send({ thread, run }),
      end: () => {
        if (this.#threads.delete(thread)) this.#send({ thread, end: true });
      },
    };
  }

  async stop(): Promise<void> {
    const running = this.#process;
    if (running === undefined) return;
    const ended = new Promise((resolve) => running.once("exit", resolve));
    running.kill("SIGKILL");
    await ended;
  }

  #send(message: ToModels): void {
    this.#process ??= this.#open();
    // What cannot be sent any more is told by the process's end.
    this.#process.send(message, () => undefined);
  }

  #open(): ChildProcess {
    const program = fileURLToPath(threadProgram(import.meta.url, "./models-process.ts"));
    const child = fork(program, { serialization: "advanced", execArgv: [], env: {}, stdio: ["ignore", "ignore", "ignore", "ipc"] });
    child.on("message", (message: FromModels) => {
      const events = this.#threads.get(message.thread);
      if ("reply" in message) return events?.replied(message.reply);
      this.#threads.delete(message.thread);
      events?.lost(message.lost);
    });
    const gone = (why: string): void => {
      if (this.#process !== child) return;
      this.#process = undefined;
      if (this.#threads.size > 0) this.#log.warn("constellation.process_lost", { why, threads: this.#threads.size });
      for (const events of this.#threads.values()) events.lost(why);
      this.#threads.clear();
    };
    child.on("error", (error) => gone(error.message));
    child.on("exit", () => gone("it, or another that ran beside it, took too much memory"));
    return child;
  }
}
