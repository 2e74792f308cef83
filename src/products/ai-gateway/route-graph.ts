/**
 * A dynamic route as a graph of elements (docs/ai-gateway/features/dynamic-routing/json-configuration), checked when it is
 * stored and walked for each request, model by model: what lies behind a model's fallback is looked at only when that
 * model has failed. The documentation and the SDK's types name some members differently; both are taken.
 */
import { z } from "zod";
import { faultOf, holds, memberAt, type Subject } from "./condition.ts";
import { gatewayError } from "./errors.ts";
import { checked } from "./gateways.ts";
import type { Limiter, Rule } from "./limiter.ts";

const output = z.object({ elementId: z.string() });
const outputs = z.record(z.string(), output);
const id = z.string().min(1).max(200);

const element = z.discriminatedUnion("type", [
  z.object({ id, type: z.literal("start"), outputs: z.object({ next: output }) }),
  z.object({
    id,
    type: z.literal("conditional"),
    properties: z.object({ condition: z.unknown().optional(), conditions: z.unknown().optional() }),
    outputs: z.object({ true: output, false: output }),
  }),
  z.object({ id, type: z.literal("percentage"), outputs }),
  z.object({
    id,
    type: z.enum(["rate", "rate_limit"]),
    properties: z.object({
      limitType: z.enum(["count", "cost"]),
      key: z.string().min(1).max(200),
      limit: z.number().min(0),
      interval: z.number().positive().optional(),
      window: z.number().positive().optional(),
      technique: z.enum(["fixed", "sliding"]).default("fixed"),
    }),
    outputs: z.object({ success: output, fallback: output.optional() }),
  }),
  z.object({
    id,
    type: z.literal("model"),
    properties: z.object({
      provider: z.string().min(1),
      model: z.string().min(1),
      timeout: z.number().min(0).default(0),
      retries: z.number().int().min(0).max(5).default(0),
    }),
    outputs: z.object({ success: output, fallback: output.optional() }),
  }),
  z.object({ id, type: z.literal("end"), outputs: outputs.optional() }),
]);

export type Element = z.infer<typeof element>;

/** A model that is to be tried. */
export interface ModelChoice {
  readonly provider: string;
  readonly model: string;
  readonly timeoutMs: number | undefined;
  readonly attempts: number;
  /** Tells what the request has cost, for budgets that it passed on its way. */
  charge(cost: number): void;
}

const ELEMENTS_MAX = 200;
const OUTPUTS_MAX = 5;
const ATTEMPTS_MAX = 5;

/** Throws `aiGateway.invalidConfig` for elements that make no route. */
export function parseElements(given: unknown): Element[] {
  const refuse = (text: string): Error => gatewayError("invalidConfig", `elements: ${text}`);
  const elements = checked(z.array(element).min(1).max(ELEMENTS_MAX), given);
  const ids = new Set(elements.map((one) => one.id));
  if (ids.size !== elements.length) throw refuse("ids must be unique");
  if (elements.filter(({ type }) => type === "start").length !== 1) throw refuse("there must be one start element");
  for (const one of elements) {
    for (const to of Object.values(one.outputs ?? {}) as ({ elementId: string } | undefined)[])
      if (to !== undefined && !ids.has(to.elementId)) throw refuse(`"${one.id}" leads to "${to.elementId}", which is not there`);
    if (one.type === "conditional") {
      const fault = faultOf(one.properties.condition ?? one.properties.conditions);
      if (fault !== undefined) throw refuse(`"${one.id}": ${fault}`);
    }
    if (one.type === "percentage") {
      const shares = Object.keys(one.outputs).filter((name) => name !== "else");
      const total = shares.reduce((sum, name) => sum + shareOf(name), 0);
      if (shares.length > OUTPUTS_MAX || !(total <= 100) || (total < 100 && one.outputs.else === undefined))
        throw refuse(`"${one.id}" must have at most ${OUTPUTS_MAX} shares that make 100% with "else"`);
    }
    if (one.type === "rate" || one.type === "rate_limit") {
      if (one.properties.interval === undefined && one.properties.window === undefined) throw refuse(`"${one.id}" must have an interval`);
    }
  }
  return elements;
}

/** "10%" is 10. */
const shareOf = (name: string): number => (/^\d+(\.\d+)?%$/.test(name) ? Number(name.slice(0, -1)) : Number.NaN);

export interface WalkParts {
  readonly elements: readonly Element[];
  /** Name of the limits' counters: of the route. */
  readonly name: string;
  readonly subject: Subject;
  readonly limiter: Limiter;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** The models to try, each when the one before has failed. Throws `aiGateway.rateLimited` where a limit has no fallback. */
export function* walk({ elements, name, subject, limiter, random }: WalkParts): Generator<ModelChoice, void, void> {
  const byId = new Map(elements.map((one) => [one.id, one]));
  const budgets: ((cost: number) => void)[] = [];
  let at: Element | undefined = elements.find(({ type }) => type === "start");
  // A graph may have circles: nobody passes more elements than there are.
  for (let passed = 0; at !== undefined && passed <= elements.length; passed++) {
    let next: string | undefined;
    switch (at.type) {
      case "start":
        next = at.outputs.next.elementId;
        break;
      case "conditional":
        next = at.outputs[holds(at.properties.condition ?? at.properties.conditions, subject) ? "true" : "false"].elementId;
        break;
      case "percentage":
        next = picked(at.outputs, random() * 100);
        break;
      case "rate":
      case "rate_limit": {
        const { limitType, key, limit, interval, window, technique } = at.properties;
        const rule: Rule = { limit, seconds: (interval ?? window) as number, technique };
        const counter = `${name}/${at.id}/${JSON.stringify(memberAt(subject, key) ?? null)}`;
        if (limiter.open(counter, rule)) {
          if (limitType === "count") limiter.charge(counter, rule, 1);
          else budgets.push((cost) => limiter.charge(counter, rule, cost));
          next = at.outputs.success.elementId;
        } else if (at.outputs.fallback === undefined) throw gatewayError("rateLimited");
        else next = at.outputs.fallback.elementId;
        break;
      }
      case "model": {
        const { provider, model, timeout, retries } = at.properties;
        const charge = (cost: number): void => {
          for (const budget of budgets) budget(cost);
        };
        yield { provider, model, timeoutMs: timeout > 0 ? timeout : undefined, attempts: Math.min(retries + 1, ATTEMPTS_MAX), charge };
        next = at.outputs.fallback?.elementId;
        break;
      }
      case "end":
        return;
    }
    at = next === undefined ? undefined : byId.get(next);
  }
}

function picked(shares: Readonly<Record<string, { elementId: string }>>, drawn: number): string | undefined {
  let sum = 0;
  for (const [name, { elementId }] of Object.entries(shares)) {
    if (name === "else") continue;
    sum += shareOf(name);
    if (drawn < sum) return elementId;
  }
  return shares.else?.elementId;
}
