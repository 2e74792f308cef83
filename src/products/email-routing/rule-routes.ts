/** REST of routing rules, as the official SDK and `wrangler email routing rules` send them, and the plan that a deploy with `addresses` asks for. */
import { z } from "zod";
import { numberedPage } from "../../kernel/api/envelope.ts";
import type { Dispatch, Zone, Zones } from "../../kernel/capabilities.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import { normalAddress, parseAddress } from "./addresses.ts";
import type { Destinations } from "./destinations.ts";
import { emailError } from "./errors.ts";
import { isActive, type Rule, type RuleContent, type Rules } from "./rules.ts";
import type { SettingsStore } from "./settings.ts";
import { requireZone } from "./settings-routes.ts";

const BASE = "/zones/:zone/email/routing/rules";
const READ = ["Email Routing Rules Read", "Email Routing Rules Write"] as const;
const WRITE = ["Email Routing Rules Write"] as const;

const action = z.object({ type: z.enum(["forward", "worker", "drop"]), value: z.array(z.string()).max(1).optional() });
const ruleSchema = z.object({
  name: z.string().max(256).default(""),
  enabled: z.boolean().default(true),
  priority: z.number().int().min(0).default(0),
  matchers: z
    .array(z.object({ type: z.enum(["literal", "all"]), field: z.literal("to").optional(), value: z.string().max(320).optional() }))
    .length(1),
  actions: z.array(action).length(1),
  source: z.enum(["api", "wrangler"]).default("api"),
  owner_worker_tag: z.string().optional(),
});
const catchAllSchema = ruleSchema.extend({ matchers: z.array(z.object({ type: z.literal("all") })).length(1) });
const planSchema = z.object({
  owner_worker_tag: z.string(),
  rules: z.array(ruleSchema.pick({ matchers: true, actions: true })).max(10_000),
  catch_all_rules: z.array(z.object({ target: z.string(), rule: ruleSchema.pick({ matchers: true, actions: true }) })).max(10_000),
});

interface Parts {
  readonly zones: Zones;
  readonly settings: SettingsStore;
  readonly rules: Rules;
  readonly destinations: Destinations;
  readonly dispatch: Dispatch;
}

interface Change {
  readonly type: "added" | "updated" | "deleted" | "conflict";
  readonly target: string;
  readonly remote?: object;
}

export function ruleRoutes({ zones, settings, rules, destinations, dispatch }: Parts): Route[] {
  const zoneOf = (c: RequestContext): Zone => requireZone(zones, c);

  const view = (rule: Rule) => ({
    id: rule.id,
    tag: rule.id,
    name: rule.name,
    enabled: isActive(rule, destinations),
    priority: rule.priority,
    matchers: [rule.address === undefined ? { type: "all" } : { type: "literal", field: "to", value: rule.address }],
    actions: [{ type: rule.action.type, ...(rule.action.value.length > 0 && { value: rule.action.value }) }],
    source: rule.source,
    ...(rule.ownerTag !== undefined && { owner_worker_tag: rule.ownerTag }),
  });
  /** Before there is one. */
  const noCatchAll = () => ({
    id: "",
    tag: "",
    name: "",
    enabled: false,
    matchers: [{ type: "all" }],
    actions: [{ type: "drop" }],
    source: "api",
  });

  function addressIn(zone: Zone, value: string | undefined): string {
    const address = value === undefined ? undefined : normalAddress(value);
    const domain = address && parseAddress(address)?.domain;
    if (address === undefined || (domain !== zone.name && !settings.of(zone.id).subdomains.includes(domain as string)))
      throw emailError("invalidRule", `"${value}" is no address of ${zone.name} or of one of its subdomains with Email Routing.`);
    return address;
  }

  function contentOf(zone: Zone, given: z.infer<typeof ruleSchema>): RuleContent {
    const [{ type, value = [] }] = given.actions as [z.infer<typeof action>];
    const [matcher] = given.matchers;
    const [target] = value;
    if (type !== "drop" && target === undefined) throw emailError("invalidRule", `An action of type "${type}" needs a value.`);
    if (type === "worker" && !dispatch.has(target as string)) throw emailError("workerNotFound", `Worker "${target}" was not found.`);
    if (type === "forward" && normalAddress(target as string) === undefined)
      throw emailError("invalidAddress", `"${target}" is no e-mail address.`);
    return {
      name: given.name,
      enabled: given.enabled,
      priority: given.priority,
      address: matcher?.type === "all" ? undefined : addressIn(zone, matcher?.value),
      action: { type, value: type === "drop" ? [] : value },
      source: given.source,
      ownerTag: given.owner_worker_tag,
    };
  }

  function note(c: RequestContext, zone: Zone, type: "create" | "update" | "delete", rule: Rule): void {
    const info = { create: "AddRule", update: "EditRule", delete: "DeleteRule" }[type];
    c.audit({ info, type, resource: { type: "email_routing.rule", id: rule.id }, zone: zone.name, newValue: view(rule) });
  }

  function planOf(zone: Zone, tag: string, wanted: ReadonlyMap<string | undefined, string>, worker: string | undefined): Change[] {
    const existing = [...rules.of(zone.id), ...[rules.catchAll(zone.id)].filter((rule) => rule !== undefined)];
    const target = (rule: Rule): string => rule.address ?? `*@${zone.name}`;
    const remote = (rule: Rule) => ({
      ...view(rule),
      ...(rule.action.type === "worker" && { owner_worker_name: rule.action.value[0] }),
    });
    const changes: Change[] = [];
    for (const [address, shown] of wanted) {
      const rule = existing.findLast((one) => one.address === address);
      const idle = rule === undefined || (rule.address === undefined && (!rule.enabled || rule.action.type === "drop"));
      if (idle) changes.push({ type: "added", target: shown });
      else if (rule.ownerTag !== tag) changes.push({ type: "conflict", target: shown, remote: remote(rule) });
      else if (!rule.enabled || rule.action.type !== "worker" || rule.action.value[0] !== worker)
        changes.push({ type: "updated", target: shown, remote: remote(rule) });
    }
    const left = existing.filter((rule) => rule.ownerTag === tag && rule.source === "wrangler" && !wanted.has(rule.address));
    const live = left.filter((rule) => rule.address !== undefined || (rule.enabled && rule.action.type === "worker"));
    return [...changes, ...live.map((rule) => ({ type: "deleted" as const, target: target(rule), remote: remote(rule) }))];
  }

  return [
    {
      op: "emailRouting.rules.plan",
      method: "POST",
      path: "/accounts/:account/email/routing/rules/plan",
      permission: READ,
      async handle(c) {
        const plan = await c.json(planSchema);
        const all = [...plan.rules, ...plan.catch_all_rules.map(({ rule }) => rule)];
        const worker = all[0]?.actions[0]?.value?.[0];
        if (worker !== undefined && !dispatch.has(worker)) throw emailError("workerNotFound");
        const wanted = new Map<string, Map<string | undefined, string>>(zones.all().map(({ id }) => [id, new Map()]));
        const put = (target: string, key: (zone: Zone) => string | undefined): void => {
          const domain = target.slice(target.lastIndexOf("@") + 1).toLowerCase();
          const zone = settings.zoneOf(domain);
          if (zone === undefined) throw emailError("invalidRule", `${domain} is no domain with Email Routing.`);
          wanted.get(zone.id)?.set(key(zone), target);
        };
        for (const { matchers } of plan.rules) put(matchers[0]?.value ?? "", (zone) => addressIn(zone, matchers[0]?.value));
        for (const { target } of plan.catch_all_rules) put(target, () => undefined);
        return {
          zones: zones.all().map((zone) => ({
            zone_id: zone.id,
            zone_name: zone.name,
            changes: planOf(zone, plan.owner_worker_tag, wanted.get(zone.id) ?? new Map(), worker),
          })),
        };
      },
    },
    {
      op: "emailRouting.rules.list",
      method: "GET",
      path: BASE,
      permission: READ,
      async handle(c) {
        const enabled = c.query.get("enabled");
        const wanted = rules
          .of(zoneOf(c).id)
          .map(view)
          .filter((rule) => enabled === null || String(rule.enabled) === enabled);
        return numberedPage(c.query.get("direction") === "desc" ? wanted.reverse() : wanted, c.query, 50, 20);
      },
    },
    {
      op: "emailRouting.rules.create",
      method: "POST",
      path: BASE,
      permission: WRITE,
      async handle(c) {
        const zone = zoneOf(c);
        const content = contentOf(zone, await c.json(ruleSchema));
        if (content.address === undefined) throw emailError("invalidRule", "A rule for all addresses is the zone's catch-all.");
        const rule = await rules.create(zone.id, content);
        note(c, zone, "create", rule);
        return view(rule);
      },
    },
    {
      op: "emailRouting.rules.catchAll.get",
      method: "GET",
      path: `${BASE}/catch_all`,
      permission: READ,
      async handle(c) {
        const rule = rules.catchAll(zoneOf(c).id);
        return rule === undefined ? noCatchAll() : view(rule);
      },
    },
    {
      op: "emailRouting.rules.catchAll.update",
      method: "PUT",
      path: `${BASE}/catch_all`,
      permission: WRITE,
      async handle(c) {
        const zone = zoneOf(c);
        const rule = await rules.setCatchAll(zone.id, contentOf(zone, await c.json(catchAllSchema)));
        note(c, zone, "update", rule);
        return view(rule);
      },
    },
    {
      op: "emailRouting.rules.get",
      method: "GET",
      path: `${BASE}/:id`,
      permission: READ,
      handle: async (c) => view(rules.require(zoneOf(c).id, c.params.id as string)),
    },
    {
      op: "emailRouting.rules.update",
      method: "PUT",
      path: `${BASE}/:id`,
      permission: WRITE,
      async handle(c) {
        const zone = zoneOf(c);
        const old = rules.require(zone.id, c.params.id as string);
        const content = contentOf(zone, await c.json(ruleSchema));
        if (content.address === undefined) throw emailError("invalidRule", "A rule for all addresses is the zone's catch-all.");
        const rule = await rules.replace(old, content);
        note(c, zone, "update", rule);
        return view(rule);
      },
    },
    {
      op: "emailRouting.rules.delete",
      method: "DELETE",
      path: `${BASE}/:id`,
      permission: WRITE,
      async handle(c) {
        const zone = zoneOf(c);
        const rule = rules.require(zone.id, c.params.id as string);
        await rules.remove(rule);
        note(c, zone, "delete", rule);
        return view(rule);
      },
    },
  ];
}
