/** Zaraz's consent, debug mode and preview, with Chromium as the visitor. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { noBrowser } from "../../harness/browser.ts";
import { openDashboard } from "../../harness/dashboard.ts";
import { type Config, html, httpTool, named, until, zarazWorld } from "../zaraz-world.ts";

const world = await zarazWorld({ after });
const { sink, pages, zone, sdk } = world;
const LISTENERS = `<script>window.updated = 0;
  document.addEventListener("zarazConsentAPIReady", () => { window.ready = 1 });
  document.addEventListener("zarazConsentChoicesUpdated", () => { window.updated++ });</script>`;
const PAGEVIEW = { Pageview: { ...named("Pageview"), system: "pageload" } };
pages.set("/", { html: html('<p>shop</p><button id="settings" onclick="zaraz.showConsentModal()">cookies</button>', LISTENERS) });

const consent = (more: object = {}): Config => ({
  ...{ enabled: true, cookieName: "choices", consentModalIntroHTML: "<h2>May we?</h2>" },
  purposes: {
    stat: { name: "Statistics", description: "We count." },
    ads: { name: "Advertising", description: "We sell." },
    none: { name: "Nothing", description: "No tool has it." },
  },
  ...more,
});
const fields = { event: "{{ client.__zarazTrack }}", choice: "{{ system.consent }}" };
const tools = {
  free: httpTool(sink, { ...fields, tool: "free" }, ["Pageview", "go"]),
  stat: httpTool(sink, { ...fields, tool: "stat" }, ["Pageview", "go"], { defaultPurpose: "stat" }),
  ads: httpTool(sink, { ...fields, tool: "ads" }, ["go"], { defaultPurpose: "ads" }),
};
const of = (tool: string, event: string) => sink.next(({ body }) => body.tool === tool && body.event === event);
const since = (from: number) => sink.seen.slice(from).map(({ body }) => `${body.tool} ${body.event}`);

test("[zaraz-25] a first visit is asked, the choice is kept in a cookie, and tools run as it says", { skip: noBrowser }, async () => {
  await world.configure({ tools, triggers: { ...PAGEVIEW, go: named("go") }, consent: consent() });
  const visitor = await world.visitor();
  const page = await visitor.newPage();
  await page.goto(world.url("/"));
  const dialog = page.locator("dialog.cf_modal");
  await dialog.waitFor();
  assert.equal(await dialog.locator("h2").textContent(), "May we?");
  assert.deepEqual(await dialog.locator(".cf_consent-name").allTextContents(), ["Statistics", "Advertising"], "none without a tool");
  assert.deepEqual(await dialog.locator("button").allTextContents(), ["Accept all", "Reject all", "Confirm my choices"]);
  await of("free", "Pageview");
  const from = sink.seen.length;
  await page.evaluate("zaraz.track('go')");
  await of("free", "go");
  assert.deepEqual(since(from), ["free go"]);

  await dialog.getByLabel("Statistics").check();
  await dialog.getByText("Confirm my choices").click();
  assert.equal(await dialog.count(), 0);
  const cookie = (await visitor.cookies()).find(({ name }) => name === "choices");
  assert.deepEqual(JSON.parse(decodeURIComponent(cookie?.value ?? "")), { stat: true, ads: false });
  assert.equal(cookie?.domain, ".shop.example");
  await of("stat", "Pageview");
  assert.deepEqual((await of("stat", "go")).body.choice, { stat: true, ads: false });

  const later = await visitor.newPage();
  await later.goto(world.url("/"));
  await until(later, "zaraz.consent.APIReady");
  await of("stat", "Pageview");
  assert.equal(await later.locator("dialog.cf_modal").count(), 0, "not asked again");
  await later.click("#settings");
  assert.equal(await later.getByLabel("Statistics").isChecked(), true);
  await later.keyboard.press("Tab");
  await later.keyboard.press("Escape");
  // Another name of the cookie asks everybody again.
  await world.configure({ tools, triggers: { ...PAGEVIEW, go: named("go") }, consent: consent({ cookieName: "again" }) });
  await later.reload();
  await later.locator("dialog.cf_modal").waitFor();
});

test("[zaraz-26, zaraz-27] events wait for a yes and come once; every method and both events of the consent API", {
  skip: noBrowser,
}, async () => {
  await world.configure({ tools, triggers: { ...PAGEVIEW, go: named("go") }, consent: consent({ hideModal: true }) });
  const page = await world.visit("/");
  await until(page, "window.ready === 1");
  assert.deepEqual(await page.evaluate("[zaraz.consent.APIReady, zaraz.consent.modal, Object.keys(zaraz.consent.purposes)]"), [
    true,
    false,
    ["stat", "ads"],
  ]);
  assert.deepEqual(await page.evaluate("zaraz.consent.purposes.stat"), {
    id: "stat",
    order: 0,
    name: "Statistics",
    description: "We count.",
  });
  await page.evaluate("zaraz.consent.modal = true");
  await page.locator("dialog.cf_modal").waitFor();
  await page.evaluate("zaraz.consent.setCheckboxes({ ads: true })");
  assert.deepEqual(await page.evaluate("zaraz.consent.getAllCheckboxes()"), { stat: false, ads: true });
  assert.equal(await page.getByLabel("Advertising").isChecked(), true);
  await page.evaluate("zaraz.consent.setAllCheckboxes(true)");
  assert.equal(await page.getByLabel("Statistics").isChecked(), true);
  // Boxes are no consent.
  assert.deepEqual(await page.evaluate("[zaraz.consent.getAll(), zaraz.consent.get('stat'), zaraz.consent.get('other')]"), [
    { stat: false, ads: false },
    false,
    undefined,
  ]);
  await page.evaluate("zaraz.consent.modal = false");
  assert.equal(await page.locator("dialog.cf_modal").count(), 0);

  const from = sink.seen.length;
  await page.evaluate("zaraz.track('go', { n: 1 })");
  await of("free", "go");
  assert.deepEqual(
    since(from).filter((line) => line.endsWith("go")),
    ["free go"],
  );
  await page.evaluate("zaraz.consent.set({ ads: true, other: true })");
  await of("ads", "go");
  assert.deepEqual(await page.evaluate("[window.updated, zaraz.consent.getAll()]"), [1, { stat: false, ads: true }]);
  // What waits is kept on the next page.
  await page.reload();
  await until(page, "zaraz.consent.APIReady");
  await page.evaluate("zaraz.consent.setAll(true)");
  await of("stat", "go");
  await page.evaluate("zaraz.consent.sendQueuedEvents(); zaraz.track('go')");
  await Promise.all(["free", "stat", "ads"].map((tool) => of(tool, "go")));
  assert.deepEqual(since(from).filter((line) => line === "ads go").length, 2);
  assert.deepEqual(since(from).filter((line) => line === "stat go").length, 2);
  await page.evaluate("zaraz.consent.setAll(false)");
  const end = sink.seen.length;
  await page.evaluate("zaraz.track('go')");
  await of("free", "go");
  assert.deepEqual(since(end), ["free go"]);
});

test("[zaraz-28] the language is the browser's, or the one that is set; the dialog has the custom CSS", { skip: noBrowser }, async () => {
  const translated = {
    ...{ consentModalIntroHTML: "<p>Please choose</p>", defaultLanguage: "en", customCSS: ".cf_modal { background: rgb(1, 2, 3) }" },
    consentModalIntroHTMLWithTranslations: { de: "<p>Bitte wählen</p>", "en-US": "<p>Choose, y'all</p>" },
    purposes: {},
    purposesWithTranslations: {
      stat: { order: 1, name: { en: "Statistics", de: "Statistik" }, description: { en: "We count.", de: "Wir zählen." } },
    },
    buttonTextTranslations: { accept_all: { de: "Ja, gern" }, reject_all: {}, confirm_my_choices: {} },
  };
  await world.configure({ tools, triggers: PAGEVIEW, consent: consent(translated) });
  const page = await world.visit("/", { locale: "de-AT" });
  const dialog = page.locator("dialog.cf_modal");
  await dialog.waitFor();
  assert.deepEqual(await dialog.locator("button").allTextContents(), ["Ja, gern", "Alle ablehnen", "Auswahl bestätigen"]);
  assert.equal(await dialog.locator("p").textContent(), "Bitte wählen");
  assert.deepEqual(await dialog.locator(".cf_consent-name").allTextContents(), ["Statistik"]);
  assert.equal(await page.evaluate("getComputedStyle(document.querySelector('dialog.cf_modal')).backgroundColor"), "rgb(1, 2, 3)");
  await page.evaluate("zaraz.set('__zarazConsentLanguage', 'en-US')");
  assert.equal(await dialog.locator("p").textContent(), "Choose, y'all");
  assert.deepEqual(await dialog.locator(".cf_consent-name").allTextContents(), ["Statistics"]);
  const other = await world.visit("/", { locale: "fr-FR" });
  await other.locator("dialog.cf_modal").waitFor();
  assert.equal(await other.locator("dialog.cf_modal p").textContent(), "Please choose");
});

test("[zaraz-30] Google's consent states, once set, travel with every event", { skip: noBrowser }, async () => {
  const google = {
    event: "{{ client.__zarazTrack }}",
    first: "{{ client.google_consent_default }}",
    update: "{{ client.google_consent_update }}",
  };
  await world.configure({ tools: { google: httpTool(sink, google, ["google"]) }, triggers: { google: named("google") } });
  const page = await world.visit("/");
  await page.evaluate("zaraz.set('google_consent_default', { ad_storage: 'denied' }); zaraz.track('google')");
  assert.deepEqual((await sink.event("google")).body, { event: "google", first: { ad_storage: "denied" } });
  await page.reload();
  await until(page, "zaraz.init.ready");
  await page.evaluate("zaraz.set('google_consent_update', { ad_storage: 'granted' }); zaraz.track('google')");
  assert.deepEqual((await sink.event("google")).body, {
    event: "google",
    first: { ad_storage: "denied" },
    update: { ad_storage: "granted" },
  });
});

test("[zaraz-31] the debug key opens the debugger, which lists events and hides secrets; another key opens nothing", {
  skip: noBrowser,
}, async () => {
  const secret = { type: "secret", name: "Token", value: "s3cr3t-value" };
  await world.configure({
    ...{ debugKey: "the-key", triggers: { go: named("go") }, variables: { token: secret } },
    tools: { sink: httpTool(sink, { event: "{{ client.__zarazTrack }}", token: "{{ variables.token }}" }, ["go"]) },
  });
  const page = await world.visit("/");
  await page.evaluate("zaraz.debug('wrong'); zaraz.track('go')");
  assert.equal((await sink.event("go")).body.token, "s3cr3t-value");
  assert.equal(await page.locator("#zaraz-debugger li").count(), 0);
  await page.evaluate("zaraz.debug('the-key')");
  assert.match(String(await page.evaluate("document.cookie")), /zarazDebug=the-key/);
  await page.evaluate("zaraz.track('go', { x: 1 })");
  const entry = page.locator("#zaraz-debugger li").filter({ hasText: "go" });
  await entry.waitFor();
  const said = String(await entry.textContent());
  assert.match(said, /trigger: go.*action: .*Sink.*request: .*collect/s);
  assert.doesNotMatch(said, /s3cr3t/);
  await page.evaluate("zaraz.debug()");
  assert.equal(await page.locator("#zaraz-debugger").count(), 0);
  assert.equal(await page.evaluate("document.cookie"), "");
  // Nothing of it is in what everybody gets.
  for (const path of ["/cdn-cgi/zaraz/i.js", "/cdn-cgi/zaraz/s.js"])
    assert.doesNotMatch((await world.ask(path)).body, /the-key|s3cr3t|collect/);
});

test("[zaraz-32] what is not published is seen with the key alone; publishing shows it, restoring brings the older one back", {
  skip: noBrowser,
}, async () => {
  const tool = (version: string) => ({ sink: httpTool(sink, { event: "version", version }, ["Pageview"]) });
  await world.configure({ debugKey: "key", tools: tool("one"), triggers: PAGEVIEW });
  await sdk.zaraz.update({ zone_id: zone, workflow: "preview" });
  await world.configure({ debugKey: "key", tools: tool("two"), triggers: PAGEVIEW });
  const visited = async (): Promise<string> => {
    await world.visit("/");
    return (await sink.event("version")).body.version;
  };
  assert.equal(await visited(), "one");
  const page = await world.visit("/");
  await sink.event("version");
  await Promise.all([page.waitForEvent("load"), page.evaluate("zaraz.preview('wrong')")]);
  assert.equal((await sink.event("version")).body.version, "one");
  await until(page, "window.zaraz?.init.ready");
  await Promise.all([page.waitForEvent("load"), page.evaluate("zaraz.preview('key')")]);
  assert.equal((await sink.event("version")).body.version, "two");
  const close = page.locator("#zaraz-debugger button");
  await Promise.all([page.waitForEvent("load"), close.click()]);
  assert.equal((await sink.event("version")).body.version, "one", "closing the debugger ends the preview");

  assert.equal(await sdk.zaraz.publish.create({ zone_id: zone, body: "the second" }), "Config has been published successfully");
  assert.equal(await visited(), "two");
  const entries = [];
  for await (const entry of sdk.zaraz.history.list({ zone_id: zone, limit: 2 })) entries.push(entry);
  assert.equal(entries[0]?.description, "the second");
  const restored = await sdk.zaraz.history.update({ zone_id: zone, body: entries[1]?.id as number });
  assert.match(JSON.stringify(restored.tools), /"one"/);
  assert.equal(await visited(), "two", "restored, and not yet published");
  await sdk.zaraz.publish.create({ zone_id: zone });
  assert.equal(await visited(), "one");
});

test("the dashboard turns tools on and off, edits the configuration, publishes, restores and shows the figures", {
  skip: noBrowser,
  timeout: 120_000,
}, async () => {
  await sdk.zaraz.update({ zone_id: zone, workflow: "realtime" });
  await world.configure({ tools: { sink: httpTool(sink, { event: "dash" }, ["Pageview"], { name: "Collector" }) }, triggers: PAGEVIEW });
  await world.visit("/");
  await sink.event("dash");
  const { page, open, problems } = await openDashboard(world.platform, await world.browser());
  const said = page.locator("output");
  const pictures = process.env.FREEHOLD_PICTURES;
  const picture = async (name: string): Promise<unknown> =>
    pictures && page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  await open("/zaraz");
  await page.getByRole("link", { name: "shop.example" }).click();
  await page.getByRole("switch").click();
  await said.getByText("Tool disabled").waitFor();
  assert.doesNotMatch((await world.ask("/")).body, /cdn-cgi/);
  await page.getByRole("button", { name: "Preview and publish" }).click();
  await page.getByRole("switch").click();
  await said.getByText("Tool enabled").waitFor();
  assert.doesNotMatch((await world.ask("/")).body, /cdn-cgi/, "not published");
  await picture("zaraz-tools");
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await said.getByText("Published").waitFor();
  assert.match((await world.ask("/")).body, /cdn-cgi/);

  await page.getByRole("link", { name: "Configuration" }).click();
  const editor = page.getByLabel("JSON");
  const text = await editor.inputValue();
  await editor.fill("{");
  assert.equal(await page.getByRole("button", { name: "Save" }).isDisabled(), true);
  await editor.fill(text.replace("Collector", "Renamed"));
  await page.getByRole("button", { name: "Save" }).click();
  await said.getByText("Configuration saved").waitFor();
  assert.match(JSON.stringify((await sdk.zaraz.config.get({ zone_id: zone })).tools), /Renamed/);
  await picture("zaraz-configuration");

  await page.getByRole("link", { name: "History" }).click();
  await page.getByRole("row").filter({ hasText: "Published in the dashboard" }).getByRole("button", { name: "Restore" }).click();
  await said.getByText(/Version \d+ restored/).waitFor();
  assert.doesNotMatch(JSON.stringify((await sdk.zaraz.config.get({ zone_id: zone })).tools), /Renamed/);
  await picture("zaraz-history");

  await page.getByRole("link", { name: "Monitoring" }).click();
  await page.getByRole("table", { name: "Actions" }).getByRole("row").filter({ hasText: "Collector: send" }).waitFor();
  await page.getByRole("table", { name: "Server-side requests" }).getByRole("row").filter({ hasText: "/collect" }).first().waitFor();
  await picture("zaraz-monitoring");
  assert.deepEqual(problems, []);
});
