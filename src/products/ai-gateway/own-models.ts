/**
 * Workers AI of this platform as a provider like others (docs/ai-gateway/usage/providers/workersai): requests for its address
 * do not leave the platform, they are answered by the capability `models`.
 */
import type { Models } from "../../kernel/capabilities.ts";
import type { Provider } from "./providers.ts";

export const OWN = "workers-ai";
/** Marks requests of a Worker's binding, which get results without the v4 envelope. */
const BARE = "bare";

export function ownProvider(models: Models, accountId: string): Provider {
  const base = `https://api.cloudflare.com/client/v4/accounts/${accountId}/ai`;
  return {
    slug: OWN,
    base,
    chat: "v1/chat/completions",
    key: { header: "authorization", prefix: "Bearer " },
    trusted: false,
    serve(url, { contentType, body }, signal) {
      const { pathname, searchParams } = new URL(url);
      const path = decodeURIComponent(pathname.slice(new URL(base).pathname.length + 1));
      const bare = searchParams.has(BARE);
      searchParams.delete(BARE);
      return models.answer({ path: pathOf(path), query: searchParams, contentType, body, bare }, signal);
    },
  };
}

/** The path of a model's own request by its binding. */
export const bindingPath = (model: string): string => `run/${model}?${BARE}`;

/** Both spellings serve: with `run/` as in the REST API, and the model alone as documented for gateways. */
const pathOf = (path: string): string => (/^(v1|run)\//.test(path) ? path : `run/${path}`);

/** The model that a path of this provider names; empty where the body does. */
export const modelOfPath = (path: string): string => (path.startsWith("v1/") ? "" : path.replace(/^run\//, "").split("?")[0]) as string;
