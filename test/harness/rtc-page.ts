/**
 * A page of Chromium with made-up camera and microphone, as a client of the SFU: `calls` in it does what the documented
 * flows of the HTTPS API do in a browser. Media is real: encoded, sent and decoded by Chromium.
 */
import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";

/** For a Chromium with a camera, and peers on this machine's loopback interface. */
export const MEDIA_FLAGS = [
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  "--allow-loopback-in-peer-connection",
  "--autoplay-policy=no-user-gesture-required",
] as const;

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers of many operations; tests check them.
  readonly body: any;
}

export interface Description {
  readonly type: string;
  readonly sdp: string;
}

export interface PushOptions {
  readonly video?: string | undefined;
  readonly audio?: string | undefined;
  /** The codec that is to be sent: "video/VP9". */
  readonly codec?: string;
  readonly encodings?: readonly object[];
}

/** What the page's script gives; sessions are named by their ids. */
export interface Calls {
  api(method: string, path: string, body?: unknown, secret?: string): Promise<Answer>;
  /** A session with a peer connection; with `channels` it is connected, over data channels. */
  open(channels?: boolean, configuration?: object): Promise<string>;
  push(session: string, tracks: PushOptions): Promise<Answer>;
  pull(session: string, tracks: readonly object[]): Promise<Answer>;
  /** Answers an offer of the SFU. */
  answer(session: string, offer: Description): Promise<Answer>;
  offer(session: string): Promise<Description>;
  accept(session: string, answer: Description): Promise<void>;
  /** Sends the microphone in the section that the SFU has offered. */
  addAudio(session: string): Promise<void>;
  /** Adds camera and microphone to the client's next offer. */
  addCamera(session: string): Promise<void>;
  /** Kind of this side's end of the connection: "host", "relay". */
  route(session: string): Promise<string | undefined>;
  /** What this Chromium can send. */
  codecs(): string[];
  stopSending(session: string): void;
  /** Sums over the streams of one kind: "outbound-rtp" or "inbound-rtp". */
  stats(session: string, type: string, kind: "audio" | "video", mid?: string): Promise<Record<string, number>>;
  codec(session: string, type: string, kind: "audio" | "video", mid?: string): Promise<string | undefined>;
  /** What an SFU's page would show: a pixel of the video, or the loudness of the sound. */
  size(session: string, mid: string): Promise<readonly [width: number, height: number]>;
  channel(session: string, id: number): void;
  send(session: string, id: number, text: string): void;
  received(session: string, id: number): string[];
  close(session: string): void;
  state(session: string): string;
}

const script = readFileSync(new URL("./rtc-page.browser.js", import.meta.url), "utf8");

export async function openRtcPage(browser: Browser, url: string, app: { readonly uid: string; readonly secret: string }): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(url);
  await page.evaluate(`window.app = ${JSON.stringify({ base: `${url}/apps/${app.uid}`, secret: app.secret })}; ${script}`);
  return page;
}

declare const window: { calls: Calls };

/** A call of `calls` in the page. */
export function inPage<K extends keyof Calls>(page: Page, name: K, ...args: Parameters<Calls[K]>): Promise<Awaited<ReturnType<Calls[K]>>> {
  return page.evaluate(([member, values]) => (window.calls[member as K] as (...all: unknown[]) => unknown)(...(values as unknown[])), [
    name,
    args,
  ] as const) as Promise<Awaited<ReturnType<Calls[K]>>>;
}
