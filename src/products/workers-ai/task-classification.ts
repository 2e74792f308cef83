/** Text classification: labels of a text, and for rerankers how well texts answer a query. */
import { z } from "zod";
import { checked, type Task } from "./task.ts";

const labelled = z.object({ text: z.string().min(1) });
const ranked = z.looseObject({
  query: z.string().min(1),
  contexts: z
    .array(z.looseObject({ text: z.string().min(1) }))
    .min(1)
    .max(1000),
  top_k: z.number().int().min(1).optional(),
});

export const textClassification: Task = {
  inputs: z.union([labelled, ranked]),
  outputs: z.union([
    z.array(z.object({ label: z.string(), score: z.number() })),
    z.object({ response: z.array(z.object({ id: z.number(), score: z.number() })) }),
  ]),
  async run(given, { model, runners, signal }) {
    if (!model.name.includes("rerank")) {
      const { text } = checked(labelled, given);
      return { json: await runners.require(model, "classify").classify(text, signal) };
    }
    const { query, contexts, top_k: most } = checked(ranked, given);
    const scores = await runners.require(model, "rerank").rerank(
      query,
      contexts.map(({ text }) => text),
      signal,
    );
    const response = scores.map((score, id) => ({ id, score })).sort((one, other) => other.score - one.score);
    return { json: { response: response.slice(0, most ?? contexts.length) } };
  },
};
