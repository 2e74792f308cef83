/**
 * Text generation: a prompt or a conversation in, text, calls of tools or JSON out. Models are asked in OpenAI's form and
 * answer in the service's own, `{ response, tool_calls, usage }` and events of `{ response }`; newer ones in OpenAI's.
 */
import { z } from "zod";
import type { Model } from "./catalogue.ts";
import { classicEvents, openAiEvents } from "./chat-stream.ts";
import { aiError } from "./errors.ts";
import { readAtMost } from "./openai-runner.ts";
import type { OpenAiPath, Reply } from "./runner.ts";
import { type Call, checked, type Output, type Task } from "./task.ts";

/** Documented since 2025-02-21. */
const MAX_TOKENS_DEFAULT = 256;
/** Of what an estimate of tokens goes by. */
const CHARACTERS_A_TOKEN = 4;
const ANSWER_MAX_BYTES = 64 * 1024 * 1024;

const flag = z.union([z.boolean(), z.literal("true"), z.literal("false")]).transform((value) => value === true || value === "true");
const message = z.looseObject({
  role: z.string(),
  content: z.union([z.string(), z.array(z.looseObject({ type: z.string() })), z.null()]).optional(),
  name: z.string().optional(),
  tool_calls: z.array(z.looseObject({})).optional(),
  tool_call_id: z.string().optional(),
});
const tool = z.union([
  z.looseObject({ type: z.string(), function: z.looseObject({ name: z.string() }) }),
  z.looseObject({ name: z.string(), description: z.string().optional(), parameters: z.unknown().optional() }),
]);
const sampling = {
  max_tokens: z.number().int().min(1).optional(),
  max_completion_tokens: z.number().int().min(1).optional(),
  temperature: z.number().min(0).max(5).optional(),
  top_p: z.number().min(0).max(2).optional(),
  top_k: z.number().int().min(1).optional(),
  seed: z.number().int().optional(),
  repetition_penalty: z.number().optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
};
const responseFormat = z.looseObject({ type: z.enum(["text", "json_object", "json_schema"]), json_schema: z.unknown().optional() });
const inputs = z.looseObject({
  prompt: z.string().min(1).optional(),
  messages: z.array(message).min(1).optional(),
  input: z.unknown().optional(),
  raw: flag.default(false),
  stream: flag.default(false),
  tools: z.array(tool).optional(),
  functions: z.array(tool).optional(),
  response_format: responseFormat.optional(),
  lora: z.string().optional(),
  ...sampling,
});
type Inputs = z.infer<typeof inputs>;

const usage = z.object({ prompt_tokens: z.number(), completion_tokens: z.number(), total_tokens: z.number() });
const toolCall = z.looseObject({ id: z.string().optional(), function: z.object({ name: z.string(), arguments: z.string() }) });
const completion = z.looseObject({
  choices: z
    .array(
      z.looseObject({
        message: z.looseObject({ content: z.string().nullish(), tool_calls: z.array(toolCall).nullish() }).optional(),
        text: z.string().optional(),
      }),
    )
    .min(1),
  usage: z
    .looseObject({ prompt_tokens: z.number(), completion_tokens: z.number().optional(), total_tokens: z.number().optional() })
    .nullish(),
});

/** Only these go on to a runner, which may refuse what it does not know. */
const PASSED = [
  ...Object.keys(sampling),
  "tool_choice",
  "parallel_tool_calls",
  "stop",
  "reasoning_effort",
  "chat_template_kwargs",
  "n",
  "logprobs",
  "top_logprobs",
  "user",
] as const;

export const textGeneration: Task = {
  inputs,
  outputs: z.object({
    response: z.unknown(),
    tool_calls: z.array(z.object({ name: z.string(), arguments: z.unknown() })).optional(),
    usage: usage.optional(),
  }),
  async run(given, call) {
    const asked = checked(inputs, given);
    if (asked.lora !== undefined) refuseAdapter(call.model);
    // gpt-oss and its like tell the forms apart by what is there.
    if (call.model.openai && asked.input !== undefined && asked.messages === undefined) return responses(asked, call);
    if (asked.prompt === undefined && asked.messages === undefined)
      throw aiError(
        "invalidInput",
        "Error: oneOf at '/' not met, 0 matches: required properties at '/' are 'prompt', required properties at '/' are 'messages'",
      );
    if (call.model.openai && asked.messages !== undefined) return chatCompletion(asked, call);
    return classic(asked, call);
  },
};

function refuseAdapter(model: Model): never {
  if (!model.lora) throw aiError("loraUnsupported", `The model ${model.name} does not support LoRa inference`);
  throw aiError("notImplemented", "Adapters are kept but not applied by this version of Freehold: serve the adapted model by its own name");
}

/** A request of OpenAI's chat completions, whoever makes it: checked, with the service's defaults, and sent. */
export async function chatCompletion(given: unknown, call: Call): Promise<Output> {
  const asked = checked(inputs, given);
  if (asked.messages === undefined) throw aiError("invalidInput", "Error: required properties at '/' are 'messages'");
  const reply = await send("chat/completions", asked, call);
  if (asked.stream) return { type: "text/event-stream", body: openAiEvents(reply.body, call.model.name, call.used) };
  const answer = await json(reply);
  return { json: { ...(answer as object), model: call.model.name } };
}

/** A request of OpenAI's Responses API, passed on as it is. */
export async function responses(given: unknown, call: Call): Promise<Output> {
  const asked = checked(z.looseObject({ input: z.unknown(), stream: flag.default(false) }), given);
  if (asked.input === undefined) throw aiError("invalidInput", "Error: required properties at '/' are 'input'");
  const reply = await call.runners.require(call.model, "openai").openai("responses", asked, call.signal);
  if (asked.stream) return { type: "text/event-stream", body: reply.body };
  return { json: { ...((await json(reply)) as object), model: call.model.name } };
}

async function classic(asked: Inputs, call: Call): Promise<Output> {
  const format = asked.response_format?.type ?? "text";
  if (format !== "text" && asked.stream) throw aiError("invalidInput", "Error: JSON Mode does not support streaming");
  const reply = await send(asked.raw ? "completions" : "chat/completions", asked, call);
  if (asked.stream) return { type: "text/event-stream", body: classicEvents(reply.body, call.used) };
  const answer = completion.safeParse(await json(reply));
  if (!answer.success)
    throw aiError("runnerFailed", "What runs the model answered with something that is not understood", { cause: answer.error });
  const [choice] = answer.data.choices;
  const text = choice?.message?.content ?? choice?.text ?? "";
  const calls = choice?.message?.tool_calls ?? [];
  const wantsTools = asked.tools !== undefined || asked.functions !== undefined;
  return {
    json: {
      response: format === "text" || calls.length > 0 ? text : jsonOf(text, asked.response_format?.json_schema),
      ...(wantsTools && { tool_calls: calls.map(classicToolCall) }),
      usage: usageOf(answer.data.usage),
    },
  };
}

/** `{ name, arguments }` with the arguments as a value; the id stays, so that an answer can name it. */
export function classicToolCall(call: z.infer<typeof toolCall>): Record<string, unknown> {
  const { name, arguments: text } = call.function;
  let value: unknown = text;
  try {
    value = text === "" ? {} : JSON.parse(text);
  } catch {
    // A model may write arguments that are no JSON: the caller sees them as they are.
  }
  return { ...(call.id !== undefined && { id: call.id }), name, arguments: value };
}

const usageOf = (given: z.infer<typeof completion>["usage"]): z.infer<typeof usage> => {
  const [prompt, answer] = [given?.prompt_tokens ?? 0, given?.completion_tokens ?? 0];
  return { prompt_tokens: prompt, completion_tokens: answer, total_tokens: given?.total_tokens ?? prompt + answer };
};

/** The JSON that a model has written. Throws `workersAi.jsonMode` when it is none, or none of the schema. */
function jsonOf(text: string, schema: unknown): unknown {
  try {
    const value: unknown = JSON.parse(text);
    const validator = validatorOf(schemaOf(schema));
    return validator === undefined ? value : validator.parse(value);
  } catch (cause) {
    throw aiError("jsonMode", undefined, { cause });
  }
}

/** Undefined for a schema that is not understood, or none: the model's word then has to do. */
function validatorOf(schema: unknown): z.ZodType | undefined {
  if (typeof schema !== "object" || schema === null) return undefined;
  try {
    return z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
  } catch {
    return undefined;
  }
}

/** The service takes a schema as it is, OpenAI's form one with a name around it. */
const schemaOf = (given: unknown): unknown =>
  typeof given === "object" && given !== null && "schema" in given ? (given as { schema: unknown }).schema : given;

async function send(path: OpenAiPath, asked: Inputs, call: Call): Promise<Reply> {
  const runner = call.runners.require(call.model, "openai");
  const maxTokens = asked.max_tokens ?? asked.max_completion_tokens ?? MAX_TOKENS_DEFAULT;
  withinContext(call.model, asked, maxTokens);
  const passed = Object.fromEntries(PASSED.flatMap((name) => (asked[name] === undefined ? [] : [[name, asked[name]]])));
  const { max_completion_tokens: _, ...rest } = passed;
  const body = {
    ...rest,
    max_tokens: maxTokens,
    ...(path === "completions"
      ? { prompt: promptOf(asked) }
      : { messages: asked.messages?.map(openAiMessage) ?? [{ role: "user", content: asked.prompt }] }),
    ...toolsOf(asked),
    ...formatOf(asked),
    stream: asked.stream,
    ...(asked.stream && { stream_options: { include_usage: true } }),
  };
  return runner.openai(path, body, call.signal);
}

function toolsOf({ tools, functions }: Inputs): { tools?: unknown } {
  const given = tools ?? functions;
  if (given === undefined || given.length === 0) return {};
  return { tools: given.map((one) => ("function" in one ? one : { type: "function", function: one })) };
}

function formatOf({ response_format: format }: Inputs): { response_format?: unknown } {
  if (format === undefined || format.type === "text") return {};
  if (format.type === "json_object" || format.json_schema === undefined) return { response_format: { type: "json_object" } };
  const given = format.json_schema as object;
  return { response_format: { type: "json_schema", json_schema: "schema" in given ? given : { name: "response", schema: given } } };
}

/** A message of a conversation in OpenAI's form: calls of tools may be in the service's own. */
function openAiMessage(given: z.infer<typeof message>): Record<string, unknown> {
  if (given.tool_calls === undefined) return given;
  const calls = given.tool_calls.map((call, index) => {
    if ("function" in call) return call;
    const { name, arguments: value, id } = call as { name?: unknown; arguments?: unknown; id?: unknown };
    return {
      id: id ?? `call_${index}`,
      type: "function",
      function: { name, arguments: typeof value === "string" ? value : JSON.stringify(value ?? {}) },
    };
  });
  return { ...given, content: given.content ?? null, tool_calls: calls };
}

const promptOf = (asked: Inputs): string => asked.prompt ?? (asked.messages ?? []).map(({ content }) => textOf(content)).join("\n");

const textOf = (content: unknown): string => {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content
    .map((part) => (part as { text?: unknown }).text)
    .filter((text) => typeof text === "string")
    .join("");
};

/** Documented: prompt and answer together; more is an error, not a shorter prompt. */
function withinContext(model: Model, asked: Inputs, maxTokens: number): void {
  if (model.contextWindow === undefined) return;
  const estimate = Math.ceil(promptOf(asked).length / CHARACTERS_A_TOKEN) + maxTokens;
  if (estimate > model.contextWindow)
    throw aiError(
      "contextWindow",
      `The estimated number of input and maximum output tokens (${estimate}) exceeded this model context window limit (${model.contextWindow}).`,
    );
}

async function json(reply: Reply): Promise<unknown> {
  try {
    return JSON.parse((await readAtMost(reply.body, ANSWER_MAX_BYTES)).toString("utf8"));
  } catch (cause) {
    if ((cause as { code?: string }).code?.startsWith("workersAi.")) throw cause;
    throw aiError("runnerFailed", "What runs the model answered with something that is not JSON", { cause });
  }
}
