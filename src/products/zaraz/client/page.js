/** Runs in visitors' browsers: the Web API, and doing what events leave to be done here. */
import { zarazConsent } from "./consent.js";
import { zarazDebugger } from "./debugger.js";
import { zarazListeners } from "./listeners.js";

export function zarazPage(settings) {
  const zaraz = window.zaraz;
  if (!zaraz?.init || zaraz.init.ready) return;
  const { calls, nonce } = zaraz.init;
  zaraz.init.ready = true;
  const PREFIX = "_zaraz_";
  const preset = new Map();
  /** Rules that were met on this page. */
  const met = new Set();

  // Pages may be forbidden to keep anything.
  const storage = (name) => {
    try {
      return window[name];
    } catch {
      return undefined;
    }
  };
  const kept = (store) => {
    const values = {};
    for (let i = 0; i < (store?.length ?? 0); i++) {
      const name = store.key(i);
      if (name.startsWith(PREFIX)) values[name.slice(PREFIX.length)] = JSON.parse(store.getItem(name));
    }
    return values;
  };
  const presets = () => ({ ...kept(storage("localStorage")), ...kept(storage("sessionStorage")), ...Object.fromEntries(preset) });

  zaraz.set = (key, value, options = {}) => {
    if (value === undefined) {
      preset.delete(key);
      for (const name of ["localStorage", "sessionStorage"]) storage(name)?.removeItem(PREFIX + key);
    } else if (options.scope === "page") preset.set(key, value);
    else storage(options.scope === "session" ? "sessionStorage" : "localStorage")?.setItem(PREFIX + key, JSON.stringify(value));
    if (key === "__zarazConsentLanguage") consent?.render();
  };

  const system = () => ({
    page: { title: document.title, url: location.href, referrer: document.referrer, encoding: document.characterSet },
    device: {
      resolution: `${screen.width}x${screen.height}`,
      viewport: `${document.documentElement.clientWidth}x${window.innerHeight}`,
      language: navigator.language,
    },
  });

  const run = (code) => {
    const script = document.createElement("script");
    script.text = code;
    if (nonce !== "") script.nonce = nonce;
    document.documentElement.append(script);
    script.remove();
  };

  async function post(event) {
    const answer = await fetch(settings.track, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(event),
      keepalive: true,
      credentials: "same-origin",
    });
    if (!answer.ok) throw new Error(`Zaraz: ${await answer.text()}`);
    const result = await answer.json();
    for (const [url, init] of result.fetch) fetch(url, init).catch(() => undefined);
    for (const code of result.execute) run(code);
    if (result.waiting.length > 0) consent?.keep(event, result.waiting);
    if (result.debug) debug.show(event, result);
    return result.return;
  }

  const send = (client, extra = {}) => post({ client: { ...presets(), ...client }, system: system(), fired: [...met], ...extra });

  zaraz.track = async (name, properties = {}) => send({ ...properties, __zarazTrack: String(name) });
  if (zaraz.ecommerce)
    zaraz.ecommerce = async (name, properties = {}) => send({ ...properties, __zarazTrack: String(name), __zarazEcommerce: true });
  zaraz.spaPageview = async () => send({ __zarazTrack: "Pageview", __zarazSPA: true });

  /** A rule that only a browser can see was met; `id` is the one that was met just now. */
  const fire = (id) => {
    met.add(id);
    const sent = send({ __zarazTrack: "", __zarazClientEvent: id });
    // Some things happen again, and do not last: the next event has not seen them.
    met.delete(id);
    return sent;
  };

  const debug = zarazDebugger(zaraz);
  zaraz.debug = debug.start;
  zaraz.preview = debug.preview;
  const consent = settings.consent && zarazConsent(settings, presets, post);
  zaraz.showConsentModal = () => {
    if (consent) zaraz.consent.modal = true;
  };
  if (consent) zaraz.consent = consent.api;

  // Keys first: what was set before an event belongs to it.
  for (const { name, args, resolve, reject } of calls.splice(0)) {
    const result = zaraz[name](...args);
    if (resolve) Promise.resolve(result).then(resolve, reject);
  }
  if (settings.dataLayer) zarazDataLayer(zaraz);
  send({ __zarazTrack: "Pageview" }).catch((error) => console.error(error));
  if (settings.history) zarazHistory(zaraz);
  const start = () => {
    zarazListeners(settings.rules, fire);
    consent?.start();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
}

/** `dataLayer.push({ event, … })` is `zaraz.track(event, { … })`, also of what was pushed before. */
export function zarazDataLayer(zaraz) {
  const layer = window.dataLayer;
  if (!Array.isArray(layer)) return;
  const take = (entry) => {
    if (typeof entry?.event !== "string") return;
    const { event, ...properties } = entry;
    zaraz.track(event, properties).catch((error) => console.error(error));
  };
  layer.forEach(take);
  const push = layer.push.bind(layer);
  layer.push = (...entries) => {
    const length = push(...entries);
    entries.forEach(take);
    return length;
  };
}

/** Pages of one document: an address that changes is a page view. */
export function zarazHistory(zaraz) {
  let last = location.href;
  const look = () => {
    if (location.href === last) return;
    last = location.href;
    zaraz.spaPageview().catch((error) => console.error(error));
  };
  for (const name of ["pushState", "replaceState"]) {
    const original = history[name];
    history[name] = function (...args) {
      const result = original.apply(this, args);
      look();
      return result;
    };
  }
  window.addEventListener("popstate", look);
  window.addEventListener("hashchange", look);
}
