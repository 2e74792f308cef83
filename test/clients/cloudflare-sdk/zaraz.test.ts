/** Zaraz by the SDK: configuration, history, export; Workers as variables, enricher and component; figures and the month's limit. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type Cloudflare from "cloudflare";
import { askAnalytics } from "../analytics.ts";
import { type Config, html, httpTool, named, zarazWorld } from "../zaraz-world.ts";

const EVENTS_MAX = 60;
const world = await zarazWorld(
  { after },
  {
    "zaraz.events_per_month": EVENTS_MAX,
    "zaraz.plan_timeout_ms": 2000,
  },
);
const { platform, sdk, zone, sink } = world;
const zone_id = zone;
const API = { autoInjectScript: true, eventsApiPath: "/api" };

const post = (...events: object[]) =>
  world.ask("/api", { method: "POST", body: JSON.stringify({ events }), headers: { "content-type": "application/json" } });
const failure = (promise: Promise<unknown>): Promise<InstanceType<typeof Cloudflare.APIError>> =>
  promise.then(
    () => assert.fail("it was not refused"),
    (error: InstanceType<typeof Cloudflare.APIError>) => error,
  );

test("[zaraz-33] the configuration by the SDK: default, get, update, workflow, publish, history, export; and what is refused", async () => {
  const first = (await sdk.zaraz.default.get({ zone_id })) as Config;
  assert.deepEqual(await sdk.zaraz.config.get({ zone_id }), first);
  assert.deepEqual([first.tools, Object.keys(first.triggers), first.settings.autoInjectScript], [{}, ["Pageview"], true]);
  const saved = await world.configure({ tools: { sink: httpTool(sink, { event: "x" }, ["Pageview"]) }, unknownMember: { kept: true } });
  assert.deepEqual(await sdk.zaraz.config.get({ zone_id }), saved);
  assert.deepEqual(saved.unknownMember, { kept: true });

  assert.equal(await sdk.zaraz.workflow.get({ zone_id }), "realtime");
  assert.equal(await sdk.zaraz.update({ zone_id, workflow: "preview" }), "preview");
  assert.equal(await sdk.zaraz.workflow.get({ zone_id }), "preview");
  const draft = await world.configure({ tools: {} });
  assert.deepEqual(await sdk.zaraz.config.get({ zone_id }), draft);
  assert.deepEqual(await sdk.zaraz.export.get({ zone_id }), saved, "what is published");
  assert.equal(await sdk.zaraz.publish.create({ zone_id, body: "empty" }), "Config has been published successfully");
  assert.deepEqual(await sdk.zaraz.export.get({ zone_id }), draft);
  const entries = [];
  for await (const entry of sdk.zaraz.history.list({ zone_id, sortField: "id", sortOrder: "ASC" })) entries.push(entry);
  assert.deepEqual(
    entries.map(({ description }) => description),
    ["", "empty"],
  );
  const ids = entries.map(({ id }) => id);
  const kept = await sdk.zaraz.history.configs.get({ zone_id, ids });
  assert.deepEqual(
    ids.map((id) => kept[id]?.config),
    [saved, draft],
  );
  assert.deepEqual(await sdk.zaraz.history.update({ zone_id, body: ids[0] as number }), saved);
  await sdk.zaraz.update({ zone_id, workflow: "realtime" });
  assert.deepEqual(await sdk.zaraz.config.get({ zone_id }), draft, "what was not published is gone");

  const tool = httpTool(sink, {}, []);
  for (const [config, status] of [
    [{ tools: { t: { ...tool, type: "other" } } }, 400],
    [{ tools: { t: { ...tool, component: "google-analytics-4" } } }, 501],
    [{ settings: { autoInjectScript: true, trackPath: "no-slash" } }, 400],
    [{ consent: { enabled: true, cookieName: "a;b" } }, 400],
    [{ triggers: { t: { name: "t", loadRules: [{ id: "r", match: "", op: "IS", value: "" }], excludeRules: [] } } }, 400],
  ] as const)
    assert.equal((await failure(world.configure(config))).status, status, JSON.stringify(config));
  await world.configure({ tools: { t: { ...tool, component: "google-analytics-4", enabled: false } } });
  assert.equal((await failure(sdk.zaraz.history.update({ zone_id, body: 4711 }))).status, 404);
});

test("a zone's configuration is seen with a token for that zone, and by no other zone's pages or history", async () => {
  await world.configure({ settings: API, debugKey: "mine", tools: { sink: httpTool(sink, { event: "x" }, ["Pageview"]) } });
  const { id: other } = await sdk.zones.create({ account: { id: platform.ready.account_id }, name: "other.example" });
  const token = await platform.token(["Zaraz Admin"], { [`com.cloudflare.api.account.zone.${other}`]: "*" });
  const foreign = platform.sdk(token.value);
  const calls = [
    () => foreign.zaraz.config.get({ zone_id }),
    () => foreign.zaraz.export.get({ zone_id }),
    () => foreign.zaraz.publish.create({ zone_id }),
  ];
  for (const call of calls) assert.equal((await failure(call())).status, 403);
  const own = (await foreign.zaraz.config.get({ zone_id: other })) as Config;
  assert.notEqual(own.debugKey, "mine");
  const [entry] = (await sdk.zaraz.history.list({ zone_id })).result;
  assert.equal((await failure(foreign.zaraz.history.update({ zone_id: other, body: entry?.id as number }))).status, 404);
  assert.deepEqual(await foreign.zaraz.history.configs.get({ zone_id: other, ids: [entry?.id as number] }), {});
  for (const path of ["/cdn-cgi/zaraz/i.js", "/cdn-cgi/zaraz/t", "/api"])
    assert.equal((await world.ask(path, { method: "POST", body: "{}", host: "www.other.example" })).status, 404);
  // Other sites' pages say nothing about what happens on these.
  const from = { origin: "http://evil.example", "content-type": "application/json" };
  const body = JSON.stringify({ client: { __zarazTrack: "Pageview" } });
  assert.equal((await world.ask("/cdn-cgi/zaraz/t", { method: "POST", body, headers: from })).status, 403);
  const long = { method: "POST", body: "{}", headers: { "content-length": String(2 * 1024 * 1024) } };
  assert.equal((await world.ask("/cdn-cgi/zaraz/t", long)).status, 413);
  // One may edit, another publish.
  const editor = platform.sdk((await platform.token(["Zaraz Edit"])).value);
  await editor.zaraz.config.get({ zone_id });
  assert.equal((await failure(editor.zaraz.publish.create({ zone_id }))).status, 403);
});

test("[zaraz-20, zaraz-34] string variables with templates, masked ones whose value nobody reads but the export, which imports again", async () => {
  const config = {
    ...{ settings: API, triggers: { go: named("go") } },
    variables: {
      greeting: { name: "Greeting", type: "string", value: "Hello {{ client.name }}" },
      token: { name: "Token", type: "secret", value: "s3cr3t" },
    },
    tools: { sink: httpTool(sink, { event: "vars", text: "{{ variables.greeting }}!", token: "{{ variables.token }}" }, ["go"]) },
  };
  const saved = await world.configure(config);
  assert.doesNotMatch(JSON.stringify([saved, await sdk.zaraz.config.get({ zone_id })]), /s3cr3t/);
  // A client that sends back what it has read does not lose the secret.
  await sdk.zaraz.config.update({ zone_id, ...saved });
  await post({ client: { __zarazTrack: "go", name: "Ada" } });
  assert.deepEqual((await sink.event("vars")).body, { event: "vars", text: "Hello Ada!", token: "s3cr3t" });

  const exported = (await sdk.zaraz.export.get({ zone_id })) as Config;
  assert.equal(exported.variables.token.value, "s3cr3t");
  await world.configure({});
  assert.equal((await post({ client: {} })).status, 404, "reset");
  await sdk.zaraz.config.update({ zone_id, ...exported });
  assert.deepEqual(await sdk.zaraz.export.get({ zone_id }), exported);
  await post({ client: { __zarazTrack: "go", name: "Bob" } });
  assert.equal((await sink.event("vars")).body.text, "Hello Bob!");
  // One in use cannot be deleted.
  const { greeting, token } = config.variables;
  assert.equal((await failure(world.configure({ ...config, variables: { token } }))).status, 400);
  assert.equal(
    (
      await failure(
        world.configure({
          ...config,
          variables: { greeting, token: { ...token, value: undefined, name: "x" }, more: { type: "secret", name: "y" } },
        }),
      )
    ).status,
    400,
  );
});

test("[zaraz-19, zaraz-21, zaraz-22, zaraz-37] Workers: the sum of a cart, a changed Context, a component that counts visits in its own cookie", async () => {
  await world.worker(
    "cart-sum",
    `export default { async fetch(request) {
      const { client } = await request.json();
      return new Response(client.products.map(({ price }) => Number(price)).reduce((sum, price) => sum + price, 0));
    } }`,
  );
  await world.worker(
    "enricher",
    `export default { async fetch(request) {
      const { system, client } = await request.json();
      system.device.location.country = "PT";
      system.consent = { forged: true };
      return Response.json({ system, client: { ...client, added: system.page.url.hostname } });
    } }`,
  );
  await world.worker("custom-mc-counter", COUNTER);
  const refer = (escapedWorkerName: string) => ({ escapedWorkerName, workerTag: "tag" });
  await world.configure({
    settings: { ...API, contextEnricher: refer("enricher") },
    triggers: { cart: named("Cart Viewed"), visit: named("visit") },
    variables: { sum: { name: "Sum", type: "worker", value: refer("cart-sum") } },
    tools: {
      sink: httpTool(
        sink,
        {
          event: "cart",
          sum: "{{ variables.sum }}",
          country: "{{ system.device.location.country }}",
          added: "{{ client.added }}",
          consent: "{{ system.consent }}",
        },
        ["cart"],
      ),
      counter: {
        ...{
          type: "custom-mc",
          component: "counter",
          name: "Counter",
          enabled: true,
          permissions: ["access_client_kv", "execute_unsafe_scripts"],
        },
        ...{ settings: {}, defaultFields: {}, blockingTriggers: [], worker: refer("custom-mc-counter") },
        actions: { count: { actionType: "pageview", blockingTriggers: [], firingTriggers: ["visit"], data: {} } },
      },
    },
  });
  const products = [
    { name: "shirt", price: "50" },
    { name: "jacket", price: "20" },
    { name: "hat", price: "30" },
  ];
  await post({ client: { __zarazTrack: "Cart Viewed", products }, system: { page: { url: "https://shop.example/cart" } } });
  assert.deepEqual((await sink.event("cart")).body, { event: "cart", sum: "100", country: "PT", added: "shop.example", consent: {} });

  const visit = async (cookie: string, host?: string) => {
    const body = JSON.stringify({ client: { __zarazTrack: "visit" }, system: {} });
    const headers = { "content-type": "application/json", cookie };
    const answer = await world.ask("/cdn-cgi/zaraz/t", { method: "POST", body, headers, ...(host !== undefined && { host }) });
    return { answer, line: answer.headers["set-cookie"]?.[0] ?? "", result: JSON.parse(answer.body) };
  };
  let cookie = "other=1";
  for (const visits of [1, 2, 3]) {
    const { line, result } = await visit(cookie);
    assert.equal(line, `cfz_counter__visits=${visits}; Path=/; Domain=shop.example; Max-Age=31536000; SameSite=Lax; HttpOnly`);
    assert.deepEqual(result.execute, [`console.log("visit ${visits}, one cookie")`]);
    assert.deepEqual(result.fetch, [], "without the permission nothing is fetched by the browser");
    cookie = `other=1; ${line.split(";")[0]}`;
  }
  // The domain that is configured; one that the page is not in is left out, as a browser would drop the cookie.
  const config = (await sdk.zaraz.config.get({ zone_id })) as Config;
  await sdk.zaraz.config.update({ zone_id, ...config, settings: { ...config.settings, cookieDomain: "www.shop.example" } });
  assert.match((await visit("")).line, /; Domain=www\.shop\.example;/);
  assert.doesNotMatch((await visit("", "other.shop.example")).line, /Domain/);
});

test("an expression that never ends ends alone: the event fails, the next one and the platform go on", async () => {
  const endless = httpTool(sink, { event: "{{ ($f := function($n) { $f($n + 1) }; $f(0)) }}" }, ["endless"]);
  const pattern = {
    name: "p",
    excludeRules: [],
    loadRules: [{ id: "r", match: `${"a".repeat(40)}!`, op: "MATCH_REGEX", value: "^(a+)+$" }],
  };
  const fine = httpTool(sink, { event: "fine" }, ["fine"]);
  await world.configure({ settings: API, triggers: { endless: named("endless"), fine: named("fine") }, tools: { endless, fine } });
  const stuck = post({ client: { __zarazTrack: "endless" } });
  await sdk.zaraz.config.get({ zone_id });
  assert.equal((await stuck).status, 503);
  await post({ client: { __zarazTrack: "fine" } });
  await sink.event("fine");
  await world.configure({ settings: API, triggers: { pattern }, tools: { t: httpTool(sink, {}, ["pattern"]) } });
  assert.equal((await post({ client: {} })).status, 503);
});

test("[zaraz-39, zaraz-40] loads, events, triggers, actions and statuses are counted in the four datasets of a zone", async () => {
  world.pages.set("/", { html: html("x") });
  const failing = httpTool(sink, { __setting_endpoint: `${sink.url}/fails?private=1`, event: "counted" }, ["order"], { name: "Failing" });
  await world.configure({
    settings: API,
    triggers: { Pageview: { ...named("Pageview"), system: "pageload" }, order: { ...named("counted-order"), name: "Orders" } },
    tools: { sink: httpTool(sink, { event: "counted" }, ["Pageview"], { name: "Counting" }), failing },
  });
  await post(...["Pageview", "Pageview", "counted-order"].map((name) => ({ client: { __zarazTrack: name } })));
  for (let i = 0; i < 3; i++) await sink.event("counted");
  const ask = async (): Promise<Record<string, Record<string, number>>> => {
    const [start, end] = [-1, 1].map((hours) => new Date(Date.now() + hours * 3_600_000).toISOString());
    const query = `query Figures($zoneTag: string, $start: Time, $end: Time) { viewer { zones(filter: { zoneTag: $zoneTag }) {
      loads: zarazTriggersAdaptiveGroups(limit: 100, filter: { datetimeHour_geq: $start, datetimeHour_leq: $end, triggerName: "Pageview" }) { count dimensions { name: triggerName } }
      events: zarazTrackAdaptiveGroups(limit: 100, filter: { datetimeHour_geq: $start, datetimeHour_leq: $end, trackName_in: ["Pageview", "counted-order"] }) { count dimensions { name: trackName } }
      triggers: zarazTriggersAdaptiveGroups(limit: 100, filter: { datetimeHour_geq: $start, triggerName: "Orders" }) { count dimensions { name: triggerName } }
      actions: zarazActionsAdaptiveGroups(limit: 100, filter: { datetimeHour_geq: $start, actionName_in: ["Counting: send", "Failing: send"] }) { count dimensions { name: actionName } }
      fetched: zarazFetchAdaptiveGroups(limit: 100, filter: { datetimeHour_geq: $start, url: "${sink.url}/fails", status: 500 }) { count dimensions { name: status } }
    } } }`;
    const { data, errors } = (await askAnalytics(platform, query, { zoneTag: zone, start, end })) as unknown as {
      data: { viewer: { zones: Record<string, { count: number; dimensions: { name: string } }[]>[] } };
      errors: unknown;
    };
    assert.equal(errors, null);
    return Object.fromEntries(
      Object.entries(data.viewer.zones[0] ?? {}).map(([set, rows]) => [
        set,
        Object.fromEntries(rows.map(({ count, dimensions }) => [dimensions.name, count])),
      ]),
    );
  };
  // An answer of the sink is counted when it has come back.
  let found = await ask();
  while (found.fetched?.["500"] === undefined) found = await ask();
  assert.deepEqual(found, {
    loads: { Pageview: 2 },
    events: { Pageview: 2, "counted-order": 1 },
    triggers: { Orders: 1 },
    actions: { "Counting: send": 2, "Failing: send": 1 },
    fetched: { 500: 1 },
  });
  const stranger = await platform.token(["Zaraz Read"], { "com.cloudflare.api.account.zone.ffffffffffffffffffffffffffffffff": "*" });
  const query = `{ viewer { zones(filter: { zoneTag: "${zone}" }) { zarazTrackAdaptiveGroups(limit: 1) { count } } } }`;
  assert.match(String((await askAnalytics(platform, query, {}, stranger.value)).errors?.[0]?.message), /not authorized/);
});

test("[zaraz-42] when the month's events are used up there is no Zaraz, also after a restart", async () => {
  world.pages.set("/", { html: html("x") });
  await world.configure({
    settings: API,
    triggers: { q: named("q") },
    tools: {
      image: {
        ...httpTool(sink, {}, []),
        component: "custom-image",
        actions: { i: { actionType: "event", blockingTriggers: [], firingTriggers: ["q"], data: { imgSrc: `${sink.url}/q` } } },
      },
    },
  });
  assert.match((await world.ask("/")).body, /zaraz\/i\.js/);
  const { results } = JSON.parse((await post(...Array(EVENTS_MAX + 5).fill({ client: { __zarazTrack: "q" } }))).body) as {
    results: { fetch: unknown[] }[];
  };
  const served = results.map(({ fetch }) => fetch.length);
  assert.ok(served.includes(1) && served.at(-1) === 0);
  assert.doesNotMatch((await world.ask("/")).body, /zaraz/);
  assert.equal((await post({ client: {} })).status, 404);
  await platform.stop();
  await platform.restart();
  assert.equal((await world.ask("/cdn-cgi/zaraz/i.js")).status, 404);
});

/** The documentation's counter, in a Worker that speaks as those of `managed-component-to-cloudflare-worker` do. */
const COUNTER = `
const component = async (manager) => {
  manager.addEventListener("pageview", async ({ client }) => {
    const visits = (Number.parseInt(client.get("visits")) || 0) + 1;
    client.set("visits", String(visits), { scope: "infinite" });
    client.execute('console.log("visit ' + visits + ', ' + (client.seen === 1 ? "one cookie" : "none") + '")');
    client.fetch("https://tracker.example/");
  });
};
export default { async fetch(request) {
  const { componentPath, eventType, event, clientData } = await request.json();
  const listeners = {};
  await component({ addEventListener: (type, listener) => { listeners[type] = listener; } });
  const answer = { fetch: [], execute: [], pendingCookies: {}, serverFetch: [] };
  event.client = {
    // Its own cookie alone, or none on the first visit.
    seen: Math.max(1, Object.keys(clientData.cookies).length),
    get: (key) => clientData.cookies[componentPath + "__" + key],
    set: (key, value, opts) => { answer.pendingCookies[componentPath + "__" + key] = { value, opts }; },
    execute: (code) => answer.execute.push(code),
    fetch: (url, init) => answer.fetch.push([url, init ?? {}]),
  };
  if (clientData.cookies.other !== undefined) throw new Error("the visitor's other cookies are nobody's business");
  await listeners[eventType]?.(event);
  answer.pendingCookies.stolen = { value: "1" };
  return Response.json({ componentPath, ...answer });
} }`;
