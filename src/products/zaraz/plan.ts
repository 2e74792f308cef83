/**
 * What an event makes happen: which triggers fire and which actions of which tools, with their fields filled in. Runs in a
 * thread of its own (`evaluator-thread.ts`), for expressions and patterns are the users' and may never end.
 */
import jsonata from "jsonata";
import { actionsOf } from "./actions.ts";
import type { Context } from "./context.ts";
import type { Action, Rule, Tool, Variable, ZarazConfig } from "./model.ts";

export interface PlanAsk {
  readonly config: ZarazConfig;
  readonly context: Context;
  /** Rules that only a browser can see to be met, and that were by now. */
  readonly fired: readonly string[];
  /** When set, only tools of these purposes are looked at: they have waited for consent. */
  readonly purposes: readonly string[] | undefined;
}

export interface PlannedAction {
  readonly tool: string;
  readonly actionId: string;
  /** "event", "pageview", "ecommerce" or whatever the tool listens for. */
  readonly type: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface Plan {
  /** Ids. */
  readonly triggers: readonly string[];
  readonly actions: readonly PlannedAction[];
  /** Purposes without which more would have happened, and about which the visitor has not said yes. */
  readonly waiting: readonly string[];
  /** Expressions that failed, for who looks for the mistake. */
  readonly faults: readonly string[];
}

/** Asks for the value of a variable that a Worker computes. */
export type WorkerValue = (id: string) => Promise<string>;

const DEPTH_MAX = 5;
const CACHE_MAX = 2000;
const compiled = new Map<string, jsonata.Expression>();

export async function planOf({ config, context, fired, purposes }: PlanAsk, workerValue: WorkerValue): Promise<Plan> {
  const faults: string[] = [];
  const templates = new Templates(config, context, workerValue, faults);
  const triggers = new Set<string>();
  for (const [id, trigger] of Object.entries(config.triggers))
    if (await fires(trigger.loadRules, trigger.excludeRules, new Set(fired), templates)) triggers.add(id);

  const actions: PlannedAction[] = [];
  const waiting = new Set<string>();
  const isEcommerce = context.client.__zarazEcommerce === true && config.settings.ecommerce === true;
  for (const [id, tool] of Object.entries(config.tools)) {
    const { defaultPurpose } = tool;
    if (!tool.enabled || (purposes !== undefined && !purposes.includes(defaultPurpose ?? ""))) continue;
    if (tool.blockingTriggers.some((trigger) => triggers.has(trigger))) continue;
    const due = actionsOf(tool).filter(([, action]) => isDue(action, triggers));
    const shopping = isEcommerce && tool.settings.ecommerce === true;
    if (due.length === 0 && !shopping) continue;
    if (
      config.consent?.enabled &&
      defaultPurpose !== undefined &&
      defaultPurpose !== "" &&
      context.system.consent[defaultPurpose] !== true
    ) {
      waiting.add(defaultPurpose);
      continue;
    }
    actions.push(...(await actionsFor(id, tool, due, shopping, context, templates)));
  }
  return { triggers: [...triggers], actions, waiting: [...waiting], faults: faults.slice(0, 20) };
}

const isDue = (action: Action, triggers: ReadonlySet<string>): boolean =>
  action.enabled !== false &&
  action.firingTriggers.some((id) => triggers.has(id)) &&
  !action.blockingTriggers.some((id) => triggers.has(id));

async function actionsFor(
  tool: string,
  given: Tool,
  due: readonly (readonly [string, Action])[],
  shopping: boolean,
  context: Context,
  templates: Templates,
): Promise<PlannedAction[]> {
  const settings = await templates.fill(given.settings, false);
  const defaults = await templates.fill(given.defaultFields, given.component === "html" || given.component === "custom-html");
  const planned: PlannedAction[] = [];
  for (const [actionId, action] of due) {
    const isHtml = given.component === "html" || given.component === "custom-html";
    planned.push({
      tool,
      actionId,
      type: action.actionType,
      settings,
      fields: { ...defaults, ...(await templates.fill(action.data, isHtml)) },
    });
  }
  if (shopping) {
    const { __zarazTrack: name, __zarazEcommerce: _flag, ...ecommerce } = context.client;
    planned.push({ tool, actionId: "ecommerce", type: "ecommerce", settings, fields: { ...defaults, name, ecommerce } });
  }
  return planned;
}

async function fires(load: readonly Rule[], exclude: readonly Rule[], fired: ReadonlySet<string>, templates: Templates): Promise<boolean> {
  // A trigger without rules would fire for everything that ever happens.
  if (load.length === 0) return false;
  for (const rule of load) if (!(await isMet(rule, fired, templates))) return false;
  for (const rule of exclude) if (await isMet(rule, fired, templates)) return false;
  return true;
}

async function isMet(rule: Rule, fired: ReadonlySet<string>, templates: Templates): Promise<boolean> {
  if (!("op" in rule)) return fired.has((rule as { id: string }).id);
  const { match, op, value } = rule as Extract<Rule, { op: string }>;
  const [left, right] = [await templates.text(match), await templates.text(value)];
  switch (op) {
    case "CONTAINS":
      return left.includes(right);
    case "EQUALS":
      return left === right;
    case "STARTS_WITH":
      return left.startsWith(right);
    case "ENDS_WITH":
      return left.endsWith(right);
    case "MATCH_REGEX":
      return templates.matches(left, right) === true;
    case "NOT_MATCH_REGEX":
      return templates.matches(left, right) === false;
    default: {
      const [a, b] = [Number(left), Number(right)];
      if (left.trim() === "" || right.trim() === "" || Number.isNaN(a) || Number.isNaN(b)) return false;
      if (op === "GREATER_THAN") return a > b;
      if (op === "GREATER_THAN_OR_EQUAL") return a >= b;
      return op === "LESS_THAN" ? a < b : a <= b;
    }
  }
}

/** Texts with `{{ expressions }}` in JSONata over the Context and the variables. */
class Templates {
  readonly #variables: Readonly<Record<string, Variable>>;
  readonly #context: Context;
  readonly #workerValue: WorkerValue;
  readonly #faults: string[];
  readonly #values = new Map<string, Promise<unknown>>();

  constructor(config: ZarazConfig, context: Context, workerValue: WorkerValue, faults: string[]) {
    this.#variables = config.variables;
    this.#context = context;
    this.#workerValue = workerValue;
    this.#faults = faults;
  }

  /** Every text of the fields; HTML gets values that stay text in it. */
  async fill(fields: Readonly<Record<string, unknown>>, html: boolean): Promise<Record<string, unknown>> {
    const filled: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(fields)) {
      if (typeof value !== "string") filled[name] = value;
      else filled[name] = html ? await this.#html(value) : await this.#value(value, 0);
    }
    return filled;
  }

  async text(template: string): Promise<string> {
    return shown(await this.#value(template, 0));
  }

  /** Undefined: the pattern is none. */
  matches(text: string, pattern: string): boolean | undefined {
    try {
      return new RegExp(pattern).test(text);
    } catch (error) {
      this.#faults.push(`${pattern}: ${(error as Error).message}`);
      return undefined;
    }
  }

  /** A template that is one expression has its value, of whatever type; others are text. */
  async #value(template: string, depth: number): Promise<unknown> {
    if (!template.includes("{{")) return template;
    const [, only] = /^\s*\{\{((?:(?!\}\}).)*)\}\}\s*$/s.exec(template) ?? [];
    if (only !== undefined) return this.#evaluate(only, depth);
    return this.#replace(template, async (expression) => shown(await this.#evaluate(expression, depth)));
  }

  /** Values from outside become neither markup nor script. */
  #html(template: string): Promise<string> {
    return this.#replace(template, async (expression, at) => {
      const value = shown(await this.#evaluate(expression, 0));
      return inScript(template, at) ? asScriptText(value) : asMarkupText(value);
    });
  }

  async #replace(template: string, by: (expression: string, at: number) => Promise<string>): Promise<string> {
    let result = "";
    let end = 0;
    for (const match of template.matchAll(/\{\{(.*?)\}\}/gs)) {
      result += template.slice(end, match.index) + (await by(match[1] as string, match.index));
      end = match.index + match[0].length;
    }
    return result + template.slice(end);
  }

  async #evaluate(expression: string, depth: number): Promise<unknown> {
    try {
      const variables = await this.#needed(expression, depth);
      let program = compiled.get(expression);
      if (program === undefined) {
        program = jsonata(expression);
        if (compiled.size >= CACHE_MAX) compiled.clear();
        compiled.set(expression, program);
      }
      return await program.evaluate({ ...this.#context, variables });
    } catch (error) {
      this.#faults.push(`{{${expression}}}: ${(error as Error).message}`);
      return undefined;
    }
  }

  async #needed(expression: string, depth: number): Promise<Record<string, unknown>> {
    const values: Record<string, unknown> = {};
    for (const [, id = ""] of expression.matchAll(/\bvariables\.`?([\w-]+)`?/g)) {
      const variable = Object.hasOwn(this.#variables, id) ? this.#variables[id] : undefined;
      if (variable === undefined) continue;
      const known = this.#values.get(id) ?? this.#valueOf(id, variable, depth);
      this.#values.set(id, known);
      values[id] = await known;
    }
    return values;
  }

  async #valueOf(id: string, variable: Variable, depth: number): Promise<unknown> {
    if (variable.type === "worker") return this.#workerValue(id);
    if (variable.type === "secret") return variable.value;
    // One that names itself ends somewhere.
    return depth >= DEPTH_MAX ? "" : this.#value(variable.value, depth + 1);
  }
}

/** A value as text: nothing is nothing, a URL is its address. */
function shown(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (typeof value !== "object") return String(value);
  const { href } = value as { href?: unknown };
  return typeof href === "string" ? href : JSON.stringify(value);
}

/** Whether that place of an HTML text lies in a script. */
function inScript(html: string, at: number): boolean {
  const before = html.slice(0, at).toLowerCase();
  return before.lastIndexOf("<script") > before.lastIndexOf("</script");
}

const asMarkupText = (value: string): string => value.replace(/[&<>"'`=]/g, (c) => `&#${c.charCodeAt(0)};`);

/**
 * Numbers and names stay as they are. Every other character becomes an escape that means it within quotes, and is a syntax
 * error outside of them, where no text from outside may be.
 */
const asScriptText = (value: string): string =>
  /^-?\d+(\.\d+)?$/.test(value) ? value : value.replace(/[^\w ]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
