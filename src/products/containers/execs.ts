/** Commands that objects run in their containers (`ctx.container.exec`). Each is its script's alone. */
import type { Duplex } from "node:stream";
import type { Engine, EngineAnswer } from "./engine.ts";
import type { Instance } from "./instances.ts";

export interface Execs {
  /** Prepares a command of the instance; `given` is what Docker's API takes, of which only known members count. */
  create(scriptId: string, instance: Instance, given: unknown): Promise<string>;
  /** "json", "resize" or "start" without its streams; undefined when the script has no such command. */
  call(scriptId: string, id: string, call: string, query: URLSearchParams, body: unknown): Promise<EngineAnswer | undefined>;
  /** Starts the command; the stream is its input and output. */
  attach(scriptId: string, id: string, body: unknown): Promise<Duplex | undefined>;
}

/** Commands that are remembered; the engine forgets them with their containers. */
const EXECS_MAX = 10_000;

export function openExecs(engine: Engine): Execs {
  const owners = new Map<string, string>();

  const startBody = (given: unknown): object => {
    const { Detach = false, Tty = false, ConsoleSize } = given as { Detach?: boolean; Tty?: boolean; ConsoleSize?: number[] };
    return { Detach, Tty, ...(ConsoleSize && { ConsoleSize }) };
  };

  return {
    async create(scriptId, { containerId }, given) {
      const { AttachStdin, AttachStdout, AttachStderr, Tty, Cmd, Env, WorkingDir, User } = given as Record<string, unknown>;
      // No `Privileged`: a command has no more rights than its container.
      const spec = { AttachStdin, AttachStdout, AttachStderr, Tty, Cmd, Env, WorkingDir, User };
      const { status, body } = await engine.call("POST", `/containers/${containerId}/exec`, spec);
      const answer = JSON.parse(body.toString()) as { Id?: string; message?: string };
      if (status !== 201 || answer.Id === undefined) throw new Error(answer.message ?? `the engine answered ${status}`);
      if (owners.size >= EXECS_MAX) owners.delete(owners.keys().next().value as string);
      owners.set(answer.Id, scriptId);
      return answer.Id;
    },
    async call(scriptId, id, call, query, body) {
      if (owners.get(id) !== scriptId) return undefined;
      if (call === "json") return engine.call("GET", `/exec/${id}/json`);
      if (call === "start") return engine.call("POST", `/exec/${id}/start`, startBody(body));
      const [h, w] = [Number(query.get("h")), Number(query.get("w"))];
      return engine.call("POST", `/exec/${id}/resize?h=${h}&w=${w}`);
    },
    async attach(scriptId, id, body) {
      if (owners.get(id) !== scriptId) return undefined;
      const stream = await engine.hijack("POST", `/exec/${id}/start`, startBody(body));
      if ("status" in stream) throw new Error(stream.body.toString());
      return stream;
    },
  };
}
