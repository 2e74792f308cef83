/** Browsers in deployed Workers, with both generations of `@cloudflare/puppeteer` and with `@cloudflare/playwright`. */
import assert from "node:assert/strict";
import { copyFile, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import sharp from "sharp";
import { extractText, getDocumentProxy } from "unpdf";
import { browserSettings, noBrowser } from "../../harness/browser.ts";
import { clientProject, missingClient } from "../../harness/npm-client.ts";
import { startPlatform } from "../../harness/platform.ts";
import { openTerminal } from "../../harness/terminal.ts";
import { openOrigin } from "../browser-rendering-origin.ts";

const skip = noBrowser || missingClient("browser-clients");
const origin = await openOrigin({ after });
const config = {
  ...browserSettings,
  "browser_rendering.private_hosts": [origin.host],
  "browser_rendering.sessions_per_min": 0,
  "browser_rendering.sessions_max": 3,
  // The real default is a minute.
  "browser_rendering.idle_timeout_s": 15,
  "browser_rendering.actions_per_min": 6,
};
const platform = await startPlatform({ after }, { config });
const page = origin.page("page", "<!doctype html><title>Page</title><h1>Hello</h1>");

// biome-ignore lint/suspicious/noExplicitAny: what a path of the Worker answers.
type Any = any;
const ask = async (path: string, query: Record<string, string> = {}) => {
  const url = platform.host("workers", { worker: "browsers", subdomain: "dev" });
  const response = await platform.fetch(`${url}/${path}?${new URLSearchParams(query)}`);
  const bytes = Buffer.from(await response.arrayBuffer());
  assert.equal(response.status, 200, `${path}: ${bytes.toString("utf8", 0, 2000)}`);
  return { headers: response.headers, bytes };
};
const json = async (path: string, query: Record<string, string> = {}): Promise<Any> =>
  JSON.parse((await ask(path, query)).bytes.toString());

/** The project of the deployed Worker. */
const dir = skip === false ? await clientProject({ after }, "browser-clients") : "";

before(async () => {
  if (skip !== false) return;
  await copyFile(new URL("./browser-rendering/index.js", import.meta.url), join(dir, "index.js"));
  const wrangler = {
    name: "browsers",
    main: "index.js",
    // Of the documentation's examples. Newer dates give older clients a Blob where they expect an ArrayBuffer.
    compatibility_date: "2025-09-15",
    compatibility_flags: ["nodejs_compat"],
    browser: { binding: "MYBROWSER" },
    kv_namespaces: [
      {
        binding: "PICTURES",
        id: (await platform.sdk().kv.namespaces.create({ account_id: platform.ready.account_id, title: "pictures" })).id,
      },
    ],
    r2_buckets: [{ binding: "BUCKET", bucket_name: "pictures" }],
    durable_objects: { bindings: [{ name: "BROWSER", class_name: "Browser" }] },
    migrations: [{ tag: "v1", new_sqlite_classes: ["Browser"] }],
  };
  await platform.sdk().r2.buckets.create({ account_id: platform.ready.account_id, name: "pictures" });
  await writeFile(join(dir, "wrangler.json"), JSON.stringify(wrangler));
  const { stdout } = await platform.wrangler(["deploy"], { cwd: dir });
  assert.match(stdout, /env\.MYBROWSER/);
});

for (const client of ["new", "old"])
  test(`[browser-rendering-26, browser-rendering-32] puppeteer (${client}) gets a page's metrics`, { skip }, async () => {
    const { metrics, title, version } = await json("metrics", { client, url: page });
    assert.ok(metrics.Nodes > 0 && metrics.JSHeapUsedSize > 0, JSON.stringify(metrics));
    assert.equal(title, "Page");
    assert.match(version, /Chrome/);
  });

for (const client of ["new", "old"]) {
  test(`[browser-rendering-27, browser-rendering-32] puppeteer (${client}) keeps a screenshot in KV and makes a PDF of given HTML`, {
    skip,
  }, async () => {
    const url = origin.page(`kept-${client}`, `<body style="background:#0f0">`);
    const pictures = [await ask("kv", { client, url }), await ask("kv", { client, url })];
    assert.deepEqual(
      pictures.map(({ headers }) => headers.get("x-stored")),
      ["false", "true"],
    );
    assert.deepEqual(pictures[0]?.bytes, pictures[1]?.bytes);
    const { format, width, height } = await sharp(pictures[0]?.bytes).metadata();
    assert.deepEqual([format, width, height], ["jpeg", 800, 600]);
    assert.equal(origin.asked(`kept-${client}`).length, 1);
    const { text } = await extractText(await getDocumentProxy(new Uint8Array((await ask("pdf", { client, name: "Ada" })).bytes)));
    assert.deepEqual(text, ["Ada"]);
  });

  test(`[browser-rendering-29, browser-rendering-32] puppeteer (${client}) leaves a browser open and finds it again; a busy one is refused`, {
    skip,
  }, async () => {
    const first = await json("reuse", { client, url: page });
    const id = first.text.replace("Launched ", "");
    // The end of a connection is on its way when disconnect() returns.
    const isFree = async (): Promise<boolean> =>
      (await json("sessions", { client })).sessions.some((session: Any) => session.sessionId === id && session.connectionId === undefined);
    while (!(await isFree())) await delay(50);
    const second = await json("reuse", { client, url: page });
    assert.deepEqual([first.text, second.text], [`Launched ${id}`, `Connected to ${id}`]);
    for (const { html, busy, connected } of [first, second]) {
      assert.match(html, /Hello/);
      assert.match(busy.error, new RegExp(`Unable to connect to existing session ${id} \\(it may still be in use`));
      assert.deepEqual(Object.keys(connected).sort(), ["connectionId", "connectionStartTime", "sessionId", "startTime"]);
    }
    assert.notEqual(first.connected.connectionId, second.connected.connectionId);
    const left = await json("close", { client, id });
    assert.ok(!left.some(({ sessionId }: Any) => sessionId === id));
    const missing = await platform.fetch(
      `${platform.host("workers", { worker: "browsers", subdomain: "dev" })}/close?client=${client}&id=${id}`,
    );
    assert.match(await missing.text(), new RegExp(`Unable to connect to existing session ${id}`));
  });

  test(`[browser-rendering-32, browser-rendering-33] puppeteer (${client}) gets a screenshot of 5 MB and a large PDF in one message each`, {
    skip,
  }, async () => {
    const { picture, pdf, content } = await json("large", { client });
    assert.ok(picture > 4_500_000, `a screenshot of ${picture} bytes`);
    assert.ok(pdf > 1_000_000, `a PDF of ${pdf} bytes`);
    assert.ok(content > 2_000_000, `a document of ${content} characters`);
  });
}

test("[browser-rendering-28, browser-rendering-30, browser-rendering-41] sessions, history with reasons, and limits; idle browsers close", {
  skip,
}, async () => {
  const { sessions: none, history } = await json("sessions");
  assert.deepEqual(none, []);
  assert.ok(history.length > 0);
  for (const { sessionId, startTime, endTime, closeReason, closeReasonText, ...rest } of history) {
    assert.match(sessionId, /^[0-9a-f-]{36}$/);
    assert.ok(endTime >= startTime);
    assert.deepEqual([closeReason, closeReasonText, rest], [1, "NormalClosure", {}]);
  }
  // One with the default time, which is short here, and two that are to be kept.
  const idle = (await json("acquire")).value;
  const kept = [
    (await json("acquire", { keep_alive: "600000" })).value,
    (await json("acquire", { client: "old", keep_alive: "600000" })).value,
  ];
  const { sessions, limits } = await json("sessions", { client: "old" });
  for (const session of sessions) assert.deepEqual(Object.keys(session).sort(), ["sessionId", "startTime"]);
  const open = new Set(sessions.map(({ sessionId }: Any) => sessionId));
  if (open.has(idle)) {
    assert.deepEqual(open, new Set([idle, ...kept]));
    assert.deepEqual([limits.activeSessions.length, limits.maxConcurrentSessions, limits.allowedBrowserAcquisitions], [3, 3, 0]);
  }
  const closed = async (): Promise<Any> =>
    (await json("sessions")).history.find((session: Any) => session.sessionId === idle && session.endTime !== undefined);
  let ended = await closed();
  while (ended === undefined) {
    await delay(100);
    ended = await closed();
  }
  assert.deepEqual([ended.closeReason, ended.closeReasonText], [2, "BrowserIdle"]);
  const more = (await json("acquire", { keep_alive: "600000" })).value;
  for (const client of ["new", "old"]) {
    const refused = (await json("acquire", { client })).error;
    assert.match(refused, /Unable to create new browser: code: 429: message: Too many browsers are open/);
  }
  for (const id of [...kept, more]) await json("close", { id });
  assert.deepEqual((await json("sessions")).limits, {
    activeSessions: [],
    maxConcurrentSessions: 3,
    allowedBrowserAcquisitions: 3,
    timeUntilNextAllowedBrowserAcquisition: 0,
  });
});

test("[browser-rendering-31] a Durable Object holds a browser; its alarm lets it go", { skip }, async () => {
  const runs = [await json("object", { url: page, folder: "a" }), await json("object", { url: page, folder: "b", alarm: "" })];
  assert.equal(runs[0].sessionId, runs[1].sessionId);
  const list = await platform.rest("GET", `/accounts/${platform.ready.account_id}/r2/buckets/pictures/objects`);
  const sizes = ["1920x1080", "1366x768", "1536x864", "360x640", "414x896"];
  const keys = ["a", "b"].flatMap((folder) => sizes.map((size) => `${folder}/screenshot_${size}`));
  assert.deepEqual(list.body.result.map(({ key }: { key: string }) => key).sort(), keys.sort());
  const s3 = await platform.fetch(`/client/v4/accounts/${platform.ready.account_id}/r2/buckets/pictures/objects/b%2Fscreenshot_414x896`, {
    headers: { authorization: `Bearer ${platform.ready.api_token}` },
  });
  const { width, height } = await sharp(Buffer.from(await s3.arrayBuffer())).metadata();
  assert.deepEqual([width, height], [414, 896]);
  while ((await json("sessions")).sessions.length > 0) await delay(100);
});

test("[browser-rendering-42] browser contexts have cookies of their own", { skip }, async () => {
  assert.deepEqual(await json("incognito", { url: page }), ["one=1", "two=1"]);
});

test("[browser-rendering-34, browser-rendering-36] playwright works on a list of things to do, and its expectations pass and fail", {
  skip,
}, async () => {
  const url = origin.page(
    "todomvc",
    `<!doctype html><title>TodoMVC</title><h1>todos</h1><input placeholder="What needs to be done?"><ul></ul><script>
      const input = document.querySelector("input");
      input.addEventListener("keydown", ({ key }) => {
        if (key !== "Enter") return;
        document.querySelector("ul").insertAdjacentHTML("beforeend", '<li><input type=checkbox><label data-testid="todo-title"></label></li>');
        document.querySelector("li:last-child label").textContent = input.value;
        input.value = "";
      });</script>`,
  );
  const { texts, failed, picture } = await json("todo", { url });
  assert.deepEqual(texts, ["buy some cheese", "feed the cat", "book a doctors appointment"]);
  assert.match(failed.error, /toHaveCount/);
  assert.deepEqual(picture, [137, 80, 78, 71, 13, 10, 26, 10]);
});

test("[browser-rendering-35] playwright's close ends what it launched and leaves what it connected to", { skip }, async () => {
  const { sessionId, open, text, gone, limits } = await json("kept", { url: page });
  assert.deepEqual(Object.keys(open).sort(), ["sessionId", "startTime"]);
  assert.deepEqual([text, gone], ["Hello", true]);
  assert.deepEqual(limits.activeSessions, [{ id: sessionId }]);
  await json("close", { id: sessionId });
});

test("[browser-rendering-38] a login is kept by storageState in KV", { skip }, async () => {
  const url = origin.serve("login", (request, response) => {
    const inside = request.headers.cookie?.includes("user=ada") === true;
    if (request.method === "POST") response.writeHead(303, { "set-cookie": "user=ada; Path=/", location: "/login/inside" }).end();
    else
      response
        .writeHead(200, { "content-type": "text/html" })
        .end(inside ? "Hello Ada" : "<form method=post><button>Log in</button></form>");
  });
  assert.deepEqual(await json("state", { url }), { stored: false, text: "Hello Ada" });
  assert.deepEqual(await json("state", { url }), { stored: true, text: "Hello Ada" });
});

test("a session reaches no file, no private address, no page of the browser's own, and no way past the proxy; the platform's names it does", {
  skip,
}, async () => {
  const victim = await openOrigin({ after });
  victim.page("secret", "<p>SECRET</p>");
  const tries = [
    ["Page.navigate", { url: "file:///etc/passwd" }],
    ["Target.createTarget", { url: "chrome://version" }],
    ["Network.loadNetworkResource", { url: "file:///etc/passwd", options: { disableCache: true, includeCredentials: false } }],
    ["DOM.setFileInputFiles", { files: ["/etc/passwd"], nodeId: 1 }],
    ["Input.dispatchDragEvent", { type: "drop", x: 1, y: 1, data: { items: [], files: ["/etc/passwd"], dragOperationsMask: 1 } }],
    ["Target.exposeDevToolsProtocol", { targetId: "x" }],
    ["Target.sendMessageToTarget", { message: JSON.stringify({ id: 1, method: "Page.navigate", params: { url: "file:///etc/passwd" } }) }],
    ["Tethering.bind", { port: 9999 }],
    ["Extensions.loadUnpacked", { path: "/tmp" }],
    ["SystemInfo.getProcessInfo", {}],
  ];
  const platformUrl = platform.host("workers", { worker: "browsers", subdomain: "dev" });
  const {
    context,
    goto,
    platform: own,
    ...others
  } = await json("forbidden", {
    tries: JSON.stringify(tries),
    private: `http://${victim.host}/secret`,
    platform: `${platformUrl}/sessions`,
  });
  assert.equal(Object.keys(others).length, tries.length);
  for (const [method, result] of Object.entries<Any>({ ...others, context }))
    assert.match(String(result.error), /is not allowed/, `${method}: ${JSON.stringify(result)}`);
  assert.equal(goto.value, 403);
  assert.match(own.value, /"maxConcurrentSessions":3/);
  assert.deepEqual(victim.requests, []);
});

test("[browser-rendering-22] REST actions faster than their rate are told when to come again", { skip }, async () => {
  const call = () =>
    platform.fetch(`/client/v4/accounts/${platform.ready.account_id}/browser-rendering/content?cacheTTL=0`, {
      method: "POST",
      headers: { authorization: `Bearer ${platform.ready.api_token}`, "content-type": "application/json" },
      body: JSON.stringify({ url: page }),
    });
  const answers = await Promise.all([call(), call()]);
  const [good, refused] = answers.sort((a, b) => a.status - b.status);
  assert.deepEqual([good?.status, refused?.status], [200, 429]);
  assert.match(String(refused?.headers.get("retry-after")), /^\d+$/);
  assert.deepEqual(((await (refused as (typeof answers)[0]).json()) as Any).errors[0].message, "Rate limit exceeded");
});

test("[browser-rendering-46] wrangler dev runs a Worker that takes screenshots with a browser of the platform", { skip }, async (t) => {
  const bindings = { name: "browsers", main: "index.js", compatibility_date: "2025-09-15", compatibility_flags: ["nodejs_compat"] };
  const config = { ...bindings, browser: { binding: "MYBROWSER", remote: true }, kv_namespaces: [{ binding: "PICTURES", id: "local" }] };
  await writeFile(join(dir, "dev.json"), JSON.stringify(config));
  const flags = ["--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0", "--show-interactive-dev-session=false"];
  const terminal = openTerminal(t, platform, ["wrangler", "dev", "--config", "dev.json", ...flags], { cwd: dir });
  const [, port] = await terminal.expect(/Ready on http:\/\/\S+:(\d+)/);
  const response = await fetch(`http://127.0.0.1:${port}/kv?${new URLSearchParams({ url: page })}`);
  const bytes = Buffer.from(await response.arrayBuffer());
  assert.equal(response.status, 200, bytes.toString("utf8", 0, 2000) + terminal.text());
  const { format, width, height } = await sharp(bytes).metadata();
  assert.deepEqual([format, width, height], ["jpeg", 800, 600]);
});

test("no browser is left when the platform is killed, and its sessions are over at the next start", { skip }, async () => {
  const id = (await json("acquire", { keep_alive: "600000" })).value;
  const profiles = async (): Promise<string[]> => {
    const directory = (await readFile(join(platform.dir, "browser-rendering", "run-directory"), "utf8")).trim();
    const commands = (await readdir("/proc"))
      .filter((entry) => /^\d+$/.test(entry))
      .map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""));
    return (await Promise.all(commands)).filter((command) => command.includes(directory));
  };
  assert.notEqual((await profiles()).length, 0);
  await platform.kill9();
  while ((await profiles()).length > 0) await delay(50);
  await platform.restart();
  const { sessions, history } = await json("sessions");
  assert.deepEqual(sessions, []);
  assert.equal(history.find(({ sessionId }: Any) => sessionId === id).closeReasonText, "ServiceRestarted");
  assert.equal((await json("metrics", { url: page })).title, "Page");
});
