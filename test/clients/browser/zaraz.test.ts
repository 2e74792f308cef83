/** Zaraz with Chromium as the visitor: the script on pages, the Web API, triggers and tools. A local server is in place of vendors. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { noBrowser } from "../../harness/browser.ts";
import { html, httpTool, named, until, zarazWorld } from "../zaraz-world.ts";

const world = await zarazWorld({ after });
const { sink, pages } = world;
const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
const SCRIPT = '<script data-cfasync="false" data-top-only src="/cdn-cgi/zaraz/i.js" referrerpolicy="origin"></script>';

test("[zaraz-01] HTML of a zone gains the script before the end of its head; switched off it does not", async () => {
  const tricky = html(
    "<p>text</p>",
    `<!-- </head> --><script>const a = "</head>";</script><meta name="x" content="</head>"><style>/* </head> */</style>`,
  );
  pages.set("/tricky", { html: tricky });
  pages.set("/pieces", { html: tricky, pieces: true });
  pages.set("/zipped", { html: gzipSync(tricky), headers: { "content-encoding": "gzip", etag: '"one"' } });
  pages.set("/plain", { html: "<title></head>", headers: { "content-type": "text/plain" } });
  pages.set("/headless", { html: "<!doctype html><title>x</title><body><p>y</p>" });
  assert.equal((await world.ask("/tricky")).body, tricky, "no tool, no script");

  await world.configure({ tools: { sink: httpTool(sink, { event: "page" }, ["Pageview"]) } });
  const at = tricky.lastIndexOf("</head>");
  const expected = tricky.slice(0, at) + SCRIPT + tricky.slice(at);
  assert.equal((await world.ask("/tricky")).body, expected);
  assert.equal((await world.ask("/pieces")).body, expected);
  assert.equal((await world.ask("/headless")).body, `<!doctype html><title>x</title>${SCRIPT}<body><p>y</p>`);
  const zipped = await world.ask("/zipped", { binary: true });
  assert.deepEqual([zipped.headers["content-encoding"], zipped.headers.etag], ["gzip", 'W/"one"']);
  assert.equal(gunzipSync(Buffer.from(zipped.body, "latin1")).toString(), expected);
  assert.equal((await world.ask("/plain")).body, "<title></head>");
  assert.equal((await world.ask("/tricky", { host: "other.shop.example" })).body, expected, "every host of the zone");

  await world.configure({
    settings: { autoInjectScript: false },
    tools: { sink: httpTool(sink, { event: "page" }, ["Pageview"]) },
  });
  assert.equal((await world.ask("/tricky")).body, tricky);
});

test("[zaraz-43] under a policy with a nonce, or with none of its own, everything runs, and nothing is evaluated", {
  skip: noBrowser,
}, async () => {
  const policy = "default-src 'self'; script-src 'nonce-r4nd0m'";
  pages.set("/nonce", { html: html("<p>x</p>"), headers: { "content-security-policy": policy } });
  pages.set("/self", { html: html("<p>x</p>"), headers: { "content-security-policy": "script-src 'self'" } });
  await world.configure({ tools: { html: htmlTool("<b id=made>made</b><script>window.ran = 1</script>") } });
  for (const path of ["/nonce", "/self"]) {
    const page = await world.visit(path);
    const refused: string[] = [];
    page.on("console", (line) => line.type() === "error" && refused.push(line.text()));
    await until(page, "window.ran === 1");
    assert.equal(await page.textContent("#made"), "made");
    // The policy holds for what the page itself does.
    await page.evaluate(
      "const script = document.createElement('script'); script.text = 'window.smuggled = 1'; document.head.append(script)",
    );
    assert.equal(await page.evaluate("window.smuggled"), undefined);
    assert.match(refused.join(), /Content Security Policy/);
  }
  assert.match((await world.ask("/nonce")).body, /nonce="r4nd0m"/);
});

test("[zaraz-02] the script by hand defines zaraz; without a tool there is none", { skip: noBrowser }, async () => {
  pages.set("/manual", {
    html: html("", '<script src="/cdn-cgi/zaraz/i.js"></script><script>window.early = zaraz.track("early", { a: 1 })</script>'),
  });
  const settings = { autoInjectScript: false };
  await world.configure({
    settings,
    tools: { sink: httpTool(sink, { event: "{{ client.__zarazTrack }}", a: "{{ client.a }}" }, ["early"]) },
    triggers: { early: named("early") },
  });
  const page = await world.visit("/manual");
  // What is called before the rest of the script is there is kept.
  await page.evaluate("window.early");
  assert.deepEqual((await sink.event("early")).body, { event: "early", a: 1 });
  assert.deepEqual(await page.evaluate("Object.keys(zaraz).filter((name) => typeof zaraz[name] === 'function').sort()"), [
    ...["debug", "preview", "set", "showConsentModal", "spaPageview", "track"],
  ]);
  await world.configure({ settings, tools: {} });
  assert.equal((await world.ask("/cdn-cgi/zaraz/i.js")).status, 404);
});

test("[zaraz-03] scripts and events have the paths that are configured; frames get the script when they shall", {
  skip: noBrowser,
}, async () => {
  pages.set("/framed", { html: html('<iframe src="/inner"></iframe>') });
  pages.set("/inner", { html: html("inner") });
  const paths = { initPath: "/my/start.js", scriptPath: "/my/main.js", trackPath: "/my/t" };
  const tools = { sink: httpTool(sink, { event: "paths", path: "{{ system.page.url.pathname }}" }, ["Pageview"]) };
  await world.configure({ settings: { autoInjectScript: true, ...paths }, tools });
  const page = await world.visit("/framed");
  assert.equal((await sink.event("paths")).body.path, "/framed");
  assert.equal(await page.frames()[1]?.evaluate("typeof zaraz"), "undefined");
  for (const path of [paths.initPath, paths.scriptPath]) {
    const { status, headers } = await world.ask(path);
    assert.deepEqual([status, headers["content-type"], headers["x-robots-tag"]], [200, "text/javascript; charset=utf-8", "noindex"]);
  }
  assert.equal((await world.ask("/cdn-cgi/zaraz/i.js")).status, 404);

  await world.configure({ settings: { autoInjectScript: true, injectIframes: true, ...paths }, tools });
  await world.visit("/framed");
  const seen = [await sink.event("paths"), await sink.event("paths")];
  assert.deepEqual(seen.map(({ body }) => body.path).sort(), ["/framed", "/inner"]);
});

test("[zaraz-04, zaraz-24] a page view makes a request of the server's, and every property of the Context is filled", {
  skip: noBrowser,
}, async () => {
  pages.set("/context", { html: html("<p>x</p>") });
  const fields = Object.fromEntries(
    [
      ...["page.query", "page.title", "page.url", "page.referrer", "page.encoding", "cookies.basket", "consent", "clientKV"],
      ...["device.ip", "device.resolution", "device.viewport", "device.language", "device.location"],
      ...["ua", "browser.name", "browser.version", "engine.name", "engine.version", "os.name", "os.version", "device", "cpu"].map(
        (part) => `device.\`user-agent\`.${part}`,
      ),
      ...["misc.random", "misc.timestamp", "misc.timestampMilliseconds"],
    ].map((path) => [path, `{{ system.${path} }}`]),
  );
  const tool = httpTool(sink, { event: "{{ client.__zarazTrack }}", ...fields }, ["Pageview"]);
  await world.configure({ tools: { context: tool } });
  const visitor = await world.visitor({
    userAgent: MAC,
    locale: "pt-BR",
    viewport: { width: 800, height: 600 },
    screen: { width: 1200, height: 900 },
  });
  await visitor.addCookies([
    { name: "basket", value: "three things", url: world.url("/") },
    { name: "cfz_context__visits", value: "7", url: world.url("/") },
  ]);
  const page = await visitor.newPage();
  await page.goto(world.url("/context?q=hello&n=2"), { referer: world.url("/before") });
  const { body, headers } = await sink.event("Pageview");
  assert.notEqual(headers["user-agent"], MAC, "the server's own request");
  const agent = (part: string): unknown => body[`device.\`user-agent\`.${part}`];
  assert.deepEqual(body["page.query"], { q: "hello", n: "2" });
  assert.deepEqual(
    [body["page.title"], body["page.url"].href, body["page.url"].pathname],
    ["The shop", world.url("/context?q=hello&n=2"), "/context"],
  );
  assert.deepEqual([body["page.referrer"], body["page.encoding"], body["cookies.basket"]], [world.url("/before"), "UTF-8", "three things"]);
  assert.deepEqual([body.consent, body.clientKV], [{}, { context_visits: "7" }]);
  assert.deepEqual(
    [body["device.ip"], body["device.resolution"], body["device.viewport"], body["device.language"]],
    ["127.0.0.1", "1200x900", "800x600", "pt-BR"],
  );
  assert.deepEqual(Object.keys(body["device.location"]), ["country", "isEUCountry", "timezone"]);
  assert.deepEqual(["ua", "browser.name", "engine.name", "os.name", "os.version", "device", "cpu"].map(agent), [
    MAC,
    "Chrome",
    "Blink",
    "Mac OS",
    "10.15.7",
    "Macintosh",
    "unknown",
  ]);
  for (const part of ["browser.version", "engine.version"]) assert.match(String(agent(part)), /^\d+\./);
  assert.ok(body["misc.random"] >= 0 && body["misc.random"] < 1);
  assert.equal(body["misc.timestamp"], Math.floor(body["misc.timestampMilliseconds"] / 1000));
});

test("[zaraz-05, zaraz-06, zaraz-23] track() with properties, set() in its scopes, and templates in JSONata", {
  skip: noBrowser,
}, async () => {
  pages.set("/track", { html: html("<p>x</p>") });
  const fields = {
    ...{ event: "{{ client.__zarazTrack }}", text: "{{ $uppercase(client.plan) }}: {{ client.value + 1 }}", plan: "{{ client.plan }}" },
    ...{ page: "{{ client.p }}", session: "{{ client.s }}", kept: "{{ client.k }}", sum: "{{ $sum(client.products.(price * quantity)) }}" },
    ...{ odd: "{{ client.`a-b` }}", nothing: "{{ client.none }}", broken: "{{ $unknown( }}" },
  };
  await world.configure({
    tools: { sink: httpTool(sink, fields, ["any"]) },
    triggers: {
      any: { ...named("any"), loadRules: [{ id: "r", match: "{{ client.__zarazTrack }}", op: "MATCH_REGEX", value: "^go\\d$" }] },
    },
  });
  const visitor = await world.visitor();
  const page = await visitor.newPage();
  await page.goto(world.url("/track"));
  await page.evaluate(`(async () => {
    zaraz.set("plan", "preset"); zaraz.set("p", "page", { scope: "page" }); zaraz.set("s", "session", { scope: "session" }); zaraz.set("k", "kept", { scope: "persist" });
    await zaraz.track("go1", { plan: "pro", value: 41, "a-b": true, products: [{ price: 14.99, quantity: 3 }, { price: 10.99, quantity: 2 }] });
  })()`);
  assert.deepEqual((await sink.event("go1")).body, {
    ...{ event: "go1", text: "PRO: 42", plan: "pro", page: "page", session: "session", kept: "kept", sum: 66.95, odd: true },
  });
  // Another page of the same session, and another session of the same visitor.
  await page.goto(world.url("/track?2"));
  await page.evaluate("zaraz.track('go2')");
  const second = (await sink.event("go2")).body;
  assert.deepEqual([second.plan, second.page, second.session, second.kept], ["preset", undefined, "session", "kept"]);
  const later = await visitor.newPage();
  await later.goto(world.url("/track?3"));
  await later.evaluate("zaraz.track('go3')");
  const third = (await sink.event("go3")).body;
  assert.deepEqual([third.page, third.session, third.kept], [undefined, undefined, "kept"]);
  await page.evaluate("for (const key of ['plan', 's', 'k']) zaraz.set(key, undefined); zaraz.track('go4')");
  const { plan, session, kept } = (await sink.event("go4")).body;
  assert.deepEqual([plan, session, kept], [undefined, undefined, undefined]);
});

test("[zaraz-07] ecommerce() is there only when it is enabled, and an order reaches the tool", { skip: noBrowser }, async () => {
  pages.set("/buy", { html: html("<p>x</p>") });
  const fields = {
    event: "{{ client.__zarazTrack }}",
    order: "{{ client.order_id }}",
    first: "{{ client.products[0].sku }}",
    total: "{{ client.total }}",
  };
  const config = { tools: { sink: httpTool(sink, fields, ["order"]) }, triggers: { order: named("Order Completed") } };
  await world.configure(config);
  assert.equal(await (await world.visit("/buy")).evaluate("typeof zaraz.ecommerce"), "undefined");
  await world.configure({ ...config, settings: { autoInjectScript: true, ecommerce: true } });
  const page = await world.visit("/buy");
  await page.evaluate(
    "zaraz.ecommerce('Order Completed', { order_id: '817', total: 30, products: [{ sku: '8251511' }, { sku: '7251567' }] })",
  );
  assert.deepEqual((await sink.event("Order Completed")).body, { event: "Order Completed", order: "817", first: "8251511", total: 30 });
});

test("[zaraz-08] an address that changes is a page view; spaPageview() is one by hand", { skip: noBrowser }, async () => {
  pages.set("/spa", { html: html("<p>x</p>") });
  const tools = {
    sink: httpTool(sink, { event: "spa", path: "{{ system.page.url.pathname }}" }, ["Pageview"]),
    html: htmlTool("<i class=once></i>", { ignoreSPA: true }),
  };
  await world.configure({ tools });
  const page = await world.visit("/spa");
  assert.equal((await sink.event("spa")).body.path, "/spa");
  await page.evaluate("history.pushState({}, '', '/spa/next')");
  assert.equal((await sink.event("spa")).body.path, "/spa/next");
  await page.goBack();
  assert.equal((await sink.event("spa")).body.path, "/spa");
  await world.configure({ tools, historyChange: false });
  const plain = await world.visit("/spa");
  assert.equal((await sink.event("spa")).body.path, "/spa");
  await plain.evaluate("history.pushState({}, '', '/spa/quiet'); history.pushState({}, '', '/spa/hand')");
  await plain.evaluate("zaraz.spaPageview()");
  assert.equal((await sink.event("spa")).body.path, "/spa/hand", "and none for the addresses before");
  assert.equal(await page.locator(".once").count(), 1);
});

test("[zaraz-09, zaraz-10] the HTTP Events API: results in the order of the events, and the sender's word about the device", async () => {
  const fields = {
    event: "{{ client.__zarazTrack }}",
    value: "{{ client.value }}",
    ip: "{{ system.device.ip }}",
    url: "{{ system.page.url }}",
  };
  const config = {
    tools: {
      sink: httpTool(sink, { ...fields, agent: "{{ system.device.`user-agent`.browser.name }}", cookie: "{{ system.cookies.id }}" }, [
        "paid",
      ]),
      image: {
        ...htmlTool(""),
        component: "custom-image",
        actions: {
          i: {
            actionType: "event",
            blockingTriggers: [],
            firingTriggers: ["paid"],
            data: { imgSrc: `${sink.url}/i.gif?v={{ client.value }}` },
          },
        },
      },
    },
    triggers: { paid: named("paid") },
  };
  const batch = JSON.stringify({
    events: [
      {
        client: { __zarazTrack: "paid", value: "200" },
        system: { cookies: { id: "c1" }, page: { url: "https://app.example/x" }, device: { ip: "192.0.2.7", "user-agent": MAC } },
      },
      { client: { __zarazTrack: "paid", value: "300" } },
    ],
  });
  await world.configure(config);
  assert.equal((await world.ask("/api/events", { method: "POST", body: batch })).status, 404, "disabled");
  await world.configure({ ...config, settings: { autoInjectScript: true, eventsApiPath: "/api/events" } });
  const answer = await world.ask("/api/events", { method: "POST", body: batch });
  assert.equal(answer.status, 200);
  const { results } = JSON.parse(answer.body) as {
    results: { fetch: [string, object][]; execute: string[]; return: object; cookies: string[] }[];
  };
  assert.deepEqual(
    results.map(({ fetch }) => fetch[0]?.[0]),
    [`${sink.url}/i.gif?v=200`, `${sink.url}/i.gif?v=300`],
  );
  assert.deepEqual(Object.keys(results[0] as object).sort(), ["cookies", "execute", "fetch", "return"]);
  const first = (await sink.next(({ body }) => body.value === "200")).body;
  assert.deepEqual(first, { event: "paid", value: "200", ip: "192.0.2.7", url: first.url, agent: "Chrome", cookie: "c1" });
  assert.equal(first.url.href, "https://app.example/x");
  assert.equal((await sink.next(({ body }) => body.value === "300")).body.ip, "127.0.0.1");
  for (const [body, status] of [
    ["{", 400],
    ["{}", 400],
    [JSON.stringify({ events: Array(501).fill({ client: {} }) }), 400],
  ] as const)
    assert.equal((await world.ask("/api/events", { method: "POST", body })).status, status);
  assert.equal((await world.ask("/api/events")).status, 405);
});

test("[zaraz-11, zaraz-14, zaraz-15] match rules with every operation, blocking triggers, default fields, actions that are off", async () => {
  const rule = (match: string, op: string, value: string) => ({ id: `${op} ${value}`, match, op, value });
  const trigger = (...loadRules: object[]) => ({ name: "t", loadRules, excludeRules: [] });
  const path = "{{ system.page.url.pathname }}";
  const n = "{{ client.n }}";
  const operations: Record<string, readonly [object, boolean]> = {
    contains: [rule(path, "CONTAINS", "log"), true],
    equals: [rule(path, "EQUALS", "/blog/1"), true],
    ends: [rule(path, "ENDS_WITH", "/2"), false],
    regex: [rule(path, "MATCH_REGEX", "^/bl.g/\\d$"), true],
    notRegex: [rule(path, "NOT_MATCH_REGEX", "blog"), false],
    badRegex: [rule(path, "MATCH_REGEX", "("), false],
    more: [rule(n, "GREATER_THAN", "5"), false],
    moreOrEqual: [rule(n, "GREATER_THAN_OR_EQUAL", "5"), true],
    less: [rule(n, "LESS_THAN", "10"), true],
    lessOrEqual: [rule(n, "LESS_THAN_OR_EQUAL", "4.5"), false],
    noNumber: [rule(path, "LESS_THAN", "5"), false],
    template: [rule(path, "STARTS_WITH", "/{{ client.section }}"), true],
  };
  const action = (event: string, firing: string, more: object = {}) => ({
    ...{ actionType: "event", blockingTriggers: [], firingTriggers: [firing], data: { event }, ...more },
  });
  const actions = Object.fromEntries(Object.keys(operations).map((name) => [name, action(`op-${name}`, name)]));
  await world.configure({
    settings: { autoInjectScript: true, eventsApiPath: "/api" },
    triggers: {
      ...Object.fromEntries(Object.entries(operations).map(([name, [one]]) => [name, trigger(one)])),
      blog: trigger(rule(path, "STARTS_WITH", "/blog"), rule("{{ client.__zarazTrack }}", "EQUALS", "Pageview")),
      excluded: { ...trigger(rule(path, "STARTS_WITH", "/")), excludeRules: [rule(path, "CONTAINS", "blog")] },
      always: trigger(rule(path, "STARTS_WITH", "/")),
    },
    tools: {
      sink: httpTool(sink, {}, [], {
        defaultFields: { __setting_endpoint: `${sink.url}/collect`, __setting_method: "post", everywhere: "{{ client.section }}" },
        actions: {
          ...actions,
          blog: action("blog", "blog"),
          excluded: action("excluded", "excluded"),
          off: action("off", "always", { enabled: false }),
          blocked: action("blocked", "always", { blockingTriggers: ["less"] }),
          last: action("last", "always"),
        },
      }),
      blocked: httpTool(sink, { event: "tool-blocked" }, ["always"], { blockingTriggers: ["less"] }),
      disabled: httpTool(sink, { event: "tool-off" }, ["always"], { enabled: false }),
    },
  });
  const from = sink.seen.length;
  const send = (name: string, url: string) =>
    world.ask("/api", {
      method: "POST",
      body: JSON.stringify({ events: [{ client: { __zarazTrack: name, section: "blog", n: 5 }, system: { page: { url } } }] }),
    });
  await send("Pageview", world.url("/blog/1"));
  const names = [...Object.entries(operations).flatMap(([name, [, met]]) => (met ? [`op-${name}`] : [])), "blog", "last"].sort();
  for (const name of names) assert.equal((await sink.event(name)).body.everywhere, "blog");
  // Nothing besides: what comes of the next event comes after all of the first.
  await send("other", world.url("/blog/1"));
  await sink.event("last");
  const all = sink.seen
    .slice(from)
    .map(({ body }) => body.event)
    .sort();
  assert.deepEqual(all, [...names, ...names.filter((name) => name !== "blog")].sort());
});

test("[zaraz-12, zaraz-13] clicks by CSS and XPath with a wait, visibility, scrolling, forms, timers", { skip: noBrowser }, async () => {
  pages.set("/rules", {
    html: html(`<a id="link" href="/after">leave</a> <a id="patient" href="/after">leave</a> <p><button>Add <b>To Cart</b></button></p>
      <form id="form" action="/after" target="_blank"><input name="q" required><button id="submit">send</button></form>
      <div style="height: 4000px"></div><p id="deep">deep</p>`),
  });
  pages.set("/after", { html: html("after") });
  const kinds: Record<string, object> = {
    css: { action: "clickListener", settings: { selector: "a#link", type: "css", waitForTags: 500 } },
    patient: { action: "clickListener", settings: { selector: "#patient", type: "css", waitForTags: 600_000 } },
    xpath: { action: "clickListener", settings: { selector: "//button[contains(., 'To Cart')]", type: "xpath", waitForTags: 0 } },
    visible: { action: "elementVisibility", settings: { selector: "#deep" } },
    scroll: { action: "scrollDepth", settings: { positions: "50%" } },
    form: { action: "formSubmission", settings: { selector: "#form", validate: true } },
    timer: { action: "timer", settings: { interval: 20, limit: 1 } },
  };
  const onRules = { id: "here", match: "{{ system.page.url.pathname }}", op: "EQUALS", value: "/rules" };
  await world.configure({
    triggers: Object.fromEntries(
      Object.entries(kinds).map(([id, rule]) => [id, { name: id, excludeRules: [], loadRules: [{ id, ...rule }, onRules] }]),
    ),
    tools: Object.fromEntries(Object.keys(kinds).map((id) => [id, httpTool(sink, { event: id }, [id])])),
  });
  const from = sink.seen.length;
  const page = await world.visit("/rules");
  await sink.event("timer");
  await page.click("text=To Cart");
  await sink.event("xpath");
  await page.click("#submit");
  await page.fill("[name=q]", "x");
  await page.click("#submit");
  await sink.event("form");
  await page.evaluate("window.scrollTo(0, 10000)");
  await Promise.all([sink.event("visible"), sink.event("scroll")]);
  await page.evaluate("window.scrollTo(0, 0); window.scrollTo(0, 10000); window.scrollTo(0, 0)");
  const counted = sink.seen
    .slice(from)
    .map(({ body }) => body.event)
    .sort();
  assert.deepEqual(counted, ["form", "scroll", "timer", "visible", "xpath"], "each once");

  // The page stays until the answer is there, however long that takes within the time that was given …
  let held: (() => void) | undefined;
  const release = new Promise<void>((resolve) => {
    held = resolve;
  });
  await page.route("**/cdn-cgi/zaraz/t", async (route) => {
    await release;
    await route.continue();
  });
  const asked = page.waitForRequest("**/cdn-cgi/zaraz/t");
  await page.click("#patient");
  await asked;
  assert.equal(new URL(page.url()).pathname, "/rules");
  held?.();
  await Promise.all([page.waitForURL("**/after"), sink.event("patient")]);
  await page.unroute("**/cdn-cgi/zaraz/t");
  // … and no longer: an answer that never comes keeps it for 500 ms.
  const other = await world.visit("/rules");
  await other.route("**/cdn-cgi/zaraz/t", () => undefined);
  await Promise.all([other.waitForURL("**/after"), other.click("#link")]);
});

test("[zaraz-16] HTTP Request in its three forms, Custom HTML and Custom Image; what visitors say stays text", {
  skip: noBrowser,
}, async () => {
  pages.set("/tools", { html: html("<p>x</p>") });
  const http = (method: string | undefined) =>
    httpTool(
      sink,
      { __setting_endpoint: `${sink.url}/form?fixed=1`, __setting_method: method, event: `form-${method}`, nested: "{{ client.nested }}" },
      ["go"],
    );
  const evil = `"><img src=x onerror="window.hacked=1"></script><script>window.hacked=2</script>`;
  const code = `<div id="said">{{ client.evil }}</div><script>window.said = "{{ client.evil }}"; window.number = {{ client.number }};</script><script>window.order = window.number + 1</script>`;
  await world.configure({
    triggers: { go: named("go") },
    tools: {
      get: http(undefined),
      post: http("post"),
      form: http("post urlencoded"),
      html: htmlTool(code, {}, "go"),
      image: {
        ...htmlTool("", {}, "go"),
        component: "custom-image",
        actions: {
          i: { actionType: "event", blockingTriggers: [], firingTriggers: ["go"], data: { imgSrc: `${sink.url}/pixel.gif?event=pixel` } },
        },
      },
    },
  });
  const page = await world.visit("/tools");
  await page.evaluate(`zaraz.track("go", ${JSON.stringify({ evil, number: 7, nested: { a: 1 } })})`);
  const get = await sink.event("form-undefined");
  assert.deepEqual([get.method, get.query], ["GET", { fixed: "1", event: "form-undefined", nested: '{"a":1}' }]);
  assert.deepEqual((await sink.event("form-post")).body, { event: "form-post", nested: { a: 1 } });
  const form = await sink.event("form-post urlencoded");
  assert.deepEqual([form.headers["content-type"], form.body.nested], ["application/x-www-form-urlencoded", '{"a":1}']);
  const pixel = await sink.event("pixel");
  assert.match(String(pixel.headers["user-agent"]), /HeadlessChrome|Chrome/, "the browser's own request");
  await until(page, "window.order === 8");
  assert.deepEqual(
    [await page.textContent("#said"), await page.evaluate("window.said"), await page.evaluate("window.hacked")],
    [evil, evil, undefined],
  );
});

test("[zaraz-35] dataLayer.push of an event is track(), also before the script has come", { skip: noBrowser }, async () => {
  pages.set("/layer", { html: html("<p>x</p>", "<script>window.dataLayer = [{ event: 'first', price: '24' }, { noEvent: 1 }]</script>") });
  const tools = { sink: httpTool(sink, { event: "{{ client.__zarazTrack }}", price: "{{ client.price }}" }, ["first", "second"]) };
  const triggers = { first: named("first"), second: named("second") };
  await world.configure({ tools, triggers });
  const page = await world.visit("/layer");
  assert.equal((await sink.event("first")).body.price, "24");
  await page.evaluate("dataLayer.push({ event: 'second', price: 25 })");
  assert.equal((await sink.event("second")).body.price, 25);
  await world.configure({ tools, triggers, dataLayer: false });
  const off = await world.visit("/layer");
  const from = sink.seen.length;
  await off.evaluate("dataLayer.push({ event: 'second' }); zaraz.track('first')");
  await sink.event("first");
  assert.equal(sink.seen.length, from + 1);
});

test("[zaraz-36] privacy settings take away before any tool sees it", { skip: noBrowser }, async () => {
  pages.set("/private", { html: html("<p>x</p>") });
  const fields = {
    event: "private",
    url: "{{ system.page.url.href }}",
    query: "{{ system.page.query }}",
    ip: "{{ system.device.ip }}",
    agent: "{{ system.device.`user-agent` }}",
    referrer: "{{ system.page.referrer }}",
  };
  await world.configure({
    settings: { autoInjectScript: true, hideQueryParams: true, hideIPAddress: true, hideUserAgent: true, hideExternalReferer: true },
    tools: { sink: httpTool(sink, fields, ["Pageview"]) },
  });
  const page = await (await world.visitor({ userAgent: MAC })).newPage();
  await page.goto(world.url("/private?email=a@b.example"), { referer: "https://search.example/?q=secret" });
  const { body } = await sink.event("private");
  assert.deepEqual([body.url, body.query, body.ip, body.referrer], [world.url("/private"), {}, "127.0.0.0", ""]);
  assert.deepEqual(body.agent.os, { name: "Mac OS", version: "" });
  assert.doesNotMatch(JSON.stringify(body.agent), /10_15|10\.15|AppleWebKit/);
});

/** Custom HTML that runs on page views, or when another trigger fires. */
function htmlTool(htmlCode: string, fields: object = {}, trigger = "Pageview") {
  return {
    ...{ type: "component", component: "html", name: "HTML", enabled: true, permissions: ["execute_unsafe_scripts"], settings: {} },
    ...{ defaultFields: {}, blockingTriggers: [] },
    actions: { show: { actionType: "event", blockingTriggers: [], firingTriggers: [trigger], data: { htmlCode, ...fields } } },
  };
}
