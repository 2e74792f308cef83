/**
 * Providers by the slugs of gateway URLs, with the addresses that they stand for (docs/ai-gateway/usage/providers), and those
 * that the operator names in `ai_gateway.providers`: a server of one's own, or another address for a known one.
 */
import type { ModelAnswer, ModelRequest } from "../../kernel/capabilities.ts";
import { gatewayError } from "./errors.ts";

export type LocalRequest = Pick<ModelRequest, "contentType" | "body">;

export interface Provider {
  /** "openai", "custom-mine". */
  readonly slug: string;
  /** Without a slash at its end. */
  readonly base: string;
  /** Path of the endpoint that speaks OpenAI's chat completions; undefined: after `base`, as its form suggests. */
  readonly chat?: string;
  /** Header that carries the key, and what stands before it. */
  readonly key: { readonly header: string; readonly prefix: string };
  /** The operator's word: its address may be a private one. */
  readonly trusted: boolean;
  /** Models of this platform: answers in place of a request to the address. */
  readonly serve?: (url: string, request: LocalRequest, signal: AbortSignal) => Promise<ModelAnswer>;
}

const BEARER = { header: "authorization", prefix: "Bearer " };

type Known = readonly [base: string, chat?: string | undefined, key?: Provider["key"]];

const known: Readonly<Record<string, Known>> = {
  openai: ["https://api.openai.com/v1"],
  anthropic: ["https://api.anthropic.com", "v1/chat/completions", { header: "x-api-key", prefix: "" }],
  "google-ai-studio": [
    "https://generativelanguage.googleapis.com",
    "v1beta/openai/chat/completions",
    { header: "x-goog-api-key", prefix: "" },
  ],
  groq: ["https://api.groq.com/openai/v1"],
  grok: ["https://api.x.ai", "v1/chat/completions"],
  mistral: ["https://api.mistral.ai", "v1/chat/completions"],
  cohere: ["https://api.cohere.ai", "compatibility/v1/chat/completions"],
  deepseek: ["https://api.deepseek.com", "chat/completions"],
  "perplexity-ai": ["https://api.perplexity.ai", "chat/completions"],
  cerebras: ["https://api.cerebras.ai/v1"],
  huggingface: ["https://router.huggingface.co", "v1/chat/completions"],
  replicate: ["https://api.replicate.com/v1"],
  openrouter: ["https://openrouter.ai/api/v1"],
  fal: ["https://fal.run", undefined, { header: "authorization", prefix: "Key " }],
  ideogram: ["https://api.ideogram.ai", undefined, { header: "api-key", prefix: "" }],
  baseten: ["https://inference.baseten.co/v1"],
  parallel: ["https://api.parallel.ai", undefined, { header: "x-api-key", prefix: "" }],
  cartesia: ["https://api.cartesia.ai", undefined, { header: "x-api-key", prefix: "" }],
  elevenlabs: ["https://api.elevenlabs.io", undefined, { header: "xi-api-key", prefix: "" }],
  deepgram: ["https://api.deepgram.com", undefined, { header: "authorization", prefix: "Token " }],
};
/** Names that the compatible endpoint has for providers whose slug is another. */
const compatNames: Readonly<Record<string, string>> = { perplexity: "perplexity-ai" };

export interface Providers {
  /** Throws `aiGateway.providerUnknown`. */
  require(slug: string): Provider;
  /** By the first part of a compatible endpoint's `model`. */
  ofModel(model: string): { provider: Provider; model: string };
}

/** `own`: Workers AI of this platform. `configured`: lines "slug=URL" of the configuration. `custom` finds a provider that users have defined. */
export function openProviders(configured: readonly string[], own: Provider, custom: (slug: string) => Provider | undefined): Providers {
  const table = new Map<string, Provider>([[own.slug, own]]);
  for (const [slug, [base, chat, key]] of Object.entries(known))
    table.set(slug, { slug, base, key: key ?? BEARER, trusted: false, ...(chat !== undefined && { chat }) });
  for (const line of configured) {
    const [slug, url] = splitLine(line);
    const { serve: _, ...known } = table.get(slug) ?? { slug, key: BEARER };
    table.set(slug, { ...known, base: url.replace(/\/+$/, ""), trusted: true });
  }
  function require(slug: string): Provider {
    const found = table.get(slug) ?? custom(slug);
    if (found === undefined) throw gatewayError("providerUnknown", `Invalid provider "${slug.slice(0, 100)}"`);
    return found;
  }
  return {
    require,
    ofModel(model) {
      const slash = model.indexOf("/");
      if (slash <= 0) throw gatewayError("invalidRequest", `"${model.slice(0, 100)}" names no provider: the model must be provider/model`);
      const name = model.slice(0, slash);
      return { provider: require(compatNames[name] ?? name), model: model.slice(slash + 1) };
    },
  };
}

/** A line of the configuration; throws for one that is none. */
export function splitLine(line: string): [slug: string, url: string] {
  const [, slug, url] = /^([a-z0-9][a-z0-9-]*)=(https?:\/\/\S+)$/.exec(line) ?? [];
  if (slug === undefined || url === undefined || !URL.canParse(url))
    throw new Error(`must have lines like openai=https://…, not "${line}"`);
  return [slug, url];
}

/**
 * Where a request for the provider's path goes. Both spellings of a path serve whose base has the version already. No path
 * leads above the base: what else lies on an operator's server is not the gateway's. Throws `aiGateway.invalidRequest`.
 */
export function upstreamUrl({ base }: Provider, path: string): string {
  const version = /\/(v\d+)$/.exec(base)?.[1];
  const rest = path.replace(/^\/+/, "");
  const below = version !== undefined && rest.startsWith(`${version}/`) ? rest.slice(version.length + 1) : rest;
  const { href } = new URL(`${base}/${below}`);
  if (!href.startsWith(new URL(`${base}/`).href)) throw gatewayError("invalidRequest", "The path leads above the provider's address");
  return href;
}

/** Where chat completions in OpenAI's form go. */
export const chatUrl = ({ base, chat }: Provider): string =>
  `${base}/${chat ?? (/\/v\d+$/.test(base) ? "" : "v1/")}${chat === undefined ? "chat/completions" : ""}`;
