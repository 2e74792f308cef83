/**
 * One page in a browser context of its own, for one action: commands with answers, events, and an end that takes cookies,
 * cache and popups with it. Also sees the sessions of frames and workers that Chromium keeps in processes of their own.
 */
import type { Browser } from "../browser.ts";

export interface Tab {
  /** A command to the page, or to one of its frames. Rejects with the method's name and the browser's words. */
  send<T = unknown>(method: string, params?: object, sessionId?: string): Promise<T>;
  /** Events of the page and its frames. */
  on(listener: (method: string, params: never, sessionId: string) => void): void;
  /** The page's session. */
  readonly session: string;
  readonly frameId: string;
  /** Rejects when the page, or its browser, is gone. */
  readonly lost: Promise<never>;
  close(): Promise<void>;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: never;
  readonly sessionId?: string;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

export async function openTab(browser: Browser): Promise<Tab> {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void; method: string }>();
  const listeners: ((method: string, params: never, sessionId: string) => void)[] = [];
  let lastId = 0;
  let gone: Error | undefined;
  const { promise: lost, reject: lose } = Promise.withResolvers<never>();
  // Whoever waits for something of the page hears of it.
  lost.catch(() => undefined);

  const end = (): void => {
    gone ??= new Error("Protocol error: Target closed");
    for (const { reject, method } of waiting.values()) reject(new Error(`Protocol error (${method}): Target closed`));
    waiting.clear();
    lose(gone);
  };
  const client = await browser.connect({
    message(json) {
      const { id, method, params, sessionId = "", result, error } = JSON.parse(json.toString()) as Message;
      if (id === undefined) {
        if (method === "Target.targetCrashed" || method === "Inspector.targetCrashed") return end();
        for (const listener of listeners) listener(method as string, params as never, sessionId);
        return;
      }
      const waiter = waiting.get(id);
      waiting.delete(id);
      if (error === undefined) waiter?.resolve(result);
      else waiter?.reject(new Error(`Protocol error (${waiter.method}): ${error.message}`));
    },
    closed: end,
  });

  function send<T>(method: string, params: object = {}, sessionId?: string): Promise<T> {
    if (gone !== undefined) return Promise.reject(gone);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    waiting.set(++lastId, { resolve: resolve as (value: unknown) => void, reject, method });
    client.send({ id: lastId, method, params: params as Record<string, unknown>, ...(sessionId !== undefined && { sessionId }) });
    return promise;
  }

  try {
    const { browserContextId } = await send<{ browserContextId: string }>("Target.createBrowserContext", { disposeOnDetach: true });
    await send("Browser.setDownloadBehavior", { behavior: "deny", browserContextId });
    const { targetId } = await send<{ targetId: string }>("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId: session } = await send<{ sessionId: string }>("Target.attachToTarget", { targetId, flatten: true });
    return {
      send: (method, params, sessionId = session) => send(method, params, sessionId),
      on: (listener) => void listeners.push(listener),
      session,
      // A page's main frame has the id of its target.
      frameId: targetId,
      lost,
      async close() {
        // The context goes with everything in it; if the browser has ended, so has the context.
        await send("Target.disposeBrowserContext", { browserContextId }).catch(() => undefined);
        client.close();
      },
    };
  } catch (error) {
    client.close();
    throw error;
  }
}
