/**
 * What a response says of its model and tokens: JSON or events (SSE), in the forms of OpenAI (both APIs), Anthropic and
 * Google. Nothing is estimated: a response that does not say has none, and then no cost.
 */
import type { CustomCost } from "./options.ts";
import { priceOf } from "./prices.ts";

export interface Usage {
  readonly model: string | undefined;
  readonly tokensIn: number | null;
  readonly tokensOut: number | null;
}

const NONE: Usage = { model: undefined, tokensIn: null, tokensOut: null };

export function usageOf(contentType: string, body: Buffer): Usage {
  if (contentType.includes("text/event-stream")) {
    return body
      .toString("utf8")
      .split("\n")
      .filter((line) => line.startsWith("data:"))
      .map((line) => parse(line.slice(5)))
      .reduce(merge, NONE);
  }
  return contentType.includes("json") ? parse(body.toString("utf8")) : NONE;
}

/** Later events count what earlier ones did, too. */
const merge = (a: Usage, b: Usage): Usage => ({
  model: b.model ?? a.model,
  tokensIn: b.tokensIn ?? a.tokensIn,
  tokensOut: b.tokensOut ?? a.tokensOut,
});

function parse(text: string): Usage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return NONE; // "[DONE]", or no JSON in spite of its type.
  }
  const top = member(value, undefined);
  // Anthropic's first event, those of OpenAI's Responses and the v4 envelope wrap the message.
  const inner = member(top.message ?? top.response ?? top.result, top);
  const usage = member(inner.usage ?? inner.usageMetadata ?? top.usage, {});
  const model = inner.model ?? inner.modelVersion;
  return {
    model: typeof model === "string" ? model : undefined,
    tokensIn: count(usage.prompt_tokens, usage.input_tokens, usage.promptTokenCount),
    tokensOut: count(usage.completion_tokens, usage.output_tokens, usage.candidatesTokenCount),
  };
}

const member = (value: unknown, otherwise: Record<string, unknown> | undefined): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : (otherwise ?? {});

const count = (...values: readonly unknown[]): number | null =>
  (values.find((value) => typeof value === "number") as number | undefined) ?? null;

/** US dollars, or null when it cannot be told. What comes from the cache costs nothing. */
export function costOf({ model, tokensIn, tokensOut }: Usage, custom: CustomCost | undefined, cached: boolean): number | null {
  if (cached) return 0;
  if (custom?.total_cost !== undefined) return custom.total_cost;
  if (tokensIn === null && tokensOut === null) return null;
  const price = custom === undefined ? priceOf(model ?? "") : { input: custom.per_token_in ?? 0, output: custom.per_token_out ?? 0 };
  return price === undefined ? null : (tokensIn ?? 0) * price.input + (tokensOut ?? 0) * price.output;
}
