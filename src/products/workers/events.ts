/**
 * Events from outside HTTP to Workers: each goes to the dispatcher in the process of the script's current version
 * (`dispatcher.worker.ts`), which is started for it, and is answered when the handler has ended.
 */
import { randomUUID } from "node:crypto";
import { Client } from "undici";
import type { EmailActions, EmailResult, IncomingEmail, QueueBatch, QueueBatchResult } from "../../kernel/capabilities.ts";
import type { Log } from "../../kernel/log.ts";
import type { Exceeded } from "../../kernel/workerd/runtime.ts";
import type { InvocationStatus, Invocations } from "./invocations.ts";
import { cronCpuMs } from "./limits.ts";
import type { Serving } from "./serving.ts";

export interface Events {
  /**
   * Never rejects: whatever goes wrong is an outcome, "exception" or the limit that was passed. `intervalMs`: the time until
   * the next run, which decides how much CPU time it may use.
   */
  scheduled(scriptName: string, event: { cron: string; scheduledTime: number; intervalMs?: number }): Promise<{ outcome: string }>;
  /** Rejects when the batch did not reach the handler. */
  queue(scriptName: string, batch: QueueBatch): Promise<QueueBatchResult>;
  /** Never rejects, as `scheduled`. */
  email(scriptName: string, message: IncomingEmail, actions: EmailActions): Promise<EmailResult>;
  /** The actions of an `email` event that is under way, by the id that its process was given. */
  emailActions(id: string): EmailActions | undefined;
}

const failed: QueueBatchResult = { outcome: "exception", ackAll: false, retryBatch: { retry: false }, explicitAcks: [], retryMessages: [] };

/** `timeoutMs`: the wall time of a handler, which is ended when it is over. */
export function createEvents(serving: Serving, log: Log, invocations: Invocations, timeoutMs: number): Events {
  /** The answer, the limit that the event passed, or undefined when the process broke the event off. Rejects when there is no process to send it to. */
  async function post<T extends { outcome: string }>(
    scriptName: string,
    path: string,
    body: string | Uint8Array,
    intervalMs = 0,
  ): Promise<T | Exceeded | undefined> {
    const lease = await serving.lease(scriptName);
    const cpuMs = cronCpuMs(lease.version, intervalMs);
    if (cpuMs !== undefined) lease.allowCpuMs(cpuMs);
    const begun = invocations.begin(lease.version.id);
    let status: InvocationStatus = "exceededResources";
    const client = new Client("http://events", { socketPath: lease.socket("events"), headersTimeout: timeoutMs });
    try {
      const answer = await client.request({ method: "POST", path, body });
      if (answer.statusCode === 200) {
        const result = (await answer.body.json()) as T;
        status = result.outcome === "ok" ? "success" : "scriptThrewException";
        return result;
      }
      status = "scriptThrewException";
      await answer.body.dump();
      return undefined;
    } catch (error) {
      const fate = await lease.fate();
      log.warn("event.broken_off", { worker: scriptName, path, fate, error });
      return fate === "exceededCpu" || fate === "exceededMemory" ? fate : undefined;
    } finally {
      invocations.end({ scriptName, versionId: lease.version.id }, status, begun);
      lease.release();
      // Also ends what the handler may still do after its time is over.
      await client.destroy();
    }
  }

  /** Of `email` events under way. The ids are secrets: whoever knows one acts on its message. */
  const mails = new Map<string, EmailActions>();

  return {
    async scheduled(scriptName, event) {
      try {
        const { intervalMs, ...body } = event;
        const result = (await post<{ outcome: string }>(scriptName, "/scheduled", JSON.stringify(body), intervalMs)) ?? "exception";
        return typeof result === "string" ? { outcome: result } : result;
      } catch (error) {
        log.warn("event.not_delivered", { worker: scriptName, cron: event.cron, error });
        return { outcome: "exception" };
      }
    },
    async queue(scriptName, batch) {
      const messages = batch.messages.map(({ body, ...message }) => ({ ...message, body: Buffer.from(body).toString("base64") }));
      const result = (await post<QueueBatchResult>(scriptName, "/queue", JSON.stringify({ ...batch, messages }))) ?? failed;
      return typeof result === "string" ? { ...failed, outcome: result } : result;
    },
    async email(scriptName, { from, to, raw }, actions) {
      const id = randomUUID();
      mails.set(id, actions);
      try {
        const result = (await post<EmailResult>(scriptName, `/email?${new URLSearchParams({ id, from, to })}`, raw)) ?? "exception";
        return typeof result === "string" ? { outcome: result } : result;
      } catch (error) {
        log.warn("event.not_delivered", { worker: scriptName, to, error });
        return { outcome: "exception" };
      } finally {
        mails.delete(id);
      }
    },
    emailActions: (id) => mails.get(id),
  };
}
