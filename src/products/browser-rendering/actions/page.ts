/**
 * An action's page, ready to be looked at: set up before it is opened, opened, changed and waited for as the options say.
 * What is asked of it afterwards runs in a world of its own, whose functions the page's scripts cannot replace.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Browser } from "../browser.ts";
import { type PageMeta, watchNavigation, within } from "./navigation.ts";
import type { PageOptions } from "./options.ts";
import { type Badge, interceptRequests } from "./requests.ts";
import { openTab, type Tab } from "./tab.ts";

export interface Page {
  readonly tab: Tab;
  /** Calls a function with arguments in the page, apart from its scripts; its result must be JSON. */
  call<T>(code: string, ...args: unknown[]): Promise<T>;
  meta(title?: string): PageMeta;
  close(): Promise<void>;
}

const SELECTOR_POLL_MS = 100;
const STEP_TIMEOUT_MS = 30_000;
const MOBILE_SCREEN = { type: "portraitPrimary", angle: 0 };
const LANDSCAPE_SCREEN = { type: "landscapePrimary", angle: 90 };

/** Opens the page and resolves when all waits of the options are over. The caller closes it, also after a failure of its own. */
export async function openPage(browser: Browser, options: PageOptions, badge: Badge): Promise<Page> {
  const tab = await openTab(browser);
  try {
    const { promise: failed, reject: fail } = Promise.withResolvers<never>();
    failed.catch(() => undefined);
    const navigation = await watchNavigation(tab);
    await interceptRequests(tab, options, badge, fail);
    await setUp(tab, options);
    const page: Page = { tab, call: caller(tab), meta: navigation.meta, close: tab.close };
    const attempt = async (work: Promise<unknown>): Promise<void> => {
      if (options.bestAttempt === true) await work.catch(() => undefined);
      else await work;
    };
    const ready = async (): Promise<void> => {
      await attempt(navigation.open(options));
      await addTags(page, options);
      if (options.waitForSelector !== undefined) await attempt(waitForSelector(page, options.waitForSelector));
      if (options.waitForTimeout !== undefined) await delay(options.waitForTimeout);
    };
    await Promise.race([ready(), failed, tab.lost]);
    return page;
  } catch (error) {
    await tab.close();
    throw error;
  }
}

/** The browser's name without a hint that nobody sits before it, as the real service has it. */
async function plainUserAgent(tab: Tab): Promise<string> {
  const { userAgent } = await tab.send<{ userAgent: string }>("Browser.getVersion");
  return userAgent.replace("HeadlessChrome", "Chrome");
}

async function setUp(tab: Tab, options: PageOptions): Promise<void> {
  const { viewport, cookies = [], emulateMediaType, setExtraHTTPHeaders, setJavaScriptEnabled } = options;
  const { width, height, deviceScaleFactor = 1, isMobile: mobile = false, isLandscape, hasTouch = false } = viewport;
  const screenOrientation = isLandscape === true ? LANDSCAPE_SCREEN : MOBILE_SCREEN;
  await Promise.all([
    tab.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor, mobile, screenOrientation }),
    tab.send("Emulation.setTouchEmulationEnabled", { enabled: hasTouch }),
    tab.send("Emulation.setUserAgentOverride", { userAgent: options.userAgent ?? (await plainUserAgent(tab)) }),
    // Their requests would not be seen here.
    tab.send("Network.setBypassServiceWorker", { bypass: true }),
    ...(emulateMediaType === undefined ? [] : [tab.send("Emulation.setEmulatedMedia", { media: emulateMediaType })]),
    ...(setExtraHTTPHeaders === undefined ? [] : [tab.send("Network.setExtraHTTPHeaders", { headers: setExtraHTTPHeaders })]),
    ...(setJavaScriptEnabled === false ? [tab.send("Emulation.setScriptExecutionDisabled", { value: true })] : []),
    ...(cookies.length === 0 ? [] : [tab.send("Network.setCookies", { cookies: cookies.map((cookie) => cookieOf(cookie, options.url)) })]),
  ]);
}

/** A cookie that names no place belongs to the page's. */
function cookieOf({ partitionKey, ...cookie }: NonNullable<PageOptions["cookies"]>[number], url: string | undefined): object {
  const placed = cookie.domain === undefined && cookie.url === undefined && url !== undefined ? { ...cookie, url } : cookie;
  return partitionKey === undefined ? placed : { ...placed, partitionKey: { topLevelSite: partitionKey, hasCrossSiteAncestor: false } };
}

interface Evaluated {
  readonly result: { readonly value?: unknown; readonly description?: string };
  readonly exceptionDetails?: { readonly text: string; readonly exception?: { readonly description?: string } };
}

function caller(tab: Tab): Page["call"] {
  return async <T>(code: string, ...args: unknown[]): Promise<T> => {
    // A new world each time: the page may have gone to another document.
    const { executionContextId: contextId } = await tab.send<{ executionContextId: number }>("Page.createIsolatedWorld", {
      frameId: tab.frameId,
      worldName: "freehold",
    });
    const expression = `(${code})(...${JSON.stringify(args)})`;
    const { result, exceptionDetails } = await tab.send<Evaluated>("Runtime.evaluate", {
      expression,
      contextId,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value as T;
  };
}

const ADD_TAG = `(name, { content, url, type, id }) => new Promise((resolve, reject) => {
  const tag = document.createElement(name === "style" && url !== undefined ? "link" : name);
  if (type !== undefined) tag.type = type;
  if (id !== undefined) tag.id = id;
  if (url !== undefined) {
    tag.addEventListener("load", resolve, { once: true });
    tag.addEventListener("error", () => reject(new Error("Could not load " + name)), { once: true });
    if (name === "style") tag.rel = "stylesheet", tag.href = url;
    else tag.src = url;
  } else tag.textContent = content ?? "";
  document.head.appendChild(tag);
  if (url === undefined) resolve();
})`;

async function addTags({ call }: Page, { addStyleTag = [], addScriptTag = [] }: PageOptions): Promise<void> {
  // A style that cannot be loaded leaves the page as it is; a script may be what the action is about.
  for (const tag of addStyleTag) await within(STEP_TIMEOUT_MS, call(ADD_TAG, "style", tag), "The style timed out").catch(() => undefined);
  for (const tag of addScriptTag) await within(STEP_TIMEOUT_MS, call(ADD_TAG, "script", tag), "The script timed out");
}

const LOOK_FOR = `(selector, visible, hidden) => {
  const element = document.querySelector(selector);
  const style = element === null ? undefined : getComputedStyle(element);
  const box = element?.getBoundingClientRect();
  const shown = style !== undefined && !["hidden", "collapse"].includes(style.visibility) && box.width > 0 && box.height > 0;
  if (hidden) return !shown;
  return visible ? shown : element !== null;
}`;

async function waitForSelector(
  { call, tab }: Page,
  { selector, visible = false, hidden = false, timeout = STEP_TIMEOUT_MS }: NonNullable<PageOptions["waitForSelector"]>,
): Promise<void> {
  const given = new AbortController();
  const found = async (): Promise<void> => {
    while (!given.signal.aborted && !(await looked())) await delay(SELECTOR_POLL_MS);
  };
  const looked = (): Promise<boolean> =>
    call<boolean>(LOOK_FOR, selector, visible, hidden).catch((error: Error) => {
      // Between two documents there is nothing to look at.
      if (/context|frame/i.test(error.message) && !/valid selector/.test(error.message)) return false;
      throw error;
    });
  const late = `Waiting failed: ${timeout}ms exceeded: selector \`${selector}\``;
  await Promise.race([within(timeout, found(), late), tab.lost]).finally(() => given.abort());
}
