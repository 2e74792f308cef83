/**
 * The sandbox's sessions by their ids. A session that is used before it was created is made then, in /workspace; one whose shell
 * has ended by itself says so once and begins anew after that.
 */
import { RuntimeError } from "./errors.ts";
import { Shell, type Variables } from "./shell.ts";

export interface SessionOptions {
  readonly cwd?: string | undefined;
  readonly env?: Variables | undefined;
  readonly commandTimeoutMs?: number | undefined;
}

const DEFAULT_SESSION = "default";

export class Sessions {
  readonly #shells = new Map<string, Shell>();
  readonly #workspace: string;
  /** Milliseconds a command may take when neither it nor its session says so; from COMMAND_TIMEOUT_MS, none by default. */
  readonly #timeoutMs: number | undefined;

  constructor(options: { workspace: string; timeoutMs?: number | undefined }) {
    this.#workspace = options.workspace;
    this.#timeoutMs = options.timeoutMs;
  }

  create(id: string, options: SessionOptions): Shell {
    if (this.#shells.get(id)?.alive) throw new RuntimeError("SESSION_ALREADY_EXISTS", `Session '${id}' already exists`, { sessionId: id });
    const shell = new Shell(id, {
      cwd: options.cwd ?? this.#workspace,
      env: options.env,
      timeoutMs: options.commandTimeoutMs ?? this.#timeoutMs,
    });
    this.#shells.set(id, shell);
    return shell;
  }

  get(id: string = DEFAULT_SESSION): Shell {
    if (id.trim() === "") throw new RuntimeError("VALIDATION_FAILED", "sessionId must not be empty or whitespace");
    const shell = this.#shells.get(id);
    if (!shell) return this.create(id, {});
    if (shell.alive) return shell;
    this.#shells.delete(id);
    if (shell.told) return this.create(id, {});
    throw shell.termination();
  }

  list(): string[] {
    return [...this.#shells.keys()];
  }

  async delete(id: string): Promise<void> {
    const shell = this.#shells.get(id);
    if (!shell)
      throw new RuntimeError("INTERNAL_ERROR", `Session '${id}' not found`, { sessionId: id, originalError: "Session not found" });
    this.#shells.delete(id);
    await shell.destroy();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#shells.values()].map((shell) => shell.destroy()));
    this.#shells.clear();
  }
}
