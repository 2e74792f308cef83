/**
 * AI Search as Workers see it: `env.NAME` of the bindings ai_search and ai_search_namespace, and `env.AI.aiSearch()`, all by RPC
 * as the real service's are. What is asked goes to the platform by a service that bears the namespace (and instance) that the
 * binding is for; nothing here could name another one.
 */
import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

interface Env {
  readonly PLATFORM: Fetcher;
  /** What `env.AI` asks besides. */
  readonly INNER?: Fetcher;
}

type Query = Record<string, unknown>;

class AiSearchError extends Error {
  constructor(status: number, message: string) {
    super(message);
    this.name = status === 404 ? "AiSearchNotFoundError" : "AiSearchInternalError";
  }
}

const POLL_MS = 1000;
const POLL_TIMEOUT_MS = 30_000;

/** Asks the platform below a path. */
class Asker {
  readonly #platform: Fetcher;
  readonly #base: string;

  constructor(platform: Fetcher, base: string) {
    this.#platform = platform;
    this.#base = base;
  }

  below(path: string): Asker {
    return new Asker(this.#platform, `${this.#base}${path}`);
  }

  async response(method: string, path: string, body?: unknown, query: Query = {}): Promise<Response> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== null) parameters.set(name, String(value));
    const form = body instanceof FormData;
    const answer = await this.#platform.fetch(`http://ai-search${this.#base}${path}?${parameters}`, {
      method,
      ...(form && { body }),
      ...(!form && body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    if (answer.ok) return answer;
    const text = await answer.text();
    let message = text;
    try {
      message = (JSON.parse(text) as { errors?: { message?: string }[] }).errors?.[0]?.message ?? text;
    } catch {
      // An error of another form is passed on as it is.
    }
    throw new AiSearchError(answer.status, message);
  }

  async json<T>(method: string, path: string, body?: unknown, query?: Query): Promise<T> {
    return (await this.response(method, path, body, query)).json();
  }

  async result<T>(method: string, path: string, body?: unknown): Promise<T> {
    return (await this.json<{ result: T }>(method, path, body)).result;
  }

  async list(path: string, query?: Query): Promise<unknown> {
    const { result, result_info } = await this.json<{ result: unknown; result_info: unknown }>("GET", path, undefined, query);
    return { result, result_info };
  }

  async chat(body: Query): Promise<unknown> {
    const answer = await this.response("POST", "/chat/completions", body);
    return body.stream === true ? answer.body : answer.json();
  }
}

const step = (id: unknown): string => `/${encodeURIComponent(String(id))}`;

class AiSearchItem extends RpcTarget {
  readonly #ask: Asker;

  constructor(ask: Asker) {
    super();
    this.#ask = ask;
  }

  info(): Promise<unknown> {
    return this.#ask.result("GET", "");
  }

  async download(): Promise<unknown> {
    const answer = await this.#ask.response("GET", "/download");
    const name = /filename\*=UTF-8''(.*)$/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "";
    return {
      body: answer.body,
      contentType: answer.headers.get("content-type"),
      filename: decodeURIComponent(name),
      size: Number(answer.headers.get("content-length")),
    };
  }

  sync(): Promise<unknown> {
    return this.#ask.result("PATCH", "", { next_action: "INDEX" });
  }

  logs(query?: Query): Promise<unknown> {
    return this.#ask.list("/logs", query);
  }

  chunks(query?: Query): Promise<unknown> {
    return this.#ask.list("/chunks", query);
  }
}

interface ItemInfo {
  readonly id: string;
  readonly status: string;
}

class AiSearchItems extends RpcTarget {
  readonly #ask: Asker;

  constructor(ask: Asker) {
    super();
    this.#ask = ask;
  }

  list(query?: Query): Promise<unknown> {
    return this.#ask.list("", query);
  }

  async upload(name: string, content: unknown, options: { metadata?: Query } = {}): Promise<ItemInfo> {
    const form = new FormData();
    const bytes = await new Response(content as BodyInit).blob();
    form.set("file", new File([bytes], name, { type: content instanceof Blob ? content.type : "" }));
    if (options.metadata !== undefined) form.set("metadata", JSON.stringify(options.metadata));
    return this.#ask.result("POST", "", form);
  }

  async uploadAndPoll(
    name: string,
    content: unknown,
    options: { metadata?: Query; pollIntervalMs?: number; timeoutMs?: number } = {},
  ): Promise<ItemInfo> {
    const { id } = await this.upload(name, content, options);
    const deadline = Date.now() + (options.timeoutMs ?? POLL_TIMEOUT_MS);
    for (;;) {
      const item = await this.#ask.result<ItemInfo>("GET", step(id));
      if (!["queued", "running", "outdated"].includes(item.status) || Date.now() >= deadline) return item;
      await scheduler.wait(options.pollIntervalMs ?? POLL_MS);
    }
  }

  get(id: string): AiSearchItem {
    return new AiSearchItem(this.#ask.below(step(id)));
  }

  async delete(id: string): Promise<void> {
    await this.#ask.result("DELETE", step(id));
  }
}

class AiSearchJob extends RpcTarget {
  readonly #ask: Asker;

  constructor(ask: Asker) {
    super();
    this.#ask = ask;
  }

  info(): Promise<unknown> {
    return this.#ask.result("GET", "");
  }

  logs(query?: Query): Promise<unknown> {
    return this.#ask.list("/logs", query);
  }

  cancel(): Promise<unknown> {
    return this.#ask.result("PATCH", "", { action: "cancel" });
  }
}

class AiSearchJobs extends RpcTarget {
  readonly #ask: Asker;

  constructor(ask: Asker) {
    super();
    this.#ask = ask;
  }

  list(query?: Query): Promise<unknown> {
    return this.#ask.list("", query);
  }

  create(options: Query = {}): Promise<unknown> {
    return this.#ask.result("POST", "", options);
  }

  get(id: string): AiSearchJob {
    return new AiSearchJob(this.#ask.below(step(id)));
  }
}

class AiSearchInstance extends RpcTarget {
  readonly #ask: Asker;

  constructor(ask: Asker) {
    super();
    this.#ask = ask;
  }

  search(request: Query): Promise<unknown> {
    return this.#ask.result("POST", "/search", request);
  }

  chatCompletions(request: Query): Promise<unknown> {
    return this.#ask.chat(request);
  }

  update(config: Query): Promise<unknown> {
    return this.#ask.result("PUT", "", config);
  }

  info(): Promise<unknown> {
    return this.#ask.result("GET", "");
  }

  stats(): Promise<unknown> {
    return this.#ask.result("GET", "/stats");
  }

  get items(): AiSearchItems {
    return new AiSearchItems(this.#ask.below("/items"));
  }

  get jobs(): AiSearchJobs {
    return new AiSearchJobs(this.#ask.below("/jobs"));
  }
}

class AiSearchNamespace extends RpcTarget {
  readonly #ask: Asker;

  constructor(ask: Asker) {
    super();
    this.#ask = ask;
  }

  get(name: string): AiSearchInstance {
    return new AiSearchInstance(this.#ask.below(`/instances${step(name)}`));
  }

  list(query?: Query): Promise<unknown> {
    return this.#ask.list("/instances", query);
  }

  async create(config: Query): Promise<AiSearchInstance> {
    const { id } = await this.#ask.result<{ id: string }>("POST", "/instances", config);
    return this.get(id);
  }

  async delete(name: string): Promise<void> {
    await this.#ask.result("DELETE", `/instances${step(name)}`);
  }

  search(request: Query): Promise<unknown> {
    return this.#ask.result("POST", "/search", request);
  }

  chatCompletions(request: Query): Promise<unknown> {
    return this.#ask.chat(request);
  }
}

/** `env.NAME` of ai_search: the methods of an instance. */
export class Instance extends WorkerEntrypoint<Env> {
  get #instance(): AiSearchInstance {
    return new AiSearchInstance(new Asker(this.env.PLATFORM, ""));
  }

  search(request: Query): Promise<unknown> {
    return this.#instance.search(request);
  }

  chatCompletions(request: Query): Promise<unknown> {
    return this.#instance.chatCompletions(request);
  }

  update(config: Query): Promise<unknown> {
    return this.#instance.update(config);
  }

  info(): Promise<unknown> {
    return this.#instance.info();
  }

  stats(): Promise<unknown> {
    return this.#instance.stats();
  }

  get items(): AiSearchItems {
    return this.#instance.items;
  }

  get jobs(): AiSearchJobs {
    return this.#instance.jobs;
  }
}

/** `env.NAME` of ai_search_namespace. */
export class Namespace extends WorkerEntrypoint<Env> {
  get #namespace(): AiSearchNamespace {
    return new AiSearchNamespace(new Asker(this.env.PLATFORM, ""));
  }

  get(name: string): AiSearchInstance {
    return this.#namespace.get(name);
  }

  list(query?: Query): Promise<unknown> {
    return this.#namespace.list(query);
  }

  create(config: Query): Promise<AiSearchInstance> {
    return this.#namespace.create(config);
  }

  delete(name: string): Promise<void> {
    return this.#namespace.delete(name);
  }

  search(request: Query): Promise<unknown> {
    return this.#namespace.search(request);
  }

  chatCompletions(request: Query): Promise<unknown> {
    return this.#namespace.chatCompletions(request);
  }
}

/** Stands before what answers `env.AI`, whose class asks for `aiSearch()` by RPC and for everything else by fetch. */
export default class extends WorkerEntrypoint<Env> {
  override fetch(request: Request): Promise<Response> {
    return (this.env.INNER as Fetcher).fetch(request);
  }

  aiSearch(): AiSearchNamespace {
    return new AiSearchNamespace(new Asker(this.env.PLATFORM, ""));
  }
}
