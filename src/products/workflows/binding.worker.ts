/**
 * What `env.NAME` of a workflow binding calls: workerd's own Workflow class wraps it (`cloudflare-internal:workflows-api`).
 * It knows no workflow: which one it speaks for is in the capability that workerd adds to its requests.
 */
import { WorkerEntrypoint } from "cloudflare:workers";
import { decode, encode, NotSerialisable } from "./values.worker.ts";

interface CreateOptions {
  readonly id?: unknown;
  readonly params?: unknown;
  readonly retention?: unknown;
}

export default class WorkflowBinding extends WorkerEntrypoint<{ readonly ENGINE: Fetcher }> {
  async #call(operation: string, content: unknown): Promise<unknown> {
    const response = await this.env.ENGINE.fetch(`http://workflows/${operation}`, { method: "POST", body: JSON.stringify(content) });
    const answer = (await response.json()) as { name: string; message: string };
    if (!response.ok) throw Object.assign(new Error(answer.message), { name: answer.name });
    return answer;
  }

  create(options: CreateOptions | null = {}): Promise<unknown> {
    return this.#call("create", wire(options ?? {}));
  }

  async createBatch(
    batch: readonly CreateOptions[] | ({ count?: number; instances?: readonly CreateOptions[] } & CreateOptions),
  ): Promise<unknown> {
    if (Array.isArray(batch)) return this.#call("createBatch", { instances: batch.map(wire), skipExisting: true });
    const { count, instances, ...shared } = batch as { count?: number; instances?: readonly CreateOptions[] } & CreateOptions;
    if (instances !== undefined) return this.#call("createBatch", { instances: instances.map(wire), skipExisting: false });
    return this.#call("createBatch", {
      instances: Array.from({ length: Math.min(Number(count), 101) }, () => wire(shared)),
      skipExisting: false,
    });
  }

  deleteBatch(batch: { readonly instances: unknown }): Promise<unknown> {
    return this.#call("deleteBatch", { instances: batch.instances });
  }

  getInstance(id: unknown): Promise<unknown> {
    return this.#call("get", { id });
  }

  async status(id: unknown): Promise<unknown> {
    const { output, ...rest } = (await this.#call("status", { id })) as { output: string | null };
    return { ...rest, output: output === null ? null : decode(output) };
  }

  async pause(id: unknown): Promise<void> {
    await this.#call("pause", { id });
  }

  async resume(id: unknown): Promise<void> {
    await this.#call("resume", { id });
  }

  async terminate(id: unknown, options?: { readonly rollback?: boolean }): Promise<void> {
    await this.#call("terminate", { id, rollback: options?.rollback === true });
  }

  async restart(id: unknown, options?: { readonly from?: unknown }): Promise<void> {
    await this.#call("restart", { id, from: options?.from });
  }

  async deleteInstance(id: unknown): Promise<void> {
    await this.#call("delete", { id });
  }

  async sendEvent(id: unknown, event: { readonly type?: unknown; readonly payload?: unknown }): Promise<void> {
    await this.#call("sendEvent", { id, type: event?.type, payload: encoded(event?.payload) });
  }

  subscribe(): never {
    throw new Error("subscribe() of Workflow instances is not implemented by this version of Freehold");
  }
}

const wire = ({ id, params = {}, retention }: CreateOptions) => ({ id, retention, params: encoded(params) });

function encoded(value: unknown): { readonly text: string; readonly bytes: number } {
  try {
    return encode(value);
  } catch (error) {
    if (!(error instanceof NotSerialisable)) throw error;
    throw new Error(`The payload is not serialisable: ${error.message}`);
  }
}
