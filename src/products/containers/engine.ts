/**
 * The container engine: the calls of Docker's API that the platform makes, over its unix socket. It knows containers,
 * images and networks by the names that it is given, and nothing of applications.
 * https://docs.docker.com/reference/api/engine/
 */
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

export interface Engine {
  /** Version of the engine that answers, or why none does. */
  version(): Promise<{ readonly version: string } | { readonly missing: string }>;
  /** Creates a container and gives its id. */
  create(name: string, spec: ContainerSpec): Promise<string>;
  start(id: string): Promise<void>;
  inspect(id: string): Promise<ContainerState | undefined>;
  /** Resolves when the container has ended. */
  ended(id: string, signal: AbortSignal): Promise<void>;
  kill(id: string, signal: string): Promise<void>;
  /** Ends and deletes the container; a missing one is success. */
  remove(id: string): Promise<void>;
  /** Containers with all of these labels, running or not. */
  list(labels: readonly string[]): Promise<readonly ListedContainer[]>;
  /** Gets the image if it is not there. Throws with the engine's words. */
  pull(reference: string, credentials?: { readonly username: string; readonly password: string }): Promise<void>;
  hasImage(reference: string): Promise<boolean>;
  /** Makes the network unless there is one of that name; `bridge` is the name of its interface on the machine. */
  network(name: string, options: { readonly internal: boolean; readonly bridge: string; readonly label: string }): Promise<void>;
  /** Deletes a network that no container uses; a missing one is success. */
  removeNetwork(name: string): Promise<void>;
  /** CPU time since its start, and memory now; undefined when it does not run. */
  stats(id: string): Promise<{ readonly cpuNs: number; readonly memoryBytes: number } | undefined>;
  /** Ids of containers in which a process was killed for want of memory, as it happens. Ends with the signal or the engine. */
  outOfMemory(label: string, signal: AbortSignal): AsyncIterable<string>;
  /** Any other call. The answer's status and whole body, which is small. */
  call(method: string, path: string, body?: unknown): Promise<EngineAnswer>;
  /** A call whose answer does not end, or is large. */
  stream(method: string, path: string, signal: AbortSignal): Promise<IncomingMessage>;
  /** A call that takes over the connection. */
  hijack(method: string, path: string, body: unknown): Promise<Duplex | EngineAnswer>;
  close(): void;
}

export interface EngineAnswer {
  readonly status: number;
  readonly body: Buffer;
}

/** What `POST /containers/create` takes, as far as it is used here. */
export interface ContainerSpec {
  readonly Image: string;
  readonly Env: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
  readonly HostConfig: Readonly<Record<string, unknown>>;
}

export interface ContainerState {
  readonly running: boolean;
  readonly exitCode: number;
  readonly oomKilled: boolean;
  /** In the network it was created with; empty when it does not run. */
  readonly address: string;
}

export interface ListedContainer {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly running: boolean;
}

/** The engine answered that a call is not possible. */
export class EngineError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "EngineError";
    this.status = status;
  }
}

const ANSWER_MAX_BYTES = 16 * 1024 * 1024;

export function openEngine(socketPath: string): Engine {
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });

  function send(
    method: string,
    path: string,
    body?: unknown,
    options: { headers?: Record<string, string>; signal?: AbortSignal; agent?: Agent | false } = {},
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
      const headers = {
        host: "docker",
        ...(payload && { "content-type": "application/json", "content-length": String(payload.length) }),
        ...options.headers,
      };
      const request = httpRequest({ socketPath, method, path, headers, agent, ...options }, resolve);
      request.on("error", reject);
      request.end(payload);
    });
  }

  async function read(answer: IncomingMessage): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > ANSWER_MAX_BYTES) throw new EngineError(500, `the engine's answer has more than ${ANSWER_MAX_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  async function call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<EngineAnswer> {
    const answer = await send(method, path, body, headers && { headers });
    return { status: answer.statusCode ?? 0, body: await read(answer) };
  }

  /** The call's JSON; throws unless it succeeded or has one of the other statuses. */
  async function wanted(method: string, path: string, body?: unknown, alsoFine: readonly number[] = []): Promise<EngineAnswer> {
    const answer = await call(method, path, body);
    if (answer.status < 300 || alsoFine.includes(answer.status)) return answer;
    throw new EngineError(answer.status, messageOf(answer.body));
  }

  return {
    async version() {
      try {
        const { status, body } = await call("GET", "/version");
        if (status !== 200) return { missing: messageOf(body) };
        return { version: String((JSON.parse(body.toString()) as { Version: string }).Version) };
      } catch (error) {
        return { missing: (error as Error).message };
      }
    },
    async create(name, spec) {
      const { body } = await wanted("POST", `/containers/create?name=${name}`, spec);
      return (JSON.parse(body.toString()) as { Id: string }).Id;
    },
    async start(id) {
      await wanted("POST", `/containers/${id}/start`, undefined, [304]);
    },
    async inspect(id) {
      const answer = await wanted("GET", `/containers/${id}/json`, undefined, [404]);
      if (answer.status === 404) return undefined;
      const { State, NetworkSettings } = JSON.parse(answer.body.toString()) as {
        State: { Running: boolean; ExitCode: number; OOMKilled: boolean };
        NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
      };
      const address = Object.values(NetworkSettings.Networks).find(({ IPAddress }) => IPAddress !== "")?.IPAddress ?? "";
      return { running: State.Running, exitCode: State.ExitCode, oomKilled: State.OOMKilled, address };
    },
    async ended(id, signal) {
      const answer = await send("POST", `/containers/${id}/wait`, undefined, { signal });
      const body = await read(answer);
      // One that is not there has ended, too.
      if (answer.statusCode !== 200 && answer.statusCode !== 404) throw new EngineError(answer.statusCode ?? 0, messageOf(body));
    },
    async kill(id, signal) {
      // 409: it does not run any more.
      await wanted("POST", `/containers/${id}/kill?signal=${signal}`, undefined, [404, 409]);
    },
    async remove(id) {
      // 409: its removal is already under way.
      await wanted("DELETE", `/containers/${id}?force=true&v=true`, undefined, [404, 409]);
    },
    async list(labels) {
      const filters = encodeURIComponent(JSON.stringify({ label: labels }));
      const { body } = await wanted("GET", `/containers/json?all=true&filters=${filters}`);
      const found = JSON.parse(body.toString()) as { Id: string; Labels: Record<string, string>; State: string }[];
      return found.map(({ Id, Labels, State }) => ({ id: Id, labels: Labels, running: State === "running" }));
    },
    async pull(reference, credentials) {
      const auth = credentials && { "x-registry-auth": padded(JSON.stringify(credentials)) };
      const { status, body } = await call("POST", `/images/create?fromImage=${encodeURIComponent(reference)}`, undefined, auth);
      if (status !== 200) throw new EngineError(status, messageOf(body));
      // Whether it worked stands in the last lines of its progress.
      const failed = body
        .toString()
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => (JSON.parse(line) as { error?: string }).error)
        .find((error) => error !== undefined);
      if (failed !== undefined) throw new EngineError(500, failed);
    },
    async hasImage(reference) {
      return (await wanted("GET", `/images/${encodeURIComponent(reference)}/json`, undefined, [404])).status !== 404;
    },
    async removeNetwork(name) {
      await wanted("DELETE", `/networks/${name}`, undefined, [403, 404, 409]);
    },
    async stats(id) {
      const answer = await wanted("GET", `/containers/${id}/stats?stream=false&one-shot=true`, undefined, [404, 409]);
      if (answer.status !== 200) return undefined;
      const { cpu_stats: cpu, memory_stats: memory } = JSON.parse(answer.body.toString()) as {
        cpu_stats: { cpu_usage: { total_usage: number } };
        memory_stats: { usage?: number };
      };
      return memory.usage === undefined ? undefined : { cpuNs: cpu.cpu_usage.total_usage, memoryBytes: memory.usage };
    },
    async *outOfMemory(label, signal) {
      const filters = encodeURIComponent(JSON.stringify({ type: ["container"], event: ["oom"], label: [label] }));
      const answer = await send("GET", `/events?filters=${filters}`, undefined, { signal });
      let rest = "";
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        const parts = `${rest}${chunk.toString("utf8")}`.split("\n");
        rest = parts.pop() as string;
        for (const part of parts) if (part !== "") yield (JSON.parse(part) as { Actor: { ID: string } }).Actor.ID;
      }
    },
    async network(name, { internal, bridge, label }) {
      if ((await wanted("GET", `/networks/${name}`, undefined, [404])).status !== 404) return;
      const spec = {
        Name: name,
        CheckDuplicate: true,
        Driver: "bridge",
        Internal: internal,
        Labels: { [label]: "1" },
        // Containers do not reach each other: they may be different Workers'.
        Options: { "com.docker.network.bridge.enable_icc": "false", "com.docker.network.bridge.name": bridge },
      };
      await wanted("POST", "/networks/create", spec, [409]);
    },
    call: (method, path, body) => call(method, path, body),
    stream: (method, path, signal) => send(method, path, undefined, { signal }),
    hijack(method, path, body) {
      return new Promise((resolve, reject) => {
        const payload = Buffer.from(JSON.stringify(body));
        const headers = {
          host: "docker",
          connection: "Upgrade",
          upgrade: "tcp",
          "content-type": "application/json",
          "content-length": String(payload.length),
        };
        const request = httpRequest({ socketPath, method, path, headers, agent: false });
        request.on("error", reject);
        request.on("response", (answer) => {
          read(answer).then((bytes) => resolve({ status: answer.statusCode ?? 0, body: bytes }), reject);
        });
        request.on("upgrade", (_answer, socket, head) => {
          if (head.length > 0) socket.unshift(head);
          resolve(socket);
        });
        request.end(payload);
      });
    },
    close: () => agent.destroy(),
  };
}

/** In base64 for URLs, with the padding that the engine insists on: without it, it takes the call for one without credentials. */
const padded = (text: string): string => Buffer.from(text).toString("base64").replaceAll("+", "-").replaceAll("/", "_");

/** The engine's own words. */
export function messageOf(body: Buffer): string {
  try {
    return String((JSON.parse(body.toString()) as { message: string }).message);
  } catch {
    return body.toString().slice(0, 1000);
  }
}
