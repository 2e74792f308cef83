/** Pictures in words: made smaller as documented, and described by the model that the service uses for it, where something runs it. */
import type { ModelRuns } from "../run.ts";
import { ConversionError } from "./converter.ts";

/** Documented (how-it-works). */
const MODEL = "@cf/google/gemma-3-12b-it";
const WIDTH_MAX = 1280;
const HEIGHT_MAX = 720;
const PIXELS_MAX = 100_000_000;
const TOKENS_MAX = 512;

export const LANGUAGES = { en: "English", it: "Italian", de: "German", es: "Spanish", fr: "French", pt: "Portuguese" } as const;
export type Language = keyof typeof LANGUAGES;

export async function captionOf(bytes: Buffer, language: Language | undefined, runs: ModelRuns, signal: AbortSignal): Promise<string> {
  const { default: sharp } = await import("sharp");
  const png = await sharp(bytes, { limitInputPixels: PIXELS_MAX })
    .resize({ width: WIDTH_MAX, height: HEIGHT_MAX, fit: "inside", withoutEnlargement: true })
    .png()
    .toBuffer()
    .catch((cause: unknown) => {
      throw new ConversionError("the picture cannot be read", { cause });
    });
  const text = `Describe this image for someone who cannot see it.${language === undefined ? "" : ` Answer in ${LANGUAGES[language]}.`}`;
  const content = [
    { type: "text", text },
    { type: "image_url", image_url: { url: `data:image/png;base64,${png.toString("base64")}` } },
  ];
  const output = await runs.run(MODEL, { messages: [{ role: "user", content }], max_tokens: TOKENS_MAX }, signal);
  return String(("json" in output && (output.json as { response?: unknown }).response) || "");
}
