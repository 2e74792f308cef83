/**
 * The scripts that visitors' browsers get: `client/*.js` with what of the zone's configuration is theirs to see. That is
 * nothing of tools, secrets or the debug key.
 */
import { readFileSync } from "node:fs";
import { actionsOf } from "./actions.ts";
import { type ClientRule, CONSENT_COOKIE, DEFAULT_PATHS, type ZarazConfig } from "./model.ts";

/** The files are modules for who reads and checks them; to browsers they go as one script. */
const source = (name: string): string =>
  readFileSync(new URL(`./client/${name}.js`, import.meta.url), "utf8")
    .replace(/^import .*$/gm, "")
    .replace(/^export /gm, "");
const init = source("init");
const page = ["page", "listeners", "consent", "debugger"].map(source).join("\n");

/** Defines `zaraz` at once, and keeps calls until the other script is there. */
export function initScript({ settings, dataLayer }: ZarazConfig): string {
  return call(init, "zarazInit", {
    script: settings.scriptPath ?? DEFAULT_PATHS.scriptPath,
    ecommerce: settings.ecommerce === true,
    dataLayer,
  });
}

export function pageScript(config: ZarazConfig, languages: readonly string[], cookieDomain: string): string {
  return call(page, "zarazPage", {
    track: config.settings.trackPath ?? DEFAULT_PATHS.trackPath,
    history: config.historyChange === true,
    dataLayer: config.dataLayer,
    cookieDomain,
    rules: clientRules(config),
    consent: consentOf(config, languages),
  });
}

/** In a script file, not in a page: `<` is nothing special, and line separators are escaped for old browsers. */
const call = (script: string, name: string, settings: object): string =>
  `(function(){"use strict";${script}\n${name}(${JSON.stringify(settings).replace(/[\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`)});})();\n`;

/** Rules that a browser sees to be met, of triggers that an enabled tool waits for. */
function clientRules({ tools, triggers }: ZarazConfig): ClientRule[] {
  const used = new Set<string>();
  for (const tool of Object.values(tools)) {
    if (!tool.enabled) continue;
    for (const id of tool.blockingTriggers) used.add(id);
    for (const [, action] of actionsOf(tool)) for (const id of [...action.firingTriggers, ...action.blockingTriggers]) used.add(id);
  }
  const rules = Object.entries(triggers)
    .filter(([id]) => used.has(id))
    .flatMap(([, trigger]) => [...trigger.loadRules, ...trigger.excludeRules])
    .filter((rule): rule is ClientRule => "action" in rule);
  return [...new Map(rules.map((rule) => [rule.id, rule])).values()];
}

function consentOf({ consent, tools }: ZarazConfig, languages: readonly string[]): object | undefined {
  if (consent?.enabled !== true) return undefined;
  // Documented: purposes that no tool has are not shown.
  const assigned = new Set(
    Object.values(tools).flatMap(({ enabled, defaultPurpose }) => (enabled && defaultPurpose ? [defaultPurpose] : [])),
  );
  const standard = consent.defaultLanguage ?? "en";
  const plain = Object.entries(consent.purposes ?? {}).map(([id, { name, description }], order) => ({
    ...{ id, order, name: { [standard]: name }, description: { [standard]: description } },
  }));
  const translated = Object.entries(consent.purposesWithTranslations ?? {}).map(([id, { name, description, order }]) => ({
    ...{ id, order, name, description },
  }));
  const purposes = [...new Map([...plain, ...translated].map((one) => [one.id, one])).values()]
    .filter(({ id }) => assigned.has(id))
    .sort((a, b) => a.order - b.order);
  return {
    cookieName: consent.cookieName ?? CONSENT_COOKIE,
    hideModal: consent.hideModal === true,
    customCSS: consent.customCSS ?? "",
    defaultLanguage: standard,
    languages,
    intro: { [standard]: consent.consentModalIntroHTML ?? "", ...consent.consentModalIntroHTMLWithTranslations },
    buttons: consent.buttonTextTranslations ?? {},
    purposes,
  };
}
