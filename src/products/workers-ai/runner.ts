/**
 * What runs a model: one of the operator's choosing, each with the operations that it can do. It is asked by tasks
 * (`task-*.ts`) in terms of the work, and knows neither REST nor bindings. Everything that it throws is a `workersAi` error.
 */
import type { Readable } from "node:stream";

export interface Runner {
  /** What it is, for texts that the operator reads: "http://127.0.0.1:11434/v1". */
  readonly label: string;
  /**
   * A request in OpenAI's form; the model's name in the body is replaced by the runner's own. Resolves with a success, whose
   * body is JSON, or events for `stream: true`.
   */
  openai?(path: OpenAiPath, body: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<Reply>;
  embed?(texts: readonly string[], options: EmbedOptions, signal: AbortSignal): Promise<Embeddings>;
  /** How well each text answers the query, as a number that grows with it; in the order of the texts. */
  rerank?(query: string, texts: readonly string[], signal: AbortSignal): Promise<number[]>;
  /** Labels with their probabilities. */
  classify?(text: string, signal: AbortSignal): Promise<{ label: string; score: number }[]>;
  transcribe?(audio: Buffer, options: TranscribeOptions, signal: AbortSignal): Promise<Transcript>;
  speak?(text: string, options: { readonly voice?: string }, signal: AbortSignal): Promise<Reply>;
  /** PNG or JPEG. */
  draw?(prompt: string, options: { readonly width?: number; readonly height?: number }, signal: AbortSignal): Promise<Buffer>;
}

export type OpenAiPath = "chat/completions" | "completions" | "responses";

export interface Reply {
  readonly type: string;
  readonly body: Readable;
}

export interface EmbedOptions {
  readonly pooling?: "mean" | "cls" | undefined;
}

export interface Embeddings {
  readonly vectors: readonly (readonly number[])[];
  readonly tokens: number;
}

export interface TranscribeOptions {
  readonly type: string;
  readonly language?: string | undefined;
  readonly prompt?: string | undefined;
  readonly translate?: boolean | undefined;
}

/** Times in seconds. */
export interface Transcript {
  readonly text: string;
  readonly language?: string | undefined;
  readonly duration?: number | undefined;
  readonly segments: readonly { readonly start: number; readonly end: number; readonly text: string }[];
  readonly words: readonly { readonly word: string; readonly start: number; readonly end: number }[];
}

/** What an operation of a runner needs that it does not have. */
export type Operation = Exclude<keyof Runner, "label">;
