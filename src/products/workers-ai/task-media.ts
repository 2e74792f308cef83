/** Speech, pictures and their like: tasks whose inputs or outputs are bytes. */
import { Readable } from "node:stream";
import { z } from "zod";
import { aiError } from "./errors.ts";
import type { Transcript } from "./runner.ts";
import { bytes, bytesOf, checked, type Task } from "./task.ts";
import { completionText } from "./task-prompted.ts";

const seconds = (value: number): string => new Date(Math.round(value * 1000)).toISOString().slice(11, 23);

const subtitles = ({ segments }: Transcript): string =>
  `WEBVTT\n\n${segments.map(({ start, end, text }) => `${seconds(start)} --> ${seconds(end)}\n${text.trim()}\n`).join("\n")}`;

const speech = z.looseObject({
  audio: z.union([bytes, z.looseObject({ body: bytes, contentType: z.string() })]),
  contentType: z.string().optional(),
  language: z.string().optional(),
  source_lang: z.string().optional(),
  initial_prompt: z.string().optional(),
  task: z.enum(["transcribe", "translate"]).optional(),
});

export const speechRecognition: Task = {
  inputs: speech,
  outputs: z.object({
    text: z.string(),
    word_count: z.number(),
    words: z.array(z.object({ word: z.string(), start: z.number(), end: z.number() })),
    vtt: z.string(),
  }),
  binary: "audio",
  async run(given, { model, runners, signal }) {
    const asked = checked(speech, given);
    const { audio } = asked;
    const isPart = typeof audio === "object" && "body" in audio;
    const data = bytesOf(isPart ? audio.body : audio);
    if (data.byteLength === 0) throw aiError("invalidInput", "Error: 'audio' is empty");
    const type = (isPart ? audio.contentType : asked.contentType) ?? typeOfAudio(data);
    const options = {
      type,
      language: asked.language ?? asked.source_lang,
      prompt: asked.initial_prompt,
      translate: asked.task === "translate",
    };
    const heard = await runners.require(model, "transcribe").transcribe(data, options, signal);
    const words = heard.words.map(({ word, start, end }) => ({ word, start, end }));
    const common = { text: heard.text, word_count: heard.text.split(/\s+/).filter(Boolean).length, vtt: subtitles(heard) };
    if (!model.name.includes("large-v3")) return { json: { ...common, words } };
    const transcription_info = { language: heard.language ?? "", duration: heard.duration ?? 0 };
    return { json: { transcription_info, ...common, segments: heard.segments } };
  },
};

function typeOfAudio(data: Buffer): string {
  const head = data.toString("latin1", 0, 12);
  if (head.startsWith("RIFF")) return "audio/wav";
  if (head.startsWith("OggS")) return "audio/ogg";
  if (head.startsWith("fLaC")) return "audio/flac";
  if (head.slice(4, 8) === "ftyp") return "audio/mp4";
  return head.startsWith("\x1aE\xdf\xa3") ? "audio/webm" : "audio/mpeg";
}

const spoken = z.looseObject({
  prompt: z.string().optional(),
  text: z.string().optional(),
  lang: z.string().optional(),
  speaker: z.string().optional(),
});

export const textToSpeech: Task = {
  inputs: spoken,
  outputs: z.object({ audio: z.string() }),
  async run(given, { model, runners, signal }) {
    const asked = checked(spoken, given);
    const text = asked.prompt ?? asked.text;
    if (!text) throw aiError("invalidInput", "Error: required properties at '/' are 'prompt'");
    const voice = asked.speaker === undefined ? {} : { voice: asked.speaker };
    const { type, body } = await runners.require(model, "speak").speak(text, voice, signal);
    if (!model.name.includes("melotts")) return { type: type || "audio/mpeg", body };
    return { json: { audio: Buffer.concat(await body.toArray()).toString("base64") } };
  },
};

const drawn = z.looseObject({ prompt: z.string().min(1), width: z.number().int().optional(), height: z.number().int().optional() });

export const textToImage: Task = {
  inputs: drawn,
  outputs: z.object({ image: z.string() }),
  async run(given, { model, runners, signal }) {
    const { prompt, width, height } = checked(drawn, given);
    const size = { ...(width !== undefined && { width }), ...(height !== undefined && { height }) };
    const image = await runners.require(model, "draw").draw(prompt, size, signal);
    if (/flux|lucid-origin/.test(model.name)) return { json: { image: image.toString("base64") } };
    return { type: image[0] === 0x89 ? "image/png" : "image/jpeg", body: Readable.from([image]) };
  },
};

const seen = z.looseObject({ image: bytes, prompt: z.string().optional(), max_tokens: z.number().int().optional() });

/** A model that sees describes a picture; it is asked as a conversation with a picture in it. */
export const imageToText: Task = {
  inputs: seen,
  outputs: z.object({ description: z.string() }),
  binary: "image",
  async run(given, call) {
    const asked = checked(seen, given);
    const url = `data:${typeOfImage(bytesOf(asked.image))};base64,${bytesOf(asked.image).toString("base64")}`;
    const content = [
      { type: "text", text: asked.prompt ?? "Describe this image." },
      { type: "image_url", image_url: { url } },
    ];
    const description = await completionText(call, [{ role: "user", content }], asked.max_tokens ?? 512);
    return { json: { description } };
  },
};

function typeOfImage(data: Buffer): string {
  if (data[0] === 0x89) return "image/png";
  if (data.toString("latin1", 0, 4) === "RIFF") return "image/webp";
  return data.toString("latin1", 0, 3) === "GIF" ? "image/gif" : "image/jpeg";
}
