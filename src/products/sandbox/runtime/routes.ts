/**
 * The runtime's operations: what the SDK's client asks of the container, over HTTP or over its WebSocket alike. Each answers with
 * one JSON value or with a stream of events; a RuntimeError is the answer of what cannot be done.
 */
import { randomBytes } from "node:crypto";
import { type ArchiveOptions, createArchive, type Part, restoreArchive, uploadParts } from "./backups.ts";
import { invalid, RuntimeError } from "./errors.ts";
import { Files } from "./files.ts";
import { clone } from "./git.ts";
import { Interpreter } from "./interpreter.ts";
import { type PortWatch, watchPort } from "./ports.ts";
import { Processes, runOnce, type SandboxProcess, type StartOptions } from "./processes.ts";
import { Sessions } from "./sessions.ts";
import type { CommandOptions } from "./shell.ts";
import { Watches, type WatchOptions } from "./watches.ts";

export interface RuntimeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: Record<string, unknown>;
  /** Aborted when who asked has gone. */
  readonly signal: AbortSignal;
}

/** An answer in events: Server-Sent Events over HTTP, messages over the WebSocket. */
export class EventStream {
  readonly events: AsyncIterable<object>;

  constructor(events: AsyncIterable<object>) {
    this.events = events;
  }
}

type Handler = (request: RuntimeRequest, id: string) => Promise<object | EventStream> | object;

export interface RuntimeOptions {
  readonly workspace: string;
  readonly version: string;
  /** Milliseconds that commands and runs of code may take when nobody says so; none and 60,000 by default. */
  readonly commandTimeoutMs?: number | undefined;
  readonly codeTimeoutMs?: number | undefined;
}

/** What the client sends as the session when the sandbox's default session is off. */
const NO_SESSION = "__DISABLE_SESSION__";

export class Runtime {
  readonly sessions: Sessions;
  readonly #options: RuntimeOptions;
  readonly #processes = new Processes();
  readonly #files = new Files();
  readonly #watches: Watches;
  readonly #interpreter: Interpreter;
  readonly #routes: readonly (readonly [method: string, pattern: RegExp, handler: Handler])[];

  constructor(options: RuntimeOptions) {
    this.#options = options;
    this.sessions = new Sessions({ workspace: options.workspace, timeoutMs: options.commandTimeoutMs });
    this.#watches = new Watches(options.workspace);
    this.#interpreter = new Interpreter({ workspace: options.workspace, timeoutMs: options.codeTimeoutMs });
    const routes: Record<string, Handler> = {
      ...this.#sessionRoutes(),
      ...this.#commandRoutes(),
      ...this.#fileRoutes(),
      ...this.#codeRoutes(),
      ...this.#backupRoutes(),
      "GET /api/ping": () => ({ status: "healthy" }),
      "GET /api/health": () => ({ status: "healthy" }),
      "GET /api/version": () => ({ version: options.version }),
      "GET /api/commands": () => ({ availableCommands: [], count: 0 }),
    };
    this.#routes = Object.entries(routes).map(([key, handler]) => {
      const [method = "", path = ""] = key.split(" ");
      return [method, new RegExp(`^${path.replace(":id", "([^/]+)")}$`), handler] as const;
    });
  }

  async handle(request: RuntimeRequest): Promise<object | EventStream> {
    for (const [method, pattern, handler] of this.#routes) {
      const match = method === request.method ? pattern.exec(request.path) : null;
      if (!match) continue;
      const answer = await handler(request, decodeURIComponent(match[1] ?? ""));
      return answer instanceof EventStream ? answer : { success: true, ...answer, timestamp: new Date().toISOString() };
    }
    throw new RuntimeError("UNKNOWN_ERROR", `Invalid endpoint: ${request.method} ${request.path}`);
  }

  async stop(): Promise<void> {
    this.#watches.stop();
    await Promise.all([this.#processes.killAll(), this.sessions.stop(), this.#interpreter.stop()]);
  }

  #shell({ body }: RuntimeRequest) {
    // Without a session, paths and processes start from the workspace.
    return this.sessions.get(body.sessionId === NO_SESSION ? undefined : (body.sessionId as string | undefined));
  }

  #sessionRoutes(): Record<string, Handler> {
    return {
      "POST /api/session/create": ({ body }) => {
        const id = (body.id as string | undefined) || `session_${Date.now()}_${randomBytes(6).toString("hex")}`;
        this.sessions.create(id, body);
        return { data: { id }, sessionId: id, containerPlacementId: process.env.CLOUDFLARE_PLACEMENT_ID ?? null };
      },
      "GET /api/session/list": () => ({ data: this.sessions.list(), sessions: this.sessions.list() }),
      "POST /api/session/delete": async ({ body }) => {
        if (typeof body.sessionId !== "string" || body.sessionId === "") throw invalid("sessionId is required");
        await this.sessions.delete(body.sessionId);
        return { sessionId: body.sessionId };
      },
    };
  }

  #commandRoutes(): Record<string, Handler> {
    return {
      "POST /api/execute": async (request) => {
        const { command, background, sessionId } = request.body as { command: string; background?: boolean; sessionId?: string };
        checkCommand(command);
        if (background) return started(await this.#start(request));
        const options = request.body as CommandOptions;
        const result =
          sessionId === NO_SESSION
            ? await runOnce(command, { ...options, cwd: options.cwd ?? this.#options.workspace })
            : await this.#shell(request).run(command, options);
        const { exitCode, stdout, stderr, durationMs } = result;
        return { success: exitCode === 0, exitCode, stdout, stderr, command, duration: durationMs, sessionId };
      },
      "POST /api/execute/stream": async (request) => new EventStream(execution(await this.#start(request), request.signal)),
      "POST /api/process/start": async (request) => started(await this.#start(request)),
      "GET /api/process/list": ({ query }) => ({ processes: this.#processes.list(query.get("status") ?? undefined) }),
      "DELETE /api/process/kill-all": async () => ({ cleanedCount: await this.#processes.killAll() }),
      "GET /api/process/:id": (_, id) => ({ process: this.#processes.get(id) }),
      "DELETE /api/process/:id": async (_, id) => {
        await this.#processes.get(id).kill();
        return { processId: id };
      },
      "GET /api/process/:id/logs": (_, id) => {
        const { log } = this.#processes.get(id);
        return { processId: id, stdout: log.text("stdout"), stderr: log.text("stderr") };
      },
      "GET /api/process/:id/stream": ({ signal }, id) => new EventStream(logs(this.#processes.get(id), signal)),
      "POST /api/port-watch": ({ body, signal }) => {
        const { processId } = body as { processId?: string };
        const watched = processId === undefined ? undefined : this.#processes.get(processId);
        return new EventStream(watchPort(body as unknown as PortWatch, watched, signal));
      },
      "POST /api/git/checkout": async (request) => {
        const { repoUrl, ...options } = request.body as { repoUrl: string };
        const { path, branch } = await clone(this.#shell(request), repoUrl, this.#options.workspace, options);
        return { repoUrl, branch, targetDir: path };
      },
    };
  }

  #fileRoutes(): Record<string, Handler> {
    const files = this.#files;
    type Named = { path: string; encoding?: string; content: string; recursive?: boolean; options?: object };
    return {
      "POST /api/read": async (request) => {
        const { path, encoding } = request.body as Named;
        return { path, ...(await files.read(this.#shell(request), path, encoding)) };
      },
      "POST /api/read/stream": (request) => {
        const { path } = request.body as Named;
        return new EventStream(orError(files.stream(this.#shell(request), path)));
      },
      "POST /api/write": async (request) => {
        const { path, content, encoding } = request.body as Named;
        if (typeof content !== "string") throw invalid("content must be a string");
        await files.write(this.#shell(request), path, content, encoding);
        return { path };
      },
      "POST /api/delete": async (request) => {
        const { path } = request.body as Named;
        await files.delete(this.#shell(request), path);
        return { path };
      },
      "POST /api/rename": async (request) => {
        const { oldPath, newPath } = request.body as { oldPath: string; newPath: string };
        await files.move(this.#shell(request), oldPath, newPath);
        return { path: oldPath, newPath };
      },
      "POST /api/move": async (request) => {
        const { sourcePath, destinationPath } = request.body as { sourcePath: string; destinationPath: string };
        await files.move(this.#shell(request), sourcePath, destinationPath);
        return { path: sourcePath, newPath: destinationPath };
      },
      "POST /api/mkdir": async (request) => {
        const { path, recursive = false } = request.body as Named;
        await files.mkdir(this.#shell(request), path, recursive);
        return { path, recursive };
      },
      "POST /api/list-files": async (request) => {
        const { path, options = {} } = request.body as Named;
        const listed = await files.list(this.#shell(request), path, options);
        return { path, files: listed, count: listed.length };
      },
      "POST /api/exists": async (request) => {
        const { path } = request.body as Named;
        return { path, exists: await files.exists(this.#shell(request), path) };
      },
      "POST /api/watch": async ({ body, signal }) => new EventStream(this.#watches.watch(body as unknown as WatchOptions, signal)),
      "POST /api/watch/check": ({ body }) => this.#watches.check(body as unknown as WatchOptions),
    };
  }

  #codeRoutes(): Record<string, Handler> {
    return {
      "GET /api/interpreter/health": () => ({ status: "healthy" }),
      "POST /api/contexts": ({ body }) => {
        const { id, language, cwd } = this.#interpreter.create({ ...body, env: body.env_vars as Record<string, string> });
        return { contextId: id, language, cwd };
      },
      "GET /api/contexts": () => ({ contexts: this.#interpreter.list().map(({ id, language, cwd }) => ({ id, language, cwd })) }),
      "DELETE /api/contexts/:id": async (_, id) => {
        await this.#interpreter.delete(id);
        return { contextId: id };
      },
      "POST /api/execute/code": ({ body }) => {
        const { context_id: id, code, language, timeout_ms: timeoutMs } = body as Record<string, string> & { timeout_ms?: number };
        if (typeof code !== "string") throw invalid("code must be a string");
        return new EventStream(this.#interpreter.run(id ?? "", code, { language, timeoutMs }));
      },
    };
  }

  #backupRoutes(): Record<string, Handler> {
    return {
      "POST /api/backup/create": (request) => createArchive(this.#shell(request), request.body as unknown as ArchiveOptions),
      "POST /api/backup/restore": async (request) => {
        const { dir, archivePath } = request.body as { dir: string; archivePath: string };
        await restoreArchive(this.#shell(request), dir, archivePath);
        return { dir };
      },
      "POST /api/backup/upload-parts": async ({ body }) => {
        const { archivePath, parts } = body as { archivePath: string; parts: Part[] };
        return { parts: await uploadParts(archivePath, parts) };
      },
    };
  }

  #start(request: RuntimeRequest): Promise<SandboxProcess> {
    const { command, ...options } = request.body as unknown as { command: string } & StartOptions;
    checkCommand(command);
    return this.#processes.start(this.#shell(request), command, options);
  }
}

function checkCommand(command: unknown): void {
  if (typeof command !== "string" || command.trim() === "") {
    throw new RuntimeError("INVALID_COMMAND", "Invalid command: empty command provided");
  }
}

function started({ id, pid, command }: SandboxProcess): object {
  return { processId: id, pid, command };
}

const now = () => new Date().toISOString();

async function* execution(process: SandboxProcess, signal: AbortSignal): AsyncGenerator<object> {
  yield { type: "start", command: process.command, pid: process.pid, timestamp: now() };
  for await (const { stream, data } of process.log.follow(signal)) yield { type: stream, data, timestamp: now() };
  yield { type: "complete", exitCode: process.exitCode, timestamp: now() };
}

async function* logs(process: SandboxProcess, signal: AbortSignal): AsyncGenerator<object> {
  const { id: processId, command, status } = process;
  yield { type: "process_info", processId, command, status, timestamp: now() };
  for await (const { stream, data } of process.log.follow(signal)) yield { type: stream, data, processId, timestamp: now() };
  const { exitCode } = process;
  yield { type: "exit", processId, exitCode, data: `Process ${process.status} with exit code ${exitCode}`, timestamp: now() };
}

/** A file that cannot be read is told as the stream's one event: its client reads no other errors. */
async function* orError(events: AsyncIterable<object>): AsyncGenerator<object> {
  try {
    yield* events;
  } catch (error) {
    yield { type: "error", error: (error as Error).message };
  }
}
