/** Tasks that a model for conversations does when it is told to: translation and summarization. */
import { z } from "zod";
import { readAtMost } from "./openai-runner.ts";
import { type Call, checked, type Task } from "./task.ts";

const answer = z.looseObject({ choices: z.array(z.looseObject({ message: z.looseObject({ content: z.string().nullish() }) })).min(1) });

/** What a model answers to a conversation, as text. */
export async function completionText({ model, runners, signal }: Call, messages: readonly object[], maxTokens: number): Promise<string> {
  const body = { messages, max_tokens: maxTokens, temperature: 0, stream: false };
  const reply = await runners.require(model, "openai").openai("chat/completions", body, signal);
  const parsed = checked(answer, JSON.parse((await readAtMost(reply.body, 16 * 1024 * 1024)).toString("utf8")));
  return (parsed.choices[0]?.message.content ?? "").trim();
}

const translated = z.looseObject({ text: z.string().min(1), source_lang: z.string().default("en"), target_lang: z.string() });

export const translation: Task = {
  inputs: translated,
  outputs: z.object({ translated_text: z.string() }),
  async run(given, call) {
    const { text, source_lang: from, target_lang: to } = checked(translated, given);
    const system = `Translate the user's text from the language "${from}" to the language "${to}". Answer with the translation alone.`;
    const messages = [
      { role: "system", content: system },
      { role: "user", content: text },
    ];
    return { json: { translated_text: await completionText(call, messages, 256 + text.length) } };
  },
};

const summarized = z.looseObject({ input_text: z.string().min(1), max_length: z.number().int().min(1).default(1024) });

export const summarization: Task = {
  inputs: summarized,
  outputs: z.object({ summary: z.string() }),
  async run(given, call) {
    const { input_text: text, max_length: most } = checked(summarized, given);
    const messages = [
      { role: "system", content: "Summarize the user's text in a few sentences. Answer with the summary alone." },
      { role: "user", content: text },
    ];
    return { json: { summary: await completionText(call, messages, most) } };
  },
};
