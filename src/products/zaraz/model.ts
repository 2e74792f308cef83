/**
 * A zone's configuration as the REST API has it (`client.zaraz.config` of the SDK). Members that are not named here are kept
 * as they came, so that what a newer client has written is not lost.
 */
import { z } from "zod";

const flag = z.boolean();
const path = z.string().regex(/^\/[^\s?#]+$/, "must be a path that begins with /");
const worker = z.looseObject({ escapedWorkerName: z.string().min(1), workerTag: z.string() });
const fields = z.record(z.string(), z.unknown());
const texts = z.record(z.string(), z.string());
const id = z.string().regex(/^[\w-]{1,64}$/, "must be alphanumeric");

export const OPERATIONS = [
  "CONTAINS",
  "EQUALS",
  "STARTS_WITH",
  "ENDS_WITH",
  "MATCH_REGEX",
  "NOT_MATCH_REGEX",
  "GREATER_THAN",
  "GREATER_THAN_OR_EQUAL",
  "LESS_THAN",
  "LESS_THAN_OR_EQUAL",
] as const;

const matchRule = z.looseObject({ id: z.string(), match: z.string(), op: z.enum(OPERATIONS), value: z.string() });
const clientRule = z.discriminatedUnion("action", [
  z.looseObject({
    id: z.string(),
    action: z.literal("clickListener"),
    settings: z.looseObject({ selector: z.string(), type: z.enum(["css", "xpath"]), waitForTags: z.number().min(0) }),
  }),
  z.looseObject({
    id: z.string(),
    action: z.literal("timer"),
    settings: z.looseObject({ interval: z.number().positive(), limit: z.number().min(0) }),
  }),
  z.looseObject({
    id: z.string(),
    action: z.literal("formSubmission"),
    settings: z.looseObject({ selector: z.string(), validate: flag }),
  }),
  z.looseObject({
    id: z.string(),
    action: z.literal("variableMatch"),
    settings: z.looseObject({ variable: z.string(), match: z.string() }),
  }),
  z.looseObject({ id: z.string(), action: z.literal("scrollDepth"), settings: z.looseObject({ positions: z.string() }) }),
  z.looseObject({ id: z.string(), action: z.literal("elementVisibility"), settings: z.looseObject({ selector: z.string() }) }),
]);
const rule = z.union([matchRule, clientRule]);

const trigger = z.looseObject({
  name: z.string(),
  description: z.string().optional(),
  loadRules: z.array(rule).max(100),
  excludeRules: z.array(rule).max(100),
  system: z.literal("pageload").optional(),
});

const action = z.looseObject({
  actionType: z.string().min(1),
  blockingTriggers: z.array(z.string()).default([]),
  firingTriggers: z.array(z.string()).default([]),
  data: fields,
  /** Not in the SDK: an action that is switched off stays in the configuration. */
  enabled: flag.optional(),
});

const toolParts = {
  component: z.string().min(1),
  name: z.string(),
  enabled: flag,
  permissions: z.array(z.string()),
  settings: fields,
  defaultFields: fields,
  blockingTriggers: z.array(z.string()),
  defaultPurpose: z.string().optional(),
  actions: z.record(id, action).optional(),
  neoEvents: z.array(action).optional(),
};
const tool = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("component"), ...toolParts }),
  z.looseObject({ type: z.literal("custom-mc"), worker, ...toolParts }),
]);

const variable = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("string"), name: z.string(), value: z.string() }),
  // Without a value it keeps the one that it has: clients send back what they read, which has none.
  z.looseObject({ type: z.literal("secret"), name: z.string(), value: z.string().optional() }),
  z.looseObject({ type: z.literal("worker"), name: z.string(), value: worker }),
]);

const consent = z.looseObject({
  enabled: flag,
  buttonTextTranslations: z.looseObject({ accept_all: texts, confirm_my_choices: texts, reject_all: texts }).optional(),
  companyName: z.string().optional(),
  companyEmail: z.string().optional(),
  companyStreetAddress: z.string().optional(),
  consentModalIntroHTML: z.string().optional(),
  consentModalIntroHTMLWithTranslations: texts.optional(),
  cookieName: z
    .string()
    .regex(/^[\w!#$%&'*+.^`|~-]{1,64}$/, "must be a name for a cookie")
    .optional(),
  customCSS: z.string().optional(),
  defaultLanguage: z.string().optional(),
  hideModal: flag.optional(),
  purposes: z.record(id, z.looseObject({ name: z.string(), description: z.string() })).optional(),
  purposesWithTranslations: z.record(id, z.looseObject({ name: texts, description: texts, order: z.number() })).optional(),
  tcfCompliant: flag.optional(),
});

export const configSchema = z.looseObject({
  dataLayer: flag,
  debugKey: z.string().max(200),
  zarazVersion: z.number(),
  historyChange: flag.optional(),
  analytics: z.looseObject({}).optional(),
  consent: consent.optional(),
  settings: z.looseObject({
    autoInjectScript: flag,
    contextEnricher: worker.optional(),
    cookieDomain: z
      .string()
      .regex(/^[a-z0-9.-]*$/i, "must be a domain")
      .optional(),
    ecommerce: flag.optional(),
    eventsApiPath: z.union([path, z.literal("")]).optional(),
    hideExternalReferer: flag.optional(),
    hideIPAddress: flag.optional(),
    hideQueryParams: flag.optional(),
    hideUserAgent: flag.optional(),
    initPath: path.optional(),
    injectIframes: flag.optional(),
    mcRootPath: path.optional(),
    scriptPath: path.optional(),
    trackPath: path.optional(),
  }),
  tools: z.record(id, tool),
  triggers: z.record(id, trigger),
  variables: z.record(id, variable),
});

export type ZarazConfig = z.infer<typeof configSchema>;
export type Tool = z.infer<typeof tool>;
export type Action = z.infer<typeof action>;
export type Rule = z.infer<typeof rule>;
export type ClientRule = z.infer<typeof clientRule>;
export type Variable = z.infer<typeof variable>;
export type WorkerName = z.infer<typeof worker>;

export const PAGEVIEW = "Pageview";

/** Paths of a zone's endpoints where its configuration names none. */
export const DEFAULT_PATHS = {
  initPath: "/cdn-cgi/zaraz/i.js",
  scriptPath: "/cdn-cgi/zaraz/s.js",
  trackPath: "/cdn-cgi/zaraz/t",
  mcRootPath: "/cdn-cgi/zaraz/",
} as const;

export const CONSENT_COOKIE = "zaraz-consent";

/** What a zone has that was never configured: nothing to run. */
export const defaultConfig = (debugKey: string): ZarazConfig => ({
  dataLayer: true,
  debugKey,
  zarazVersion: 43,
  historyChange: true,
  analytics: {},
  consent: { enabled: false, cookieName: CONSENT_COOKIE, purposes: {} },
  settings: { autoInjectScript: true, ecommerce: false, eventsApiPath: "", ...DEFAULT_PATHS },
  tools: {},
  triggers: {
    [PAGEVIEW]: {
      name: PAGEVIEW,
      description: "All page loads",
      system: "pageload",
      loadRules: [{ id: "pageview", match: "{{ client.__zarazTrack }}", op: "EQUALS", value: PAGEVIEW }],
      excludeRules: [],
    },
  },
  variables: {},
});

/** Zaraz runs on pages only where a tool does. */
export const isActive = ({ tools }: ZarazConfig): boolean => Object.values(tools).some(({ enabled }) => enabled);
