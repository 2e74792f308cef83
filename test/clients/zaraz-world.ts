/**
 * A zone with an origin of its own, a server in place of tools' vendors, and Chromium as the visitor. The origin listens at
 * the gateway's port on another loopback address, for it is asked on the port of the URL.
 */
import { once } from "node:events";
import http from "node:http";
import { buffer, text } from "node:stream/consumers";
import type Cloudflare from "cloudflare";
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { launchBrowser } from "../harness/browser.ts";
import { startPlatform, type TestPlatform } from "../harness/platform.ts";

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: http.IncomingHttpHeaders;
  /** JSON, or a form's fields. */
  // biome-ignore lint/suspicious/noExplicitAny: tools send what their actions say.
  readonly body: any;
}

export interface Sink {
  readonly url: string;
  readonly seen: readonly Seen[];
  /** The next request, or one that is there already, which fits; each is given once. */
  next(fits: (seen: Seen) => boolean): Promise<Seen>;
  /** The same for requests whose member `event` has this value. */
  event(name: string): Promise<Seen>;
}

export interface ZarazWorld {
  readonly platform: TestPlatform;
  readonly sdk: Cloudflare;
  readonly zone: string;
  readonly sink: Sink;
  /** What the origin answers at a path: HTML with headers. */
  readonly pages: Map<
    string,
    { readonly html: string | Uint8Array; readonly headers?: Readonly<Record<string, string>>; readonly pieces?: boolean }
  >;
  /** URL of a path at the zone's host. */
  url(path: string, host?: string): string;
  /** Saves a configuration: the default one with these members. */
  configure(config: Partial<Config>): Promise<Config>;
  browser(): Promise<Browser>;
  visitor(options?: BrowserContextOptions): Promise<BrowserContext>;
  /** A visit in a context of its own; the page is loaded, and Zaraz is on it. */
  visit(path: string, options?: BrowserContextOptions): Promise<Page>;
  /** A request of no browser. */
  ask(
    path: string,
    options?: { method?: string; body?: string; headers?: Record<string, string>; host?: string; binary?: boolean },
  ): Promise<Answer>;
  /** Uploads a Worker of one module. */
  worker(name: string, code: string): Promise<void>;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

// biome-ignore lint/suspicious/noExplicitAny: the SDK's types have no form for a part of it.
export type Config = any;

interface Hooks {
  after(hook: () => unknown): void;
}

export const ZONE = "shop.example";

export async function zarazWorld(hooks: Hooks, settings: Readonly<Record<string, unknown>> = {}): Promise<ZarazWorld> {
  // Hooks run in their order: a platform that stops waits for what its visitors have begun.
  let browser: Promise<Browser> | undefined;
  hooks.after(async () => (await browser)?.close());
  const config = { "runtime.outbound_allow": ["public", "private", "local"], ...settings };
  const platform = await startPlatform(hooks, { config });
  const sdk = platform.sdk();
  const { hostname: address, port } = new URL(platform.ready.gateway);
  const { id: zone } = await sdk.zones.create({ account: { id: platform.ready.account_id }, name: ZONE });
  for (const name of [`www.${ZONE}`, `other.${ZONE}`])
    await sdk.dns.records.create({ zone_id: zone, type: "A", name, content: "127.0.0.2", ttl: 1, proxied: true });
  const pages: ZarazWorld["pages"] = new Map();
  await openOrigin(hooks, Number(port), pages);
  const sink = await openSink(hooks);
  const url = (path: string, host = `www.${ZONE}`): string => `http://${host}:${port}${path}`;
  const open = (): Promise<Browser> => {
    browser ??= launchBrowser({ [`*.${ZONE}`]: address });
    return browser;
  };
  const visitor: ZarazWorld["visitor"] = async (options) => (await open()).newContext(options);
  const standard = (await sdk.zaraz.default.get({ zone_id: zone })) as Config;

  return {
    ...{ platform, sdk, zone, sink, pages, url, visitor, browser: open },
    configure: (given) => sdk.zaraz.config.update({ zone_id: zone, ...standard, ...given }) as Promise<Config>,
    async visit(path, options) {
      const page = await (await visitor(options)).newPage();
      await page.goto(url(path));
      await until(page, "window.zaraz?.init.ready");
      return page;
    },
    async ask(path, { method = "GET", body, headers = {}, host = `www.${ZONE}`, binary = false } = {}) {
      const request = http.request({ host: address, port, path, method, headers: { host: `${host}:${port}`, ...headers } });
      request.end(body);
      const [response] = (await once(request, "response")) as [http.IncomingMessage];
      return {
        status: response.statusCode as number,
        headers: response.headers,
        body: (await buffer(response)).toString(binary ? "latin1" : "utf8"),
      };
    },
    async worker(name, code) {
      const form = new FormData();
      form.append("metadata", JSON.stringify({ main_module: "index.js", compatibility_date: "2026-11-01" }));
      form.append("index.js", new Blob([code], { type: "application/javascript+module" }), "index.js");
      const encoded = new Response(form);
      const answer = await platform.fetch(`/client/v4/accounts/${platform.ready.account_id}/workers/scripts/${name}`, {
        method: "PUT",
        headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": encoded.headers.get("content-type") as string },
        body: await encoded.bytes(),
      });
      if (!answer.ok) throw new Error(await answer.text());
    },
  };
}

/** Waits in the page. (Playwright's own way evaluates text, which a page's policy may forbid.) */
export const until = (page: Page, condition: string): Promise<unknown> =>
  page.evaluate(`new Promise((done) => { const look = () => ((${condition}) ? done() : setTimeout(look, 10)); look(); })`);

/** A page with a head and a body. */
export const html = (body: string, head = ""): string =>
  `<!doctype html><html><head><title>The shop</title>${head}</head><body>${body}</body></html>`;

async function openOrigin(hooks: Hooks, port: number, pages: ZarazWorld["pages"]): Promise<void> {
  const origin = http.createServer((request, response) => {
    const page = pages.get((request.url as string).split("?")[0] as string);
    if (page === undefined) return void response.writeHead(404, { "content-type": "text/plain" }).end("not here");
    const body = Buffer.from(page.html);
    response.writeHead(200, { "content-type": "text/html; charset=utf-8", ...page.headers });
    if (!page.pieces) return void response.end(body);
    // Byte by byte, so that every tag is cut in two.
    for (const byte of body) response.write(Buffer.of(byte));
    response.end();
  });
  origin.listen(port, "127.0.0.2");
  await once(origin, "listening");
  hooks.after(() => {
    origin.closeAllConnections();
    origin.close();
  });
}

async function openSink(hooks: Hooks): Promise<Sink> {
  const seen: Seen[] = [];
  const given = new Set<Seen>();
  const waiting = new Set<() => void>();
  const server = http.createServer(async (request, response) => {
    const sent = await text(request);
    const { pathname, searchParams } = new URL(request.url as string, "http://sink");
    const isJson = request.headers["content-type"] === "application/json";
    seen.push({
      method: request.method as string,
      path: pathname,
      query: Object.fromEntries(searchParams),
      headers: request.headers,
      body: isJson ? JSON.parse(sent) : Object.fromEntries(new URLSearchParams(sent)),
    });
    response.writeHead(pathname === "/fails" ? 500 : 204, { "access-control-allow-origin": "*" }).end();
    for (const wake of waiting) wake();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  hooks.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const sink: Sink = {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    seen,
    async next(fits) {
      for (;;) {
        const found = seen.find((one) => !given.has(one) && fits(one));
        if (found !== undefined) {
          given.add(found);
          return found;
        }
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            waiting.delete(wake);
            resolve();
          };
          waiting.add(wake);
        });
      }
    },
    event: (name) => sink.next(({ body, query }) => body.event === name || query.event === name),
  };
  return sink;
}

/** A tool that sends fields to the sink as JSON when one of the triggers fires. */
export function httpTool(
  sink: Sink,
  fields: Readonly<Record<string, unknown>>,
  triggers: readonly string[],
  more: Readonly<Record<string, unknown>> = {},
): Config {
  return {
    ...{ type: "component", component: "http-request", name: "Sink", enabled: true, permissions: [], settings: {}, defaultFields: {} },
    blockingTriggers: [],
    actions: {
      send: {
        actionType: "event",
        blockingTriggers: [],
        firingTriggers: triggers,
        data: { __setting_endpoint: `${sink.url}/collect`, __setting_method: "post", ...fields },
      },
    },
    ...more,
  };
}

/** A trigger of one rule: the event's name is this. */
export const named = (name: string): Config => ({
  name,
  excludeRules: [],
  loadRules: [{ id: `is-${name}`, match: "{{ client.__zarazTrack }}", op: "EQUALS", value: name }],
});
