/** Opens an action's page: a URL or given HTML, until the part of loading that was asked for is over. Knows what was answered. */
import type { Lifecycle, PageOptions } from "./options.ts";
import type { Tab } from "./tab.ts";

/** `meta` of an action's answer. */
export interface PageMeta {
  readonly status: number;
  readonly title: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly finalUrl?: string;
  readonly redirectChain?: readonly Hop[];
}

interface Hop {
  readonly url: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** Chromium's own names of these moments; it counts a network that was idle for 500 ms, as documented. */
const EVENTS: Readonly<Record<Lifecycle, string>> = {
  load: "load",
  domcontentloaded: "DOMContentLoaded",
  networkidle0: "networkIdle",
  networkidle2: "networkAlmostIdle",
};

interface NetworkResponse {
  readonly url: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** What the platform's proxy says when it did not get through to a plain HTTP server, as Chromium says it of others. */
const PROXY_FAILURES: Readonly<Record<string, string>> = {
  dns_error: "net::ERR_NAME_NOT_RESOLVED",
  connection_refused: "net::ERR_CONNECTION_REFUSED",
  connection_timeout: "net::ERR_CONNECTION_TIMED_OUT",
  connection_terminated: "net::ERR_CONNECTION_RESET",
  destination_unavailable: "net::ERR_ADDRESS_UNREACHABLE",
  destination_ip_prohibited: "net::ERR_ADDRESS_UNREACHABLE",
};

export interface Navigation {
  /** Resolves when the page is loaded as far as wanted. */
  open(options: Pick<PageOptions, "url" | "html" | "gotoOptions" | "goToOptions">): Promise<void>;
  meta(title?: string): PageMeta;
}

export async function watchNavigation(tab: Tab): Promise<Navigation> {
  let seen = new Set<string>();
  let loader: string | undefined;
  let changed: (() => void) | undefined;
  let response: NetworkResponse | undefined;
  let hops: Hop[] = [];

  tab.on((method, params, session) => {
    if (session !== tab.session) return;
    if (method === "Page.lifecycleEvent") {
      const { frameId, name, loaderId } = params as { frameId: string; name: string; loaderId: string };
      if (frameId !== tab.frameId) return;
      if (name === "init") {
        seen = new Set();
        loader = loaderId;
      }
      // The document before it may still become idle.
      if (loaderId === loader) seen.add(name);
      changed?.();
    } else if (method === "Page.javascriptDialogOpening") {
      tab.send("Page.handleJavaScriptDialog", { accept: false }).catch(() => undefined);
    } else if (method === "Network.requestWillBeSent") {
      const { type, frameId, requestId, loaderId, redirectResponse } = params as {
        type: string;
        frameId: string;
        requestId: string;
        loaderId: string;
        redirectResponse?: NetworkResponse;
      };
      if (type !== "Document" || frameId !== tab.frameId || requestId !== loaderId) return;
      if (redirectResponse === undefined) hops = [];
      else hops.push({ url: redirectResponse.url, status: redirectResponse.status, headers: lowerCase(redirectResponse.headers) });
    } else if (method === "Network.responseReceived") {
      const received = params as { type: string; frameId: string; requestId: string; loaderId: string; response: NetworkResponse };
      if (received.type === "Document" && received.frameId === tab.frameId && received.requestId === received.loaderId)
        response = received.response;
    }
  });
  await Promise.all([tab.send("Page.enable"), tab.send("Network.enable")]);
  await tab.send("Page.setLifecycleEventsEnabled", { enabled: true });

  async function reached(wanted: readonly string[]): Promise<void> {
    while (!wanted.every((name) => seen.has(name)))
      await Promise.race([
        tab.lost,
        new Promise<void>((resolve) => {
          changed = resolve;
        }),
      ]);
  }

  return {
    async open({ url, html, gotoOptions, goToOptions }) {
      const { timeout = 30_000, waitUntil = "domcontentloaded", referer, referrerPolicy } = gotoOptions ?? goToOptions ?? {};
      const wanted = [waitUntil].flat().map((moment) => EVENTS[moment]);
      const loaded = async (): Promise<void> => {
        if (url === undefined) await setContent(tab, html as string);
        else {
          const { errorText } = await tab.send<{ errorText?: string }>("Page.navigate", {
            url,
            frameId: tab.frameId,
            ...(referer !== undefined && { referrer: referer }),
            ...(referrerPolicy !== undefined && { referrerPolicy: camelCase(referrerPolicy) }),
          });
          if (errorText !== undefined && errorText !== "net::ERR_HTTP_RESPONSE_CODE_FAILURE") throw new Error(`${errorText} at ${url}`);
        }
        await reached(wanted);
        const failure = /^freehold; error=(\w+)/.exec(lowerCase(response?.headers ?? {})["proxy-status"] ?? "")?.[1];
        if (failure !== undefined) throw new Error(`${PROXY_FAILURES[failure]} at ${url}`);
      };
      loader = undefined;
      seen = new Set();
      await within(timeout, loaded(), `Navigation timeout of ${timeout} ms exceeded`);
    },
    meta: (title = "") => ({
      // HTML that was given has no response, and reports 200.
      status: response?.status ?? 200,
      title,
      ...(response !== undefined && { headers: lowerCase(response.headers), finalUrl: response.url }),
      ...(hops.length > 0 && { redirectChain: hops }),
    }),
  };
}

/** Through the document and not over the protocol, so that the moments of loading come as for any page. */
async function setContent(tab: Tab, html: string): Promise<void> {
  const expression = `document.open(); document.write(${JSON.stringify(html)}); document.close();`;
  await tab.send("Runtime.evaluate", { expression });
}

/** 0 is no limit. */
export async function within<T>(ms: number, work: Promise<T>, message: string): Promise<T> {
  if (ms === 0) return work;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

const lowerCase = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

const camelCase = (policy: string): string => policy.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
