/** Text embeddings, and what `bge-m3` does besides: scores of contexts for a query. */
import { z } from "zod";
import { aiError } from "./errors.ts";
import type { Embeddings } from "./runner.ts";
import { type Call, checked, type Output, type Task } from "./task.ts";

/** Texts of one request, as documented for the bge models. */
const TEXTS_MAX = 100;

const texts = z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(TEXTS_MAX)]);
const inputs = z.looseObject({
  text: texts.optional(),
  /** Of models that tell questions from documents. */
  queries: texts.optional(),
  documents: texts.optional(),
  query: z.string().min(1).optional(),
  contexts: z
    .array(z.looseObject({ text: z.string() }))
    .min(1)
    .max(TEXTS_MAX)
    .optional(),
  pooling: z.enum(["mean", "cls"]).optional(),
  truncate_inputs: z.boolean().optional(),
});

const listOf = (given: string | string[]): string[] => (typeof given === "string" ? [given] : given);

export const textEmbeddings: Task = {
  inputs,
  outputs: z.object({ shape: z.array(z.number()), data: z.array(z.array(z.number())), pooling: z.string().optional() }),
  async run(given, call) {
    const asked = checked(inputs, given);
    const text = asked.text ?? asked.documents ?? asked.queries;
    if (text !== undefined) return vectorsOf(await embed(listOf(text), call, asked.pooling), asked.pooling);
    if (asked.contexts === undefined)
      throw aiError(
        "invalidInput",
        "Error: oneOf at '/' not met, 0 matches: required properties at '/' are 'text', required properties at '/' are 'contexts'",
      );
    const contexts = asked.contexts.map((one) => one.text);
    if (asked.query === undefined) {
      const { vectors, tokens } = await embed(contexts, call, asked.pooling);
      return { json: { response: vectors, ...shapeOf(vectors), pooling: asked.pooling ?? "cls", usage: usageOf(tokens) } };
    }
    const { vectors, tokens } = await embed([asked.query, ...contexts], call, asked.pooling);
    const [query, ...others] = vectors as [readonly number[], ...(readonly number[])[]];
    const scores = others.map((vector, id) => ({ id, score: cosine(query, vector) }));
    return { json: { response: scores.sort((one, other) => other.score - one.score), usage: usageOf(tokens) } };
  },
};

/** A request of OpenAI's embeddings. */
export async function openAiEmbeddings(given: unknown, call: Call): Promise<Output> {
  const asked = checked(z.looseObject({ input: texts, encoding_format: z.enum(["float", "base64"]).default("float") }), given);
  const { vectors, tokens } = await embed(listOf(asked.input), call, undefined);
  const written = (vector: readonly number[]): unknown =>
    asked.encoding_format === "float" ? vector : Buffer.from(new Float32Array(vector).buffer).toString("base64");
  const data = vectors.map((vector, index) => ({ object: "embedding", index, embedding: written(vector) }));
  return { json: { object: "list", data, model: call.model.name, usage: { prompt_tokens: tokens, total_tokens: tokens } } };
}

const embed = (list: readonly string[], call: Call, pooling: "mean" | "cls" | undefined): Promise<Embeddings> =>
  call.runners.require(call.model, "embed").embed(list, { pooling }, call.signal);

const vectorsOf = ({ vectors, tokens }: Embeddings, pooling: string | undefined): Output => ({
  json: {
    shape: [vectors.length, vectors[0]?.length ?? 0],
    data: vectors,
    ...(pooling !== undefined && { pooling }),
    usage: usageOf(tokens),
  },
});

const shapeOf = (vectors: Embeddings["vectors"]): { shape: number[] } => ({ shape: [vectors.length, vectors[0]?.length ?? 0] });
const usageOf = (tokens: number): Record<string, number> => ({ prompt_tokens: tokens, completion_tokens: 0, total_tokens: tokens });

export function cosine(one: readonly number[], other: readonly number[]): number {
  let [product, left, right] = [0, 0, 0];
  for (const [at, value] of one.entries()) {
    const against = other[at] ?? 0;
    product += value * against;
    left += value * value;
    right += against * against;
  }
  return left === 0 || right === 0 ? 0 : product / Math.sqrt(left * right);
}
