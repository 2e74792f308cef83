// A Worker that works with browsers, one path for each thing; what it is to do is in the query.

import { DurableObject } from "cloudflare:workers";
import playwright, { acquire, connect, launch } from "@cloudflare/playwright";
import { expect } from "@cloudflare/playwright/test";
import puppeteer from "@cloudflare/puppeteer";
import older from "puppeteer-1.0";

const clients = { new: puppeteer, old: older, playwright };

/** Runs in a page. */
function setCookie(name) {
  // biome-ignore lint/suspicious/noDocumentCookie: the cookie store needs HTTPS.
  document.cookie = `${name}=1`;
  return document.cookie;
}

/** What a client's calls threw, as text. */
const attempt = (work) =>
  work().then(
    (value) => ({ value }),
    (error) => ({ error: String(error) }),
  );

const routes = {
  // https://developers.cloudflare.com/browser-rendering/puppeteer/
  async metrics(env, query, client) {
    const browser = await client.launch(env.MYBROWSER);
    try {
      const page = await browser.newPage();
      await page.goto(query.get("url"));
      return Response.json({ metrics: await page.metrics(), title: await page.title(), version: await browser.version() });
    } finally {
      await browser.close();
    }
  },

  // https://developers.cloudflare.com/browser-rendering/workers-bindings/screenshots/
  async kv(env, query, client) {
    const url = query.get("url");
    let image = await env.PICTURES.get(url, { type: "arrayBuffer" });
    const stored = image !== null;
    if (!stored) {
      const browser = await client.launch(env.MYBROWSER);
      const page = await browser.newPage();
      await page.goto(url);
      image = await page.screenshot({ type: "jpeg" });
      await env.PICTURES.put(url, image, { expirationTtl: 60 * 60 * 24 });
      await browser.close();
    }
    return new Response(image, { headers: { "content-type": "image/jpeg", "x-stored": String(stored) } });
  },

  // https://developers.cloudflare.com/browser-rendering/how-to/pdf-generation/
  async pdf(env, query, client) {
    const browser = await client.launch(env.MYBROWSER);
    const page = await browser.newPage();
    await page.setContent(`<h1>${query.get("name")}</h1>`);
    const pdf = await page.pdf({ printBackground: true });
    await browser.close();
    return new Response(pdf, { headers: { "content-type": "application/pdf" } });
  },

  // Noise does not compress: the picture and the document in one are larger than a message of a WebSocket once was.
  async large(env, _query, client) {
    const browser = await client.launch(env.MYBROWSER);
    try {
      const page = await browser.newPage();
      await page.setViewport({ width: 1400, height: 1100 });
      await page.setContent(`<body style="margin:0"><canvas width=1400 height=1100></canvas><!--${"x".repeat(2_000_000)}--><script>
        const context = document.querySelector("canvas").getContext("2d"), data = context.createImageData(1400, 1100);
        for (let at = 0; at < data.data.length; at += 60000) crypto.getRandomValues(data.data.subarray(at, Math.min(at + 60000, data.data.length)));
        for (let at = 3; at < data.data.length; at += 4) data.data[at] = 255;
        context.putImageData(data, 0, 0);</script>`);
      const picture = await page.screenshot();
      const pdf = await page.pdf({ printBackground: true });
      return Response.json({ picture: picture.length, pdf: pdf.length, content: (await page.content()).length });
    } finally {
      await browser.close();
    }
  },

  async sessions(env, _query, client) {
    const [sessions, history, limits] = [
      await client.sessions(env.MYBROWSER),
      await client.history(env.MYBROWSER),
      await client.limits(env.MYBROWSER),
    ];
    return Response.json({ sessions, history, limits });
  },

  async acquire(env, query, client) {
    const keep_alive = Number(query.get("keep_alive") ?? 0);
    return Response.json(await attempt(async () => (await client.acquire(env.MYBROWSER, keep_alive ? { keep_alive } : {})).sessionId));
  },

  // https://developers.cloudflare.com/browser-rendering/workers-bindings/reuse-sessions/
  async reuse(env, query, client) {
    const free = (await client.sessions(env.MYBROWSER)).find(({ connectionId }) => !connectionId)?.sessionId;
    const browser = free ? await client.connect(env.MYBROWSER, free) : await client.launch(env.MYBROWSER);
    const sessionId = browser.sessionId();
    const page = await browser.newPage();
    const response = await page.goto(query.get("url"));
    const html = await response.text();
    const busy = await attempt(() => client.connect(env.MYBROWSER, sessionId));
    const connected = (await client.sessions(env.MYBROWSER)).find((session) => session.sessionId === sessionId);
    await browser.disconnect();
    return Response.json({ text: `${free ? "Connected to" : "Launched"} ${sessionId}`, html, busy, connected });
  },

  async close(env, query, client) {
    const browser = await client.connect(env.MYBROWSER, query.get("id"));
    await browser.close();
    return Response.json(await client.sessions(env.MYBROWSER));
  },

  async forbidden(env, query) {
    const browser = await puppeteer.launch(env.MYBROWSER);
    try {
      const page = await browser.newPage();
      const cdp = await page.createCDPSession();
      const tries = {};
      for (const [method, params] of JSON.parse(query.get("tries"))) tries[method] = await attempt(() => cdp.send(method, params));
      tries.context = await attempt(() => browser.createBrowserContext({ proxyServer: "http://127.0.0.1:1" }).then(() => "made"));
      tries.goto = await attempt(async () => (await page.goto(query.get("private"))).status());
      tries.platform = await attempt(async () => (await page.goto(query.get("platform"))).text());
      return Response.json(tries);
    } finally {
      await browser.close();
    }
  },

  async incognito(env, query) {
    const browser = await puppeteer.launch(env.MYBROWSER);
    try {
      const cookies = [];
      for (const name of ["one", "two"]) {
        const context = await browser.createBrowserContext();
        const page = await context.newPage();
        await page.goto(query.get("url"));
        cookies.push(await page.evaluate(setCookie, name));
      }
      return Response.json(cookies);
    } finally {
      await browser.close();
    }
  },

  // https://developers.cloudflare.com/browser-rendering/playwright/
  async todo(env, query) {
    const browser = await launch(env.MYBROWSER);
    try {
      const page = await browser.newPage();
      await page.goto(query.get("url"));
      const fresh = page.getByPlaceholder("What needs to be done?");
      for (const item of ["buy some cheese", "feed the cat", "book a doctors appointment"]) {
        await fresh.fill(item);
        await fresh.press("Enter");
      }
      await expect(page.getByTestId("todo-title")).toHaveCount(3);
      await expect(page.getByTestId("todo-title").nth(1)).toHaveText("feed the cat");
      const failed = await attempt(() => expect(page.getByTestId("todo-title")).toHaveCount(4, { timeout: 200 }));
      const texts = await page.getByTestId("todo-title").allTextContents();
      const picture = await page.screenshot();
      return Response.json({ texts, failed, picture: [...picture.subarray(0, 8)] });
    } finally {
      await browser.close();
    }
  },

  async kept(env, query) {
    const { sessionId } = await acquire(env.MYBROWSER);
    const first = await connect(env.MYBROWSER, sessionId);
    const page = await first.newPage();
    await page.goto(query.get("url"));
    await first.close();
    // Closing does not wait for the platform to hear of it.
    let open;
    do open = (await playwright.sessions(env.MYBROWSER)).find((session) => session.sessionId === sessionId);
    while (open?.connectionId !== undefined);
    const second = await connect(env.MYBROWSER, sessionId);
    const again = await second.newPage();
    await again.goto(query.get("url"));
    const text = await again.textContent("h1");
    await second.close();
    const launched = await launch(env.MYBROWSER);
    const id = launched.sessionId();
    await launched.close();
    const gone = (await playwright.sessions(env.MYBROWSER)).every((session) => session.sessionId !== id);
    return Response.json({ sessionId, open, text, gone, limits: await playwright.limits(env.MYBROWSER) });
  },

  async tracing(env, query) {
    const browser = await launch(env.MYBROWSER);
    try {
      const page = await browser.newPage();
      await page.context().tracing.start({ screenshots: true, snapshots: true });
      await page.goto(query.get("url"));
      await page.context().tracing.stop({ path: "/tmp/trace.zip" });
      const { readFileSync } = await import("node:fs");
      return new Response(readFileSync("/tmp/trace.zip"), { headers: { "content-type": "application/zip" } });
    } finally {
      await browser.close();
    }
  },

  async state(env, query) {
    const stored = await env.PICTURES.get("state", "json");
    const browser = await launch(env.MYBROWSER);
    try {
      const context = await browser.newContext(stored ? { storageState: stored } : {});
      const page = await context.newPage();
      await page.goto(query.get("url"));
      if (!stored) {
        await page.getByRole("button").click();
        await page.waitForURL("**/inside*");
        await env.PICTURES.put("state", JSON.stringify(await context.storageState()));
      }
      return Response.json({ stored: stored !== null, text: await page.textContent("body") });
    } finally {
      await browser.close();
    }
  },

  async object(env, query) {
    return env.BROWSER.getByName("browser").fetch(`http://object/?${query}`);
  },
};

/** https://developers.cloudflare.com/browser-rendering/workers-bindings/browser-rendering-with-do/ */
export class Browser extends DurableObject {
  async fetch(request) {
    const query = new URL(request.url).searchParams;
    if (!this.browser?.isConnected()) this.browser = await puppeteer.launch(this.env.MYBROWSER);
    const sessionId = this.browser.sessionId();
    const folder = query.get("folder");
    const page = await this.browser.newPage();
    for (const [width, height] of [
      [1920, 1080],
      [1366, 768],
      [1536, 864],
      [360, 640],
      [414, 896],
    ]) {
      await page.setViewport({ width, height });
      await page.goto(query.get("url"));
      await this.env.BUCKET.put(`${folder}/screenshot_${width}x${height}`, await page.screenshot());
    }
    await page.close();
    if (query.has("alarm")) await this.ctx.storage.setAlarm(Date.now() + 100);
    return Response.json({ sessionId });
  }
  async alarm() {
    await this.browser?.close();
  }
}

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    try {
      return await routes[pathname.slice(1)](env, searchParams, clients[searchParams.get("client") ?? "new"]);
    } catch (error) {
      return new Response(error.stack, { status: 500 });
    }
  },
};
