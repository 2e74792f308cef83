/**
 * Routing rules of zones, and which of them a message's recipient falls under: an exact address before one without its
 * "+detail", the newest of several, the catch-all last. In memory and as rows.
 * https://developers.cloudflare.com/email-routing/setup/email-routing-addresses/
 */
import { randomBytes } from "node:crypto";
import type { KernelSlice } from "../../kernel/product.ts";
import { normalAddress } from "./addresses.ts";
import type { Destinations } from "./destinations.ts";
import { emailError } from "./errors.ts";

export interface Action {
  readonly type: "forward" | "worker" | "drop";
  readonly value: readonly string[];
}

export interface RuleContent {
  readonly name: string;
  readonly enabled: boolean;
  readonly priority: number;
  /** Undefined is the catch-all. In normal form. */
  readonly address: string | undefined;
  readonly action: Action;
  readonly source: "api" | "wrangler";
  readonly ownerTag: string | undefined;
}

export interface Rule extends RuleContent {
  readonly id: string;
  readonly zoneId: string;
  /** Order of creation. */
  readonly number: number;
}

export interface Rules {
  /** Without the catch-all, oldest first. */
  of(zoneId: string): Rule[];
  catchAll(zoneId: string): Rule | undefined;
  /** Throws `emailRouting.ruleNotFound`. */
  require(zoneId: string, id: string): Rule;
  create(zoneId: string, content: RuleContent): Promise<Rule>;
  replace(rule: Rule, content: RuleContent): Promise<Rule>;
  setCatchAll(zoneId: string, content: RuleContent): Promise<Rule>;
  remove(rule: Rule): Promise<void>;
  /** Disables the rules that forward to an address. */
  disableFor(destination: string): Promise<void>;
  /** The active rule of an address in normal form. */
  match(zoneId: string, address: string, subaddressing: boolean): Rule | undefined;
}

interface Row {
  readonly number: number;
  readonly id: string;
  readonly zone_id: string;
  readonly name: string;
  readonly enabled: number;
  readonly priority: number;
  readonly address: string | null;
  readonly action: string;
  readonly source: "api" | "wrangler";
  readonly owner_tag: string | null;
}

const ruleOf = (row: Row): Rule => ({
  number: row.number,
  id: row.id,
  zoneId: row.zone_id,
  name: row.name,
  enabled: row.enabled === 1,
  priority: row.priority,
  address: row.address ?? undefined,
  action: JSON.parse(row.action) as Action,
  source: row.source,
  ownerTag: row.owner_tag ?? undefined,
});

/** Whether a rule counts: one that forwards is off until its destination is verified. */
export const isActive = ({ enabled, action }: Rule, destinations: Pick<Destinations, "verified">): boolean =>
  enabled && (action.type !== "forward" || action.value.every((value) => destinations.verified(value)));

/** "user+detail@example.com" without its detail. */
const withoutDetail = (address: string): string => address.replace(/\+[^@]*@/, "@");

export async function openRules({ meta, config }: KernelSlice, destinations: Destinations): Promise<Rules> {
  const max = config["email_routing.rules_max"];
  const byId = new Map<string, Rule>();
  for (const row of await meta.all<Row & Record<string, never>>("SELECT * FROM email_routing_rules ORDER BY number LIMIT 1000000"))
    byId.set(row.id, ruleOf(row));

  const all = (zoneId: string): Rule[] => [...byId.values()].filter((rule) => rule.zoneId === zoneId);
  const of = (zoneId: string): Rule[] => all(zoneId).filter((rule) => rule.address !== undefined);
  const catchAll = (zoneId: string): Rule | undefined => all(zoneId).find((rule) => rule.address === undefined);

  async function insert(zoneId: string, content: RuleContent): Promise<Rule> {
    const id = randomBytes(16).toString("hex");
    const row = await meta.transaction(async (tx) => {
      await tx.run(
        `INSERT INTO email_routing_rules (id, zone_id, name, enabled, priority, address, action, source, owner_tag)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        ...[id, zoneId, content.name, Number(content.enabled), content.priority, content.address ?? null, JSON.stringify(content.action)],
        ...[content.source, content.ownerTag ?? null],
      );
      return tx.get<Row>("SELECT * FROM email_routing_rules WHERE id = ?", id);
    });
    const rule = ruleOf(row as Row);
    byId.set(id, rule);
    return rule;
  }

  async function replace(rule: Rule, content: RuleContent): Promise<Rule> {
    await meta.run(
      `UPDATE email_routing_rules SET name = ?, enabled = ?, priority = ?, address = ?, action = ?, source = ?, owner_tag = ? WHERE id = ?`,
      ...[content.name, Number(content.enabled), content.priority, content.address ?? null, JSON.stringify(content.action)],
      ...[content.source, content.ownerTag ?? null, rule.id],
    );
    const next = { ...rule, ...content };
    byId.set(rule.id, next);
    return next;
  }

  return {
    of,
    catchAll,
    replace,
    require(zoneId, id) {
      const rule = byId.get(id);
      if (rule === undefined || rule.zoneId !== zoneId || rule.address === undefined) throw emailError("ruleNotFound");
      return rule;
    },
    async create(zoneId, content) {
      if (of(zoneId).length >= max) throw emailError("tooManyRules", `The zone has ${max} rules already.`);
      return insert(zoneId, content);
    },
    async setCatchAll(zoneId, content) {
      const old = catchAll(zoneId);
      return old === undefined ? insert(zoneId, content) : replace(old, content);
    },
    async remove(rule) {
      await meta.run("DELETE FROM email_routing_rules WHERE id = ?", rule.id);
      byId.delete(rule.id);
    },
    async disableFor(destination) {
      for (const rule of byId.values()) {
        const forwards = rule.action.type === "forward" && rule.action.value.some((value) => normalAddress(value) === destination);
        if (forwards && rule.enabled) await replace(rule, { ...rule, enabled: false });
      }
    },
    match(zoneId, address, subaddressing) {
      const rules = all(zoneId).filter((rule) => isActive(rule, destinations));
      const newest = (wanted: string | undefined) => rules.findLast((rule) => rule.address === wanted);
      return newest(address) ?? (subaddressing ? newest(withoutDetail(address)) : undefined) ?? newest(undefined);
    },
  };
}
