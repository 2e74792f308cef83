/**
 * Where actions are done: one browser for all of them, started when there is work and ended some time after. Each action has
 * a context of its own in it; so many are done at a time, so many more wait.
 */
import type { KernelSlice } from "../../../kernel/product.ts";
import type { Browser } from "../browser.ts";
import { browserError } from "../errors.ts";
import type { Launcher } from "../launcher.ts";
import { type ActionResult, act } from "./actions.ts";
import { failureOf } from "./failure.ts";
import type { ActionName, Options } from "./options.ts";
import { openPage, type Page } from "./page.ts";
import type { Badge } from "./requests.ts";

export interface Desk {
  /** Rejects with the documented errors. `browserMs`: how long the browser was busy with it. */
  run<A extends ActionName>(name: A, options: Options<A>, badge: Badge): Promise<{ result: ActionResult; browserMs: number }>;
  stop(): Promise<void>;
}

const IDLE_MS = 60_000;
/** A browser that has done so many is replaced by a new one: what leaks somewhere in it goes. */
const ACTIONS_MAX = 1000;

export function openDesk({ config, log, clock }: KernelSlice, launcher: Launcher): Desk {
  let browser: Promise<Browser> | undefined;
  let running = 0;
  let done = 0;
  let idle: NodeJS.Timeout | undefined;
  let stopped = false;
  const queue: (() => void)[] = [];

  async function turn(): Promise<void> {
    if (running < config["browser_rendering.actions_at_once"]) return void running++;
    if (queue.length >= config["browser_rendering.actions_waiting_max"])
      throw browserError("rateLimited", "Too many requests are waiting for a browser");
    // Whoever ends hands its place on.
    await new Promise<void>((resolve) => queue.push(resolve));
  }

  function leave(): void {
    const next = queue.shift();
    if (next !== undefined) next();
    else if (--running > 0) return;
    else if (done >= ACTIONS_MAX) end("it has done its work");
    else idle = setTimeout(() => end("there is no work"), IDLE_MS);
  }

  function ready(): Promise<Browser> {
    clearTimeout(idle);
    browser ??= launcher.launch().then(
      (started) => {
        void started.ended.then((why) => {
          log.debug("actions.browser_ended", { why });
          browser = undefined;
          done = 0;
        });
        return started;
      },
      (error: unknown) => {
        browser = undefined;
        throw error;
      },
    );
    return browser;
  }

  function end(why: string): void {
    void browser?.then(
      ({ kill }) => kill(why),
      () => undefined,
    );
  }

  return {
    async run(name, options, badge) {
      await turn();
      const startedAt = clock.now();
      let page: Page | undefined;
      try {
        if (stopped) throw browserError("startFailed", "The platform is stopping");
        const current = await ready();
        done++;
        page = await openPage(current, options, badge);
        const result = await act(name, page, options);
        return { result, browserMs: Math.max(1, clock.now() - startedAt) };
      } catch (error) {
        throw failureOf(error as Error);
      } finally {
        await page?.close();
        leave();
      }
    },
    async stop() {
      stopped = true;
      clearTimeout(idle);
      const current = await browser?.catch(() => undefined);
      current?.kill("the platform stops");
      await current?.ended;
    },
  };
}
