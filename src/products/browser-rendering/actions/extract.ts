/**
 * The action `json`: what a page says, as data, by a model. The page is given to the model as Markdown; the model works in JSON
 * mode, and is held to the schema if there is one. Models of Workers AI are asked as they are, those of other providers
 * through the account's default gateway, with the key that the caller sends.
 */
import { text as textOf } from "node:stream/consumers";
import { z } from "zod";
import type { ModelGateway, Models } from "../../../kernel/capabilities.ts";
import { PlatformError } from "../../../kernel/errors.ts";
import { browserError } from "../errors.ts";
import type { Options } from "./options.ts";

/** Who answers. */
export interface Minds {
  readonly models: Models;
  readonly gateway: ModelGateway;
}

interface Choice {
  /** "workers-ai/@cf/meta/llama-3.1-8b-instruct", "openai/gpt-4o". */
  readonly model: string;
  /** A provider's own key, with or without "Bearer". */
  readonly authorization?: string | undefined;
}

/** What a model gets of a page. */
const PAGE_MAX_CHARACTERS = 100_000;
/** What an error tells of an answer. */
const RAW_MAX_CHARACTERS = 100_000;
const ANSWER_TIMEOUT_MS = 120_000;
const OWN_PROVIDER = /^workers-ai\//;

const completion = z.object({ choices: z.array(z.object({ message: z.object({ content: z.string().nullish() }) })).min(1) });

/** A model's answer that is none: `rawAiResponse` is for the caller to see. */
export class NotJson extends Error {
  readonly rawAiResponse: string;

  constructor(rawAiResponse: string, options: ErrorOptions) {
    super("The model's answer is no JSON, or none of the schema", options);
    this.rawAiResponse = rawAiResponse;
  }
}

/**
 * The data. Tries the models in order; rejects with the last one's failure: `browserRendering.notJson` because of a `NotJson`,
 * `browserRendering.modelFailed`, or what the model's provider says.
 */
export async function extract(minds: Minds, model: string, page: string, options: Options<"json">): Promise<unknown> {
  let failure: unknown;
  for (const choice of options.custom_ai ?? [{ model: `workers-ai/${model}` }]) {
    try {
      return await ask(minds, choice, page, options);
    } catch (error) {
      if (!(error instanceof PlatformError)) throw error;
      failure = error;
    }
  }
  throw failure;
}

async function ask(minds: Minds, choice: Choice, page: string, options: Options<"json">): Promise<unknown> {
  const { prompt = "Extract the data of this page.", response_format: format } = options;
  const schema = format?.json_schema ?? format?.schema ?? undefined;
  const inputs = {
    messages: [
      { role: "system", content: "You extract data from a web page. Answer with one JSON object and nothing else." },
      { role: "user", content: `${prompt}\n\nThe page:\n\n${page.slice(0, PAGE_MAX_CHARACTERS)}` },
    ],
    response_format:
      schema === undefined ? { type: "json_object" } : { type: "json_schema", json_schema: { name: "response", schema: bare(schema) } },
  };
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const answer = completion.safeParse(await (OWN_PROVIDER.test(choice.model) ? own : foreign)(minds, choice, inputs, signal));
  if (!answer.success) throw browserError("modelFailed", `${choice.model} is no model for text`, { cause: answer.error });
  return dataIn(answer.data.choices[0]?.message.content ?? "", schema && bare(schema));
}

/** OpenAI's form has a schema with a name around it. */
const bare = (schema: object): object => ("schema" in schema ? (schema.schema as object) : schema);

type Ask = (minds: Minds, choice: Choice, inputs: object, signal: AbortSignal) => Promise<unknown>;

const own: Ask = async ({ models }, { model }, inputs, signal) => {
  const body = Buffer.from(JSON.stringify({ ...inputs, model: model.replace(OWN_PROVIDER, "") }));
  const request = { path: "v1/chat/completions", query: new URLSearchParams(), contentType: "application/json", body, bare: true };
  const { status, body: answer } = await models.answer(request, signal);
  const text = await textOf(answer);
  if (status < 400) return JSON.parse(text);
  const [error] = (JSON.parse(text) as { errors?: { code: number; message: string }[] }).errors ?? [];
  const message = error?.message ?? text;
  throw new PlatformError("browserRendering.modelFailed", { status, apiCode: error?.code ?? 2012, message }, message);
};

/** Without a key the gateway would take its own, which the caller's token does not open. */
const foreign: Ask = async ({ gateway }, { model, authorization }, inputs, signal) => {
  const key = authorization?.replace(/^Bearer\s*/i, "").trim() ?? "";
  if (key === "") throw browserError("badOptions", `custom_ai: ${model} needs its provider's key in authorization`);
  const output = await gateway.run(undefined, model, { ...inputs }, { signal, authorization: `Bearer ${key}` });
  return "json" in output ? output.json : undefined;
};

/** The JSON that a model has written, which some put between a Markdown fence's lines. */
function dataIn(text: string, schema: object | undefined): object {
  try {
    const value: unknown = JSON.parse(text.replace(/^\s*```(?:json)?\s*\n([\s\S]*?)\n\s*```\s*$/, "$1"));
    return z.looseObject({}).parse(schema === undefined ? value : validatorOf(schema).parse(value));
  } catch (error) {
    const cause = new NotJson(text.slice(0, RAW_MAX_CHARACTERS), { cause: error });
    throw browserError("notJson", undefined, { cause });
  }
}

/** Of a schema that is not understood the model's word has to do. */
function validatorOf(schema: object): z.ZodType {
  try {
    return z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
  } catch {
    return z.unknown();
  }
}
