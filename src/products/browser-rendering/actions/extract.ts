/**
 * The action `json`: what a page says, as data, by a model of Workers AI. The page is given to the model as Markdown; the
 * model works in JSON mode, and is held to the schema if there is one. Other providers' models are not reached from here.
 */
import type { Capabilities } from "../../../kernel/capabilities.ts";
import { PlatformError } from "../../../kernel/errors.ts";
import { browserError } from "../errors.ts";
import type { Options } from "./options.ts";

/** What a model gets of a page. */
const PAGE_MAX_CHARACTERS = 100_000;
const ANSWER_TIMEOUT_MS = 120_000;
const OWN_PROVIDER = /^workers-ai\//;

/** The data. Tries the models in order; rejects with the last one's failure. */
export async function extract(models: Capabilities["models"], model: string, page: string, options: Options<"json">): Promise<unknown> {
  const names = options.custom_ai?.map(({ model: name }) => name) ?? [`workers-ai/${model}`];
  for (const name of names)
    if (!OWN_PROVIDER.test(name))
      throw browserError("notImplemented", `Models of other providers are not reached by custom_ai in this version of Freehold: ${name}`);
  let failure: unknown;
  for (const name of names) {
    try {
      return await ask(models, name.replace(OWN_PROVIDER, ""), page, options);
    } catch (error) {
      if (!(error instanceof PlatformError)) throw error;
      // The caller's request was fine, the model's answer was not.
      failure = error.code === "workersAi.jsonMode" ? browserError("notJson", error.message) : error;
    }
  }
  throw failure;
}

async function ask(models: Capabilities["models"], model: string, page: string, options: Options<"json">): Promise<unknown> {
  const { prompt = "Extract the data of this page.", response_format: format } = options;
  const schema = format?.json_schema ?? format?.schema;
  const inputs = {
    messages: [
      { role: "system", content: "You extract data from a web page. Answer with one JSON object and nothing else." },
      { role: "user", content: `${prompt}\n\nThe page:\n\n${page.slice(0, PAGE_MAX_CHARACTERS)}` },
    ],
    response_format: schema == null ? { type: "json_object" } : { type: "json_schema", json_schema: schema },
  };
  const output = await models.run(model, inputs, AbortSignal.timeout(ANSWER_TIMEOUT_MS));
  if (!("json" in output)) throw browserError("notImplemented", `${model} is no model for text`);
  const { response } = output.json as { response?: unknown };
  if (typeof response !== "object" || response === null) throw browserError("notJson");
  return response;
}
