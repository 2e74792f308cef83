/**
 * List prices of models in US dollars for a million tokens, in and out: what costs in logs are estimated with. Prices
 * change; whoever needs exact ones sends them with `cf-aig-custom-cost`.
 */
export const prices: Readonly<Record<string, readonly [provider: string, input: number, output: number]>> = {
  "gpt-5": ["openai", 1.25, 10],
  "gpt-5-mini": ["openai", 0.25, 2],
  "gpt-5-nano": ["openai", 0.05, 0.4],
  "gpt-4.1": ["openai", 2, 8],
  "gpt-4.1-mini": ["openai", 0.4, 1.6],
  "gpt-4.1-nano": ["openai", 0.1, 0.4],
  "gpt-4o": ["openai", 2.5, 10],
  "gpt-4o-mini": ["openai", 0.15, 0.6],
  "gpt-3.5-turbo": ["openai", 0.5, 1.5],
  "text-embedding-3-small": ["openai", 0.02, 0],
  "text-embedding-3-large": ["openai", 0.13, 0],
  "claude-opus-4": ["anthropic", 15, 75],
  "claude-sonnet-4": ["anthropic", 3, 15],
  "claude-3-7-sonnet": ["anthropic", 3, 15],
  "claude-3-5-sonnet": ["anthropic", 3, 15],
  "claude-3-5-haiku": ["anthropic", 0.8, 4],
  "claude-3-haiku": ["anthropic", 0.25, 1.25],
  "gemini-2.5-pro": ["google-ai-studio", 1.25, 10],
  "gemini-2.5-flash": ["google-ai-studio", 0.3, 2.5],
  "gemini-2.0-flash": ["google-ai-studio", 0.1, 0.4],
  "deepseek-chat": ["deepseek", 0.27, 1.1],
  "deepseek-reasoner": ["deepseek", 0.55, 2.19],
  "mistral-large-latest": ["mistral", 2, 6],
  "mistral-small-latest": ["mistral", 0.1, 0.3],
};

/** Models are dated: "gpt-4o-mini-2024-07-18" has the price of the longest name that it begins with. */
export function priceOf(model: string): { readonly input: number; readonly output: number } | undefined {
  const name = Object.keys(prices)
    .filter((known) => model === known || model.startsWith(`${known}-`))
    .sort((a, b) => b.length - a.length)[0];
  const price = name === undefined ? undefined : prices[name];
  return price && { input: price[1] / 1e6, output: price[2] / 1e6 };
}
