/**
 * Requests of an action's page, each stopped before it leaves: those that the options do not want are dropped, the others
 * get the headers that say whose they are, which no option replaces, and a password where one is asked for.
 */
import { createContext, Script } from "node:vm";
import { type PageOptions, patternOf } from "./options.ts";
import type { Tab } from "./tab.ts";

/** Headers of one request, by its URL. */
export type Badge = (url: URL) => Readonly<Record<string, string>>;

interface Paused {
  readonly requestId: string;
  readonly resourceType: string;
  readonly request: { readonly url: string; readonly headers: Readonly<Record<string, string>> };
}

/** Time that all patterns of one action may take together: a pattern can be made to take for ever. */
const PATTERNS_MS = 500;

/** Must be called before the first navigation. `fail` ends the action. */
export async function interceptRequests(tab: Tab, options: PageOptions, badge: Badge, fail: (error: Error) => void): Promise<void> {
  const wanted = filterOf(options);
  const { authenticate } = options;
  const tried = new Set<string>();

  async function answer(method: string, params: never, session: string): Promise<void> {
    if (method === "Fetch.requestPaused") {
      const { requestId, resourceType, request } = params as Paused;
      if (!wanted(request.url, resourceType.toLowerCase()))
        return void (await tab.send("Fetch.failRequest", { requestId, errorReason: "BlockedByClient" }, session));
      await tab.send("Fetch.continueRequest", { requestId, ...badged(request, badge) }, session);
    } else if (method === "Fetch.authRequired") {
      const { requestId } = params as Paused;
      const again = tried.has(requestId);
      tried.add(requestId);
      const response = again || authenticate === undefined ? "CancelAuth" : "ProvideCredentials";
      const authChallengeResponse = { response, ...(response === "ProvideCredentials" && authenticate) };
      await tab.send("Fetch.continueWithAuth", { requestId, authChallengeResponse }, session);
    } else if (method === "Target.attachedToTarget") {
      const { sessionId } = params as { sessionId: string };
      await prepare(sessionId).finally(() => tab.send("Runtime.runIfWaitingForDebugger", {}, sessionId));
    }
  }

  /** The same for the page and for each frame that has a process of its own. */
  async function prepare(session: string): Promise<void> {
    await Promise.all([
      tab.send("Fetch.enable", { handleAuthRequests: true }, session),
      tab.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: true, flatten: true }, session),
    ]);
  }

  tab.on((method, params, session) => {
    answer(method, params, session).catch((error: Error) => {
      // A request or a frame that has gone meanwhile is none of ours any more.
      if (!error.message.startsWith("Protocol error")) fail(error);
    });
  });
  await prepare(tab.session);
}

function badged({ url, headers }: Paused["request"], badge: Badge): object {
  const parsed = URL.parse(url);
  if (parsed === null || !parsed.protocol.startsWith("http")) return {};
  const ours = badge(parsed);
  const names = new Set(Object.keys(ours).map((name) => name.toLowerCase()));
  const theirs = Object.entries(headers).filter(([name]) => !names.has(name.toLowerCase()));
  return { headers: [...theirs, ...Object.entries(ours)].map(([name, value]) => ({ name, value })) };
}

function filterOf(options: PageOptions): (url: string, type: string) => boolean {
  const { rejectResourceTypes = [], allowResourceTypes } = options;
  const matches = matcher();
  const reject = (options.rejectRequestPattern ?? []).map(patternOf);
  const allow = options.allowRequestPattern?.map(patternOf);
  return (url, type) => {
    if ((rejectResourceTypes as string[]).includes(type) || matches(reject, url)) return false;
    if (allow === undefined && allowResourceTypes === undefined) return true;
    return (allowResourceTypes as string[] | undefined)?.includes(type) === true || matches(allow ?? [], url);
  };
}

/** Whether one of the patterns matches; throws when they have had their time. */
function matcher(): (patterns: readonly RegExp[], url: string) => boolean {
  let leftMs = PATTERNS_MS;
  const script = new Script("patterns.some((pattern) => pattern.test(url))");
  return (patterns, url) => {
    if (patterns.length === 0) return false;
    const startedAt = performance.now();
    try {
      return script.runInContext(createContext({ patterns, url }), { timeout: Math.max(1, Math.ceil(leftMs)) }) as boolean;
    } catch (cause) {
      throw new Error("The request patterns timed out", { cause });
    } finally {
      leftMs -= performance.now() - startedAt;
    }
  };
}
