/**
 * An event from its arrival to what it leaves to the browser: Context, enricher, plan, actions. Requests to tools' servers
 * go out without anybody waiting for them; they are bounded, and a clean stop waits for those that are on their way.
 */
import { z } from "zod";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { publicAgent } from "../../kernel/public-network.ts";
import type { Numbered } from "./configs.ts";
import { type Context, contextOf, type Sender, type SystemGiven } from "./context.ts";
import type { CookieScope } from "./cookies.ts";
import type { Evaluator } from "./evaluator.ts";
import type { Figures } from "./figures.ts";
import type { WorkerName } from "./model.ts";
import { type EventResult, emptyResult } from "./result.ts";
import { runTool, type ServerRequest } from "./tools.ts";
import type { WorkerCalls } from "./worker-calls.ts";

export interface EventGiven {
  readonly system: SystemGiven;
  readonly client: Readonly<Record<string, unknown>>;
  /** Rules that the browser has seen to be met. */
  readonly fired: readonly string[];
  /** An event again, for tools of these purposes alone: they have waited for consent. */
  readonly purposes: readonly string[] | undefined;
}

export interface Processed {
  readonly result: EventResult;
  /** Purposes that the visitor has not agreed to, without which more would have happened. */
  readonly waiting: readonly string[];
  /** For who has the debug key: what happened, in words. */
  readonly log: readonly { readonly what: string; readonly detail: unknown }[];
}

export interface Events {
  process(zoneId: string, numbered: Numbered, given: EventGiven, sender: Sender, cookies: CookieScope): Promise<Processed>;
  /** Waits for requests that are on their way. */
  stop(): Promise<void>;
}

const SENDING_MAX = 1000;
const SEND_MAX_MS = 10_000;

/** What later steps rely on; the rest of it is the Worker's to choose. */
const contextSchema = z.object({
  system: z.looseObject({
    page: z.looseObject({ url: z.looseObject({ href: z.string(), hostname: z.string() }) }),
    device: z.looseObject({ "user-agent": z.looseObject({ ua: z.string() }) }),
    cookies: z.record(z.string(), z.string()),
    clientKV: z.record(z.string(), z.string()),
    misc: z.record(z.string(), z.number()),
  }),
  client: z.record(z.string(), z.unknown()),
});

export function openEvents(deps: {
  readonly clock: Clock;
  readonly log: Log;
  readonly evaluator: Evaluator;
  readonly workers: WorkerCalls;
  readonly figures: Figures;
  readonly agent: ReturnType<typeof publicAgent>;
}): Events {
  const { clock, log, evaluator, workers, figures, agent } = deps;
  const sending = new Set<Promise<void>>();

  /** Counted under its address without the query, which has the visitor's data in it. */
  function send(zoneId: string, request: ServerRequest): void {
    const { origin, pathname } = new URL(request.url);
    const count = (status: number): void => figures.add(zoneId, "fetch", origin + pathname, status);
    if (sending.size >= SENDING_MAX) {
      log.warn("zaraz.request_dropped", { zone: zoneId, url: origin + pathname });
      count(0);
      return;
    }
    const work = exchange(request).then(count, (error: unknown) => {
      log.warn("zaraz.request_failed", { zone: zoneId, url: origin + pathname, error });
      count(0);
    });
    sending.add(work);
    void work.finally(() => sending.delete(work));
  }

  async function exchange({ url, method, headers, body }: ServerRequest): Promise<number> {
    const { origin, pathname, search } = new URL(url);
    const answer = await agent.request({
      origin,
      path: pathname + search,
      method,
      headers: { ...headers, "user-agent": "Freehold-Zaraz" },
      body: body ?? null,
      signal: AbortSignal.timeout(SEND_MAX_MS),
    });
    await answer.body.dump({ limit: 64 * 1024 });
    return answer.statusCode;
  }

  /** The Context as the zone's Worker has changed it; unchanged when it fails, which the log says. */
  async function enriched(context: Context, worker: WorkerName | undefined): Promise<Context> {
    if (worker === undefined || worker.escapedWorkerName === "") return context;
    try {
      const given = contextSchema.parse(JSON.parse(await workers.call(worker, "/", context)));
      // Consent is the visitor's word, and no Worker's.
      return { system: { ...given.system, consent: context.system.consent } as Context["system"], client: given.client };
    } catch (error) {
      log.warn("zaraz.enricher_failed", { worker: worker.escapedWorkerName, error });
      return context;
    }
  }

  return {
    async process(zoneId, { config }, given, sender, cookies) {
      const result = emptyResult();
      const isNew = given.purposes === undefined;
      if (isNew && !figures.takeEvent())
        return { result, waiting: [], log: [{ what: "disabled", detail: "the month's events are used up" }] };
      // What is taken is counted, whatever becomes of it: a start takes the month's events up from these figures.
      if (isNew) figures.add(zoneId, "track", String(given.client.__zarazTrack ?? ""));
      const plain = contextOf(config, given.system, given.client, sender, clock.now());
      const context = await enriched(plain, config.settings.contextEnricher);
      const plan = await evaluator.plan({ config, context, fired: given.fired, purposes: given.purposes }, async (id) => {
        const variable = config.variables[id];
        if (variable?.type !== "worker") throw new Error(`there is no variable ${id} of a Worker`);
        return workers.call(variable.value, "/", context);
      });
      const notes: { what: string; detail: unknown }[] = plan.faults.map((detail) => ({ what: "fault", detail }));
      if (isNew) {
        for (const id of plan.triggers) {
          const name = config.triggers[id]?.name ?? id;
          figures.add(zoneId, "trigger", name);
          notes.push({ what: "trigger", detail: name });
        }
      }
      for (const action of plan.actions) {
        const tool = config.tools[action.tool];
        if (tool === undefined) continue;
        const name = `${tool.name}: ${String(action.fields.__zaraz_setting_name ?? action.actionId)}`;
        figures.add(zoneId, "action", name);
        notes.push({ what: "action", detail: { name, fields: action.fields } });
        try {
          await runTool(tool, action, {
            ...{ context, result, cookies, workers },
            send(request) {
              notes.push({ what: "request", detail: { method: request.method, url: request.url, body: request.body } });
              send(zoneId, request);
            },
            sent: (url) => figures.add(zoneId, "fetch", url.split(/[?#]/)[0] as string, 0),
          });
        } catch (error) {
          // One tool's failure is not another's.
          log.warn("zaraz.tool_failed", { zone: zoneId, tool: action.tool, error });
          notes.push({ what: "fault", detail: `${name}: ${(error as Error).message}` });
        }
      }
      return { result, waiting: plan.waiting, log: notes };
    },
    async stop() {
      await Promise.all(sending);
    },
  };
}
