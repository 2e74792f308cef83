/**
 * Requests for models as HTTP has them: `run/{model}` with JSON or bytes, and OpenAI's paths below `v1`. The REST API, the
 * binding and AI Gateway ask here; an answer is what the model said, in the v4 envelope or bare.
 */
import { Readable } from "node:stream";
import type { ModelAnswer, ModelRequest } from "../../kernel/capabilities.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import { BATCH_MAX_BYTES, type Batches } from "./batches.ts";
import { stableId } from "./catalogue.ts";
import { aiError } from "./errors.ts";
import { type ModelRuns, type OpenAiDoor, openAiDoors } from "./run.ts";
import type { Output } from "./task.ts";

export interface Answers {
  /** Never rejects: what is refused is an answer, too. */
  answer(request: ModelRequest, signal: AbortSignal): Promise<ModelAnswer>;
}

export function openAnswers(runs: ModelRuns, batches: Pick<Batches, "queue" | "poll">, log: Log): Answers {
  /** A batch is asked for by the id that it has got, or made when the caller wants to wait. */
  async function runInputs(name: string, request: ModelRequest, signal: AbortSignal): Promise<Output> {
    const { query, contentType, body } = request;
    const queued = query.get("queueRequest") === "true";
    if (queued && body.byteLength > BATCH_MAX_BYTES) throw aiError("tooLarge");
    const inputs = inputsOf(runs, name, contentType, body, query) as Record<string, unknown> | null;
    if (typeof inputs?.request_id === "string") return { json: await batches.poll(name, inputs.request_id) };
    if (queued) return { json: await batches.queue(name, inputs) };
    return runs.run(name, inputs, signal);
  }

  async function outputOf(request: ModelRequest, signal: AbortSignal): Promise<Output> {
    const { path, body } = request;
    const door = /^v1\/(.+)$/.exec(path)?.[1];
    if (door !== undefined) {
      if (!Object.hasOwn(openAiDoors, door)) throw aiError("notFound", `There is no endpoint v1/${door.slice(0, 100)}`);
      return runs.openAi(door as OpenAiDoor, jsonOf(body), signal);
    }
    return runInputs(path.replace(/^run\//, ""), request, signal);
  }

  return {
    async answer(request, signal) {
      const id = stableId(`${process.hrtime.bigint()}`);
      try {
        const output = await outputOf(request, signal);
        const headers = { "cf-ai-req-id": id };
        if (!("json" in output)) return { status: 200, headers: { ...headers, "content-type": output.type }, body: output.body };
        const bare = request.bare || request.path.startsWith("v1/");
        return jsonAnswer(200, bare ? output.json : { result: output.json, success: true, errors: [], messages: [] }, headers);
      } catch (error) {
        const refused = error instanceof PlatformError ? error : internal(error, log);
        if (refused.spec.status >= 500)
          log.warn("workers_ai.failed", { path: request.path, message: refused.message, cause: refused.cause });
        return jsonAnswer(refused.spec.status, failureBody(refused), { "cf-ai-req-id": id });
      }
    },
  };
}

function internal(error: unknown, log: Log): PlatformError {
  log.error("workers_ai.internal_error", { error });
  return aiError("runnerFailed", "Internal error", { cause: error });
}

/** Both forms that clients read: the v4 envelope, and what the binding's class makes its error of. */
export const failureBody = ({ message, spec }: PlatformError): Record<string, unknown> => ({
  result: null,
  success: false,
  errors: [{ code: spec.apiCode, message }],
  messages: [],
  internalCode: spec.apiCode,
  description: message,
});

/** The content type is exactly this: the binding's class compares it as a whole. */
function jsonAnswer(status: number, value: unknown, headers: Readonly<Record<string, string>>): ModelAnswer {
  const text = Buffer.from(JSON.stringify(value));
  return {
    status,
    headers: { ...headers, "content-type": "application/json" },
    body: Readable.from([text], { objectMode: false }),
  };
}

/** The inputs of a body: JSON, whatever it is said to be, or the bytes that the model's task takes. */
export function inputsOf(runs: ModelRuns, name: string, contentType: string, body: Buffer, query: URLSearchParams): unknown {
  if (body.byteLength === 0) throw aiError("incomplete", "Request is missing headers or body: body");
  const { binary } = runs.taskOf(runs.require(name));
  const looksLikeJson = body[0] === 0x7b || /^\s*\{/.test(body.toString("latin1", 0, 64));
  if (contentType.includes("json") || binary === undefined || (looksLikeJson && !/^(audio|image)\//.test(contentType))) return jsonOf(body);
  const type = contentType.split(";")[0] ?? "";
  return { ...userInputs(query), [binary]: body, ...(/^(audio|image)\//.test(type) && { contentType: type }) };
}

/** Inputs beside a body of bytes, which the binding writes into the query. */
function userInputs(query: URLSearchParams): Record<string, unknown> {
  const text = query.get("userInputs");
  if (text === null) return Object.fromEntries([...query].filter(([key]) => key !== "queueRequest"));
  const value = jsonOf(Buffer.from(text));
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

export function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw aiError("invalidInput", "Error: the body is not JSON", { cause });
  }
}
