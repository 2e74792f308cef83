/**
 * A model run: found by its name, its inputs checked by its task, answered by its runner. Every door of the product leads
 * here: the REST API, the binding, AI Gateway, batches, other products.
 */
import type { Catalogue, Model, TaskName } from "./catalogue.ts";
import { aiError } from "./errors.ts";
import type { Limits, Usage } from "./limits.ts";
import type { Runners } from "./runners.ts";
import type { Call, Output, Task } from "./task.ts";
import { textClassification } from "./task-classification.ts";
import { openAiEmbeddings, textEmbeddings } from "./task-embeddings.ts";
import { imageToText, speechRecognition, textToImage, textToSpeech } from "./task-media.ts";
import { summarization, translation } from "./task-prompted.ts";
import { chatCompletion, responses, textGeneration } from "./task-text-generation.ts";

const tasks: Partial<Readonly<Record<TaskName, Task>>> = {
  "Text Generation": textGeneration,
  "Text Embeddings": textEmbeddings,
  "Text Classification": textClassification,
  "Automatic Speech Recognition": speechRecognition,
  "Text-to-Speech": textToSpeech,
  "Text-to-Image": textToImage,
  "Image-to-Text": imageToText,
  Translation: translation,
  Summarization: summarization,
};

export const openAiDoors = { "chat/completions": chatCompletion, embeddings: openAiEmbeddings, responses } as const;
export type OpenAiDoor = keyof typeof openAiDoors;

export interface ModelRuns {
  /** Throws `workersAi.noSuchModel`. */
  require(name: string): Model;
  taskOf(model: Model): Task;
  run(name: string, inputs: unknown, signal: AbortSignal): Promise<Output>;
  /** A request in OpenAI's form, whose body names the model. */
  openAi(door: OpenAiDoor, body: unknown, signal: AbortSignal): Promise<Output>;
}

export function openModelRuns(catalogue: Catalogue, runners: Runners, limits: Limits): ModelRuns {
  function require(name: string): Model {
    const model = catalogue.find(name);
    if (model === undefined) throw aiError("noSuchModel", `No such model ${name.slice(0, 200)} or task`);
    return model;
  }
  function taskOf(model: Model): Task {
    const task = tasks[model.task];
    if (task === undefined) throw aiError("notImplemented", `${model.task} is not implemented by this version of Freehold`);
    return task;
  }
  const callOf = (model: Model, signal: AbortSignal): Call => {
    limits.take(model);
    return { model, runners, signal, used: limits.used };
  };
  /** A value tells its own tokens; of bytes, the stream of events has told them. */
  async function counted(model: Model, answer: Promise<Output>): Promise<Output> {
    const output = await answer;
    if ("json" in output) limits.used((output.json as { usage?: Usage } | null)?.usage);
    else if (model.task !== "Text Generation") limits.used(undefined);
    return output;
  }
  return {
    require,
    taskOf,
    async run(name, inputs, signal) {
      const model = require(name);
      return counted(model, taskOf(model).run(inputs, callOf(model, signal)));
    },
    async openAi(door, body, signal) {
      const name = (body as { model?: unknown } | null)?.model;
      if (typeof name !== "string") throw aiError("incomplete", "Request is missing headers or body: model");
      const model = require(name);
      return counted(model, openAiDoors[door](body, callOf(model, signal)));
    },
  };
}
