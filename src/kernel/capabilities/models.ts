/** Models of Workers AI, and documents made into text for them. Interfaces only. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import type { Service as WorkerdService } from "../workerd/config.ts";

/** Models of Workers AI. */
export interface Models {
  /**
   * Runs a model on the inputs that its task documents. Resolves with what `env.AI.run` gives: a value, or bytes (events of
   * `stream: true`, sound, pictures). Rejects with the documented errors, also `workersAi.noRunner` where nothing runs it.
   */
  run(model: string, inputs: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<ModelOutput>;
  /** Answers a request as HTTP has it; never rejects. For what stands before the models, as AI Gateway does. */
  answer(request: ModelRequest, signal: AbortSignal): Promise<ModelAnswer>;
  /** Files to Markdown, as `env.AI.toMarkdown`: a result for each, in their order, which may be an error. */
  toMarkdown(files: readonly MarkdownFile[], options?: MarkdownOptions | undefined, signal?: AbortSignal): Promise<MarkdownResult[]>;
  /** Extensions (with a dot) and types of the files that become Markdown. */
  readonly markdownFormats: readonly { readonly extension: string; readonly mimeType: string }[];
  /**
   * Registers who serves paths of the binding `env.AI` that belong to another product, by the first part of the path
   * ("ai-gateway", "autorag"). The requests are those that the class in workerd makes.
   */
  addBindingPaths(first: string, serve: (request: IncomingMessage, response: ServerResponse) => Promise<void>): void;
  /**
   * Registers the Worker that stands before the binding's service in each process, for methods that the class calls by RPC. Given
   * the service's name, it gives its own and what it is made of. There is one at most.
   */
  addBindingFront(front: BindingFront): void;
}

/** Models behind a gateway of AI Gateway, which logs, limits and caches what goes through it. */
export interface ModelGateway {
  /** Whether the account has a gateway of that id. */
  exists(gateway: string): boolean;
  /**
   * As `Models.run`, through a gateway; undefined: through the account's default one, which is made when it is not there. A model
   * of another provider ("openai/gpt-5") takes a chat's inputs and gives what OpenAI's API does. Rejects with what the gateway or
   * the model answers.
   */
  run(
    gateway: string | undefined,
    model: string,
    inputs: Readonly<Record<string, unknown>>,
    options: GatewayRunOptions,
  ): Promise<ModelOutput>;
}

export interface GatewayRunOptions {
  /** For the gateway's logs; at most five entries. */
  readonly metadata?: Readonly<Record<string, string | number | boolean>>;
  /** The caller's own key for another provider, as the header's value; without it the gateway's. */
  readonly authorization?: string;
  readonly signal?: AbortSignal;
}

export type BindingFront = (inner: string) => { readonly service: string; readonly services: readonly WorkerdService[] };

export type ModelOutput = { readonly json: unknown } | { readonly type: string; readonly body: Readable };

export interface MarkdownFile {
  readonly name: string;
  /** As far as the caller knows; the file's name and content count for more. */
  readonly mimeType: string;
  readonly bytes: Uint8Array;
}

/** As documented for `conversionOptions`. */
export interface MarkdownOptions {
  readonly html?: { readonly hostname?: string; readonly cssSelector?: string };
  readonly pdf?: { readonly metadata?: boolean };
  readonly image?: { readonly descriptionLanguage?: "en" | "it" | "de" | "es" | "fr" | "pt" };
}

export type MarkdownResult = { readonly id: string; readonly name: string; readonly mimeType: string } & (
  | { readonly format: "markdown"; readonly tokens: number; readonly data: string }
  | { readonly format: "error"; readonly error: string }
);

export interface ModelRequest {
  /** "run/@cf/meta/llama-3.1-8b-instruct", "v1/chat/completions", "v1/embeddings", "v1/responses". */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly contentType: string;
  readonly body: Buffer;
  /** The result without the v4 envelope, as the binding has it. */
  readonly bare: boolean;
}

export interface ModelAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readable;
}
