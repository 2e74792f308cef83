/** A task: what inputs its models take, and how a runner answers them in the service's own form. One file for each (`task-*.ts`). */
import type { Readable } from "node:stream";
import { z } from "zod";
import type { Model } from "./catalogue.ts";
import { aiError } from "./errors.ts";
import type { Limits } from "./limits.ts";
import type { Runners } from "./runners.ts";

/** What a model answered: a value for JSON, or bytes as they come. */
export type Output = { readonly json: unknown } | { readonly type: string; readonly body: Readable };

export interface Call {
  readonly model: Model;
  readonly runners: Runners;
  readonly signal: AbortSignal;
  /** Hears what a stream has used, when it ends. */
  readonly used: Limits["used"];
}

export interface Task {
  /** Inputs, for checks and for `models/schema`. */
  readonly inputs: z.ZodType;
  readonly outputs: z.ZodType;
  /** The input that a body of bytes is: "audio". */
  readonly binary?: string;
  run(inputs: unknown, call: Call): Promise<Output>;
}

/** The inputs, checked. Throws `workersAi.invalidInput` with what is wrong and where. */
export function checked<T>(schema: z.ZodType<T>, inputs: unknown): T {
  const result = schema.safeParse(inputs);
  if (result.success) return result.data;
  throw aiError("invalidInput", `Error: ${result.error.issues.slice(0, 5).map(issueText).join(", ")}`);
}

function issueText(issue: z.core.$ZodIssue): string {
  const path = `/${issue.path.map(String).join("/")}`;
  if (issue.code === "invalid_type" && issue.message.endsWith("received undefined"))
    return `required properties at '/${issue.path.slice(0, -1).map(String).join("/")}' are '${String(issue.path.at(-1) ?? "")}'`;
  return `'${path}': ${issue.message}`;
}

/** Bytes as callers write them: numbers, base64, or the body of the request. */
export const bytes = z.union([z.instanceof(Uint8Array), z.array(z.number().int().min(0).max(255)), z.string()]);

/** Such bytes in memory. Throws `workersAi.invalidBase64`. */
export function bytesOf(value: unknown): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Array.isArray(value)) return Buffer.from(value as number[]);
  if (typeof value === "string") {
    const text = value.replace(/^data:[^,]*,/, "");
    if (text !== "" && /^[A-Za-z0-9+/_-]+={0,2}\s*$/.test(text)) return Buffer.from(text, "base64");
  }
  throw aiError("invalidBase64", `Invalid data type for base64 input: ${typeof value}`);
}
