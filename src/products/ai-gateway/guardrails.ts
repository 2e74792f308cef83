/**
 * Guardrails: prompts and answers are shown to Llama Guard, and what it finds is let through with a mark or blocked, as the
 * gateway's settings say for each hazard (docs/ai-gateway/features/guardrails). Where something is to be blocked and the
 * classifier does not answer, nothing passes; where hazards are only marked, everything does. Streams of answers are not
 * looked at, as documented. Each look is a log of its own under the request's event.
 */
import { z } from "zod";
import type { Models } from "../../kernel/capabilities.ts";
import type { Log } from "../../kernel/log.ts";
import { gatewayError } from "./errors.ts";

export const MODEL = "@cf/meta/llama-guard-3-8b";
/** Longer texts are shown in parts. */
const PART_CHARACTERS = 16_000;
const HAZARDS = ["S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9", "S10", "S11", "S12", "S13"] as const;

const actions = z.partialRecord(z.enum(HAZARDS), z.enum(["FLAG", "BLOCK"]));
export const guardrailsSchema = z.strictObject({ prompt: actions, response: actions });
export type Guardrails = z.infer<typeof guardrailsSchema>;

export type Side = keyof Guardrails;

/** What came of a look. */
export interface Verdict {
  readonly side: Side;
  /** Hazards that were found; undefined when the classifier did not answer. */
  readonly found: readonly string[] | undefined;
  readonly action: "PASS" | "FLAG" | "BLOCK";
}

export interface Guard {
  /** Shows a text to the classifier; `prompt` is what an answer was given to. Undefined when there is nothing to look for. */
  look(
    guardrails: Guardrails | null | undefined,
    side: Side,
    text: string,
    prompt: string,
    signal: AbortSignal,
  ): Promise<Verdict | undefined>;
}

export function openGuard(models: Pick<Models, "run">, log: Log): Guard {
  async function hazardsIn(messages: readonly object[], signal: AbortSignal): Promise<string[]> {
    const output = await models.run(MODEL, { messages, max_tokens: 64, temperature: 0 }, signal);
    const response = "json" in output ? (output.json as { response?: unknown }).response : undefined;
    if (typeof response !== "string" || !/^\s*(un)?safe\b/i.test(response))
      throw new Error("the classifier answered with something that is no verdict");
    return /^\s*unsafe/i.test(response) ? (response.match(/S\d+/g) ?? []) : [];
  }

  return {
    async look(guardrails, side, text, prompt, signal) {
      const rules = guardrails?.[side] ?? {};
      if (Object.keys(rules).length === 0 || text === "") return undefined;
      let found: string[] | undefined = [];
      try {
        for (const part of parts(text)) {
          const messages = [{ role: "user", content: side === "prompt" ? part : prompt.slice(0, PART_CHARACTERS) || "(none)" }];
          found.push(...(await hazardsIn(side === "prompt" ? messages : [...messages, { role: "assistant", content: part }], signal)));
        }
      } catch (error) {
        if (signal.aborted) throw error;
        log.warn("ai_gateway.guardrails_failed", { error });
        found = undefined;
      }
      const named = (found ?? Object.keys(rules)).map((hazard) => rules[hazard as keyof typeof rules]);
      if (named.includes("BLOCK")) return { side, found, action: "BLOCK" };
      return { side, found, action: found !== undefined && named.includes("FLAG") ? "FLAG" : "PASS" };
    },
  };
}

/** The documented error of a verdict that blocks. */
export const blocked = (side: Side) => gatewayError(side === "prompt" ? "promptBlocked" : "responseBlocked");

function parts(text: string): string[] {
  return Array.from({ length: Math.ceil(text.length / PART_CHARACTERS) }, (_, at) =>
    text.slice(at * PART_CHARACTERS, (at + 1) * PART_CHARACTERS),
  );
}

/** What a request asks, in the forms of OpenAI, Anthropic, Google and Workers AI. */
export function promptIn(body: Buffer | undefined): string {
  const { messages, contents, prompt, input, text, query } = objectOf(body ?? Buffer.alloc(0));
  const asked = (list: unknown): string =>
    (Array.isArray(list) ? list : [])
      .filter((one: { role?: unknown }) => one?.role === undefined || one.role === "user")
      .map((one: { content?: unknown; parts?: unknown }) => wordsOf(one?.content ?? one?.parts))
      .join("\n");
  return [asked(messages), asked(contents), wordsOf(prompt), wordsOf(input), wordsOf(text), wordsOf(query)]
    .filter((one) => one !== "")
    .join("\n");
}

/** What an answer says in such forms; empty for vectors and other things without words. */
export function answerIn(body: Buffer): string {
  const top = objectOf(body);
  const { choices, content, candidates, output, response } = (
    typeof top.result === "object" && top.result !== null ? top.result : top
  ) as Record<string, unknown>;
  const said = (list: unknown, of: (one: Record<string, unknown>) => unknown): string =>
    (Array.isArray(list) ? list : []).map((one) => wordsOf(of(one ?? {}))).join("\n");
  const message = (one: Record<string, unknown>): unknown => (one.message as { content?: unknown } | undefined)?.content ?? one.text;
  const parted = (one: Record<string, unknown>): unknown => (one.content as { parts?: unknown } | undefined)?.parts;
  const all = [said(choices, message), wordsOf(content), said(candidates, parted), said(output, (one) => one.content), wordsOf(response)];
  return all.filter((one) => one !== "").join("\n");
}

/** Text, or the texts of parts. */
function wordsOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return "";
  return value
    .map((part) =>
      typeof part === "string"
        ? part
        : wordsOf((part as { text?: unknown; content?: unknown } | null)?.text ?? (part as { content?: unknown } | null)?.content),
    )
    .join("\n");
}

function objectOf(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {}; // Not every body is JSON: there are no words to look at.
  }
}
