/** A page of Chromium as a client of MoQ: publishes, subscribes and plays, over its WebTransport or, without that, by WebSocket. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";

/** What the page's script gives. */
export interface Moq {
  /** The first bytes of SERVER_SETUP: the version that was chosen. */
  connect(url: string, certificateHash: string | undefined, subscribeIdInHeaders: boolean): Promise<number[]>;
  announce(namespace: string): Promise<void>;
  publish(track: string, group: number, object: number, payload: string, last?: boolean): Promise<void>;
  subscribe(namespace: string, track: string): Promise<void>;
  received(track: string, count: number): Promise<string[]>;
  /** Numbers in the headers of subgroups so far, but for type and priority. */
  headers(): number[][];
  play(codec: string, frames: number): Promise<{ readonly width: number; readonly height: number; readonly time: number }>;
  close(): void;
}

const script = readFileSync(new URL("./moq-page.browser.js", import.meta.url), "utf8");
const polyfill = fileURLToPath(new URL("../../node_modules/@moq/web-transport-ws/", import.meta.url));

/** `url` is any page of the platform's. `fallback`: a browser without WebTransport, with the polyfill that brings it by WebSocket. */
export async function openMoqPage(browser: Browser, url: string, fallback = false): Promise<Page> {
  const page = await browser.newPage();
  await page.route("**/polyfill/*.js", (route) =>
    route.fulfill({ path: `${polyfill}${new URL(route.request().url()).pathname.split("/").at(-1)}` }),
  );
  await page.goto(url);
  if (fallback) await page.evaluate('delete globalThis.WebTransport; import("/polyfill/index.js").then((module) => module.install())');
  await page.evaluate(script);
  return page;
}

declare const window: { moq: Moq };

/** A call of `moq` in the page. */
export function onPage<K extends keyof Moq>(page: Page, name: K, ...args: Parameters<Moq[K]>): Promise<Awaited<ReturnType<Moq[K]>>> {
  return page.evaluate(([member, values]) => (window.moq[member as K] as (...all: unknown[]) => unknown)(...(values as unknown[])), [
    name,
    args,
  ] as const) as Promise<Awaited<ReturnType<Moq[K]>>>;
}
