/** Files to Markdown: each by itself, so that one that cannot be converted is an error among the others' results. */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { MarkdownFile, MarkdownResult } from "../../../kernel/capabilities.ts";
import { PlatformError } from "../../../kernel/errors.ts";
import { aiError } from "../errors.ts";
import type { ModelRuns } from "../run.ts";
import { captionOf, LANGUAGES, type Language } from "./captions.ts";
import { ConversionError, type Converter } from "./converter.ts";
import { FORMATS, type Format, formatOf, isImage } from "./formats.ts";

const FILES_MAX = 100;
const CHARACTERS_A_TOKEN = 4;

export const conversionOptions = z.object({
  html: z.object({ hostname: z.string().optional(), cssSelector: z.string().optional() }).optional(),
  pdf: z.object({ metadata: z.boolean().optional() }).optional(),
  image: z.object({ descriptionLanguage: z.enum(Object.keys(LANGUAGES) as [Language, ...Language[]]).optional() }).optional(),
});
export type ConversionOptions = z.infer<typeof conversionOptions>;

export interface Markdown {
  convert(files: readonly MarkdownFile[], options: ConversionOptions, signal: AbortSignal): Promise<MarkdownResult[]>;
}

export function openMarkdown(converter: Converter, runs: ModelRuns, unpackedMaxBytes: number): Markdown {
  function textOf(file: MarkdownFile, format: Format | undefined, options: ConversionOptions, signal: AbortSignal): Promise<string> {
    if (format === undefined) throw new ConversionError("this kind of file is not supported, or the file is not what its name says");
    if (isImage(format)) return captionOf(Buffer.from(file.bytes), options.image?.descriptionLanguage, runs, signal);
    return converter.convert({ format, name: file.name, bytes: file.bytes, options, unpackedMaxBytes }, signal);
  }

  async function one(file: MarkdownFile, options: ConversionOptions, signal: AbortSignal): Promise<MarkdownResult> {
    const format = formatOf(file.name, file.mimeType, file.bytes);
    const common = { id: randomUUID(), name: file.name, mimeType: format === undefined ? file.mimeType : FORMATS[format].mimeType };
    try {
      const text = await textOf(file, format, options, signal);
      return { ...common, format: "markdown", tokens: Math.ceil(text.length / CHARACTERS_A_TOKEN), data: text };
    } catch (error) {
      const known = error instanceof ConversionError || (error instanceof PlatformError && error.spec.status !== 429);
      if (!known || signal.aborted) throw error;
      return { ...common, format: "error", error: error.message };
    }
  }

  return {
    async convert(files, options, signal) {
      if (files.length > FILES_MAX) throw aiError("invalidInput", `Error: at most ${FILES_MAX} files at a time`);
      return Promise.all(files.map((file) => one(file, options, signal)));
    },
  };
}
