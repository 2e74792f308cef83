/** What user code passes to `step.do`: checked, with defaults, and in the form that is stored and shown. */
import { milliseconds } from "./durations.worker.ts";
import { DEFAULT_CONFIG, DYNAMIC_DELAY, STEP_NAME_MAX, type StepConfig } from "./protocol.worker.ts";

export type Callback = (context: object) => Promise<unknown>;
type Delay = number | string | ((input: { readonly ctx: object; readonly error: Error }) => unknown);

export interface Settings {
  readonly limit: number;
  readonly delay: Delay;
  readonly backoff: "constant" | "linear" | "exponential";
  readonly timeoutMs: number;
  /** As it is stored and shown. */
  readonly shown: StepConfig;
}

export interface RollbackOptions {
  readonly rollback: ((input: object) => Promise<unknown>) & { dup?(): (input: object) => Promise<unknown> };
  readonly rollbackConfig?: unknown;
}

/** An error that is the user's to mend. */
export const fatal = (message: string): Error => Object.assign(new Error(message), { name: "WorkflowFatalError" });

/** `(name, [config], callback, [rollback options])`. */
export function stepArguments(name: string, rest: readonly unknown[]): { config: unknown; callback: Callback; rollback?: RollbackOptions } {
  const [config, callback, rollback] = typeof rest[0] === "function" ? [{}, ...rest] : rest;
  if (typeof callback !== "function") throw fatal(`Step "${name}" requires a callback function`);
  const options = rollback as RollbackOptions | undefined | null;
  if (options !== undefined && options !== null && typeof options.rollback !== "function")
    throw fatal(`Rollback options of step "${name}" must have a function \`rollback\``);
  return { config: config ?? {}, callback: callback as Callback, ...(options && { rollback: options }) };
}

export function checkName(name: unknown): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused.
  if (typeof name === "string" && name.length <= STEP_NAME_MAX && !/[\x00-\x1f]/.test(name)) return;
  throw fatal(`Step name "${String(name)}" exceeds max length (${STEP_NAME_MAX} chars) or invalid characters found`);
}

/** Throws for a config of another form. */
export function settingsOf(name: string, config: unknown): Settings {
  if (!isConfig(config))
    throw fatal(
      `Step config for "${name}" is in a invalid format. See https://developers.cloudflare.com/workflows/build/sleeping-and-retrying/`,
    );
  const { retries = {}, timeout = DEFAULT_CONFIG.timeout, sensitive } = config;
  const { limit = 5, delay = DEFAULT_CONFIG.retries.delay, backoff = "exponential" } = retries;
  const shownRetries = {
    limit: Number.isFinite(limit) ? limit : null,
    delay: typeof delay === "function" ? DYNAMIC_DELAY : delay,
    backoff,
  };
  return {
    limit,
    delay,
    backoff,
    timeoutMs: milliseconds(timeout),
    shown: { retries: shownRetries, timeout, ...(sensitive !== undefined && { sensitive }) },
  };
}

/** The config as callbacks get it: a delay function is left out. */
export function contextConfig({ shown }: Settings): object {
  const { delay, ...retries } = shown.retries;
  return { ...shown, retries: delay === DYNAMIC_DELAY ? retries : shown.retries };
}

interface Config {
  readonly retries?: { readonly limit?: number; readonly delay?: Delay; readonly backoff?: Settings["backoff"] };
  readonly timeout?: number | string;
  readonly sensitive?: "output";
}

function isConfig(config: unknown): config is Config {
  if (typeof config !== "object" || config === null) return false;
  const { retries, timeout, sensitive, ...others } = config as Record<string, unknown>;
  if (Object.keys(others).length > 0 || (sensitive !== undefined && sensitive !== "output")) return false;
  if (timeout !== undefined && !(milliseconds(timeout) > 0)) return false;
  if (retries === undefined) return true;
  if (typeof retries !== "object" || retries === null) return false;
  const { limit, delay, backoff, ...rest } = retries as Record<string, unknown>;
  if (Object.keys(rest).length > 0) return false;
  if (limit !== undefined && !(typeof limit === "number" && limit >= 0)) return false;
  if (delay !== undefined && typeof delay !== "function" && Number.isNaN(milliseconds(delay))) return false;
  return backoff === undefined || ["constant", "linear", "exponential"].includes(backoff as string);
}
