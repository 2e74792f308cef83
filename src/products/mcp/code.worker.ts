/**
 * Main module of the process that runs a model's code once: gives the code its globals, runs it, and answers with what came of it.
 * It guards nothing, since the code is in the same isolate: what the process may reach is the one service of its configuration.
 */

// @ts-expect-error The code's module, and the data that it reads.
import code from "freehold-code";
// @ts-expect-error The same.
import globals from "freehold-globals";

interface Env {
  /** The platform's REST API; not there for code that only reads. */
  readonly API?: { fetch(url: string, init: RequestInit): Promise<Response> };
}

interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  /** Sends the body as it is, not as JSON. */
  readonly rawBody?: boolean;
}

interface Envelope {
  readonly success?: boolean;
  readonly errors?: readonly { readonly code: number; readonly message: string }[];
}

const LOG_MAX = 200;

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    // Whether the process is alive is asked with GET.
    if (request.method !== "POST") return new Response(null, { status: 204 });
    const logs: string[] = [];
    const say = (...values: unknown[]): void => void (logs.length < LOG_MAX && logs.push(values.map(shown).join(" ")));
    Object.assign(console, { log: say, info: say, warn: say, error: say, debug: say });
    Object.assign(
      globalThis,
      globals,
      env.API && { cloudflare: { request: (asked: ApiRequest) => ask(env.API as NonNullable<Env["API"]>, asked) } },
    );
    try {
      if (typeof code !== "function") throw new TypeError("The code must be an async arrow function");
      return Response.json({ result: (await code()) ?? null, logs });
    } catch (error) {
      return Response.json({ error: error instanceof Error ? error.message : String(error), logs });
    }
  },
};

async function ask(api: NonNullable<Env["API"]>, { method, path, query = {}, body, contentType, rawBody }: ApiRequest): Promise<unknown> {
  if (typeof path !== "string" || !path.startsWith("/")) throw new TypeError('path must begin with "/"');
  const url = new URL(`http://api${path}`);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
  const type = contentType ?? (body === undefined || rawBody ? undefined : "application/json");
  const response = await api.fetch(url.href, {
    method: method.toUpperCase(),
    headers: type === undefined ? {} : { "content-type": type },
    ...(body !== undefined && { body: rawBody ? (body as BodyInit) : JSON.stringify(body) }),
  });
  const answered = await response.text();
  if (!response.headers.get("content-type")?.startsWith("application/json")) {
    if (!response.ok) throw new Error(`API error ${response.status}: ${answered.slice(0, 1_000)}`);
    return { success: true, status: response.status, result: answered };
  }
  const envelope = JSON.parse(answered) as Envelope;
  if (response.ok && envelope.success !== false) return envelope;
  const errors = envelope.errors?.map((one) => `${one.code}: ${one.message}`).join(", ") ?? answered.slice(0, 1_000);
  throw new Error(`API error ${response.status}: ${errors}`);
}

function shown(value: unknown): string {
  if (typeof value === "string") return value;
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
