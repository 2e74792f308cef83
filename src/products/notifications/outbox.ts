/**
 * Notifications on their way to webhooks: rows, so that one that was noted is sent also after a crash, at least once. They
 * are tried for about a quarter of an hour with growing pauses, then given up. Bounded in number; stops with the product.
 */
import { randomUUID } from "node:crypto";
import { fetch } from "undici";
import type { KernelSlice } from "../../kernel/product.ts";
import { publicAgent } from "../../kernel/public-network.ts";
import type { Store } from "./store.ts";

const WAITING_MAX = 10_000;
const ATTEMPTS_MAX = 7;
const FIRST_PAUSE_MS = 1_000;
const PAUSE_FACTOR = 4;
const TIMEOUT_MS = 10_000;
const BATCH = 20;

interface Row {
  readonly id: string;
  readonly webhook: string;
  readonly body: string;
  readonly attempts: number;
  readonly due: number;
}

export interface Outbox {
  /** Durable when it resolves. */
  add(webhooks: readonly string[], body: object): Promise<void>;
  stop(): Promise<void>;
}

export function openOutbox({ meta, clock, log, config }: KernelSlice, store: Store): Outbox {
  const agent = publicAgent(config["notifications.private_destinations"]);
  const stopping = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> | undefined;
  let again = false;

  /** Works now, or once more when what is being done is done. */
  function wake(): void {
    if (stopping.signal.aborted) return;
    if (working !== undefined) {
      again = true;
      return;
    }
    clearTimeout(timer);
    working = work()
      .catch((error: unknown) => {
        log.error("notifications.outbox_failed", { error });
        return FIRST_PAUSE_MS * PAUSE_FACTOR;
      })
      .then((pause) => {
        working = undefined;
        if (stopping.signal.aborted) return;
        if (again || pause === 0) {
          again = false;
          wake();
        } else if (pause !== undefined) timer = setTimeout(wake, pause).unref();
      });
  }

  /** Sends what is due; resolves with the milliseconds until the next is, or undefined when nothing waits. */
  async function work(): Promise<number | undefined> {
    const rows = await meta.all<Row & Record<string, never>>(
      `SELECT id, webhook, body, attempts, due FROM notifications_outbox WHERE due <= ? ORDER BY due LIMIT ${BATCH}`,
      clock.now(),
    );
    for (const row of rows) {
      if (stopping.signal.aborted) return undefined;
      await attempt(row);
    }
    const next = await meta.get<{ due: number | null }>("SELECT MIN(due) AS due FROM notifications_outbox");
    return typeof next?.due === "number" ? Math.max(0, next.due - clock.now()) : undefined;
  }

  async function attempt({ id, webhook, body, attempts }: Row): Promise<void> {
    try {
      const { url, secret } = await store.webhook(webhook);
      const answer = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json", ...(secret !== undefined && { "cf-webhook-auth": secret }) },
        body,
        dispatcher: agent,
        redirect: "error",
        signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), stopping.signal]),
      });
      await answer.body?.cancel();
      if (!answer.ok) throw new Error(`it answered with status ${answer.status}`);
      await meta.run("DELETE FROM notifications_outbox WHERE id = ?", id);
      await store.noteAttempt(webhook, true);
    } catch (error) {
      if (stopping.signal.aborted) return;
      await store.noteAttempt(webhook, false);
      if (attempts + 1 >= ATTEMPTS_MAX) {
        log.warn("notifications.given_up", { webhook, error });
        await meta.run("DELETE FROM notifications_outbox WHERE id = ?", id);
        return;
      }
      const due = clock.now() + FIRST_PAUSE_MS * PAUSE_FACTOR ** attempts;
      await meta.run("UPDATE notifications_outbox SET attempts = ?, due = ? WHERE id = ?", attempts + 1, due, id);
    }
  }

  wake();
  return {
    async add(webhooks, body) {
      const text = JSON.stringify(body);
      const waiting = await meta.get<{ n: number }>("SELECT COUNT(*) AS n FROM notifications_outbox");
      if ((waiting?.n ?? 0) + webhooks.length > WAITING_MAX) return log.warn("notifications.dropped", { count: webhooks.length });
      await meta.transaction(async (tx) => {
        for (const webhook of webhooks)
          await tx.run(
            "INSERT INTO notifications_outbox (id, webhook, body, attempts, due) VALUES (?, ?, ?, 0, ?)",
            randomUUID(),
            webhook,
            text,
            clock.now(),
          );
      });
      wake();
    },
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      await working;
      await agent.destroy();
    },
  };
}
