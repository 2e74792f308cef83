/**
 * The binding type "images": `env.IMAGES` is workerd's own class, which sends a form for each call: `POST /info` with an
 * image, `POST /transform` with images, steps and the output's format. What is refused comes back as text under the header
 * `cf-images-binding: err=NUMBER`, of which the class makes an `ImagesError`. Nothing is kept.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { readBody } from "../../kernel/api/body.ts";
import type { BindingCompiler, KernelSlice } from "../../kernel/product.ts";
import { workerModules } from "../../kernel/workerd/module.ts";
import { encoded, type File } from "./encode.ts";
import { ImageError } from "./errors.ts";
import { infoOf } from "./formats.ts";
import { REMOTE_MAX_BYTES } from "./limits.ts";
import { stepsOf } from "./options.ts";
import { decode, overlaid, type Picture, transformed } from "./picture.ts";
import type { Sources } from "./source.ts";
import { textPicture } from "./text.ts";
import { openTurns, type Turns } from "./turns.ts";

const SERVICE = "images:binding";

export const imagesBinding = ({ mint }: KernelSlice): BindingCompiler => ({
  validate: async ({ type, name }) => ({ type, name }),
  compile: async ({ name }) => ({
    bindings: [{ name, wrapped: { moduleName: "cloudflare-internal:images-api", innerBindings: [{ name: "fetcher", service: SERVICE }] } }],
    services: [
      {
        name: SERVICE,
        worker: {
          modules: workerModules(import.meta.url, "./hosted-binding.worker.ts"),
          compatibilityDate: "2026-01-01",
          bindings: [
            { name: "PLATFORM", service: `${SERVICE}:forms` },
            { name: "HOSTED", service: `${SERVICE}:hosted` },
          ],
        },
      },
      mint.node(`${SERVICE}:forms`, { kind: "forms" }),
      mint.node(`${SERVICE}:hosted`, { kind: "hosted" }),
    ],
  }),
});

/** Forms that are in memory at a time. */
const FORMS_AT_ONCE = 8;

export function imagesServer({ config, log }: KernelSlice, turns: Turns, sources: Sources) {
  const forms = openTurns(FORMS_AT_ONCE, config["images.transforms_waiting_max"]);

  async function answer(request: IncomingMessage): Promise<File> {
    const limits = { maxBytes: 2 * REMOTE_MAX_BYTES, idleTimeoutMs: config["gateway.body_idle_timeout_ms"] };
    const body = await readBody(request, limits);
    const headers = { "content-type": request.headers["content-type"] ?? "" };
    const form = await new Response(new Uint8Array(body), { headers }).formData().catch((cause: unknown) => {
      throw new ImageError(9401, "the request is no form", { cause });
    });
    const path = (request.url as string).split("?")[0];
    if (path === "/info") return turns.take(async () => json(await infoView(form)));
    if (path !== "/transform") throw new ImageError(9401, `${path} is not implemented by this version of Freehold`);
    // Before the picture's turn: a font may come from a Worker that has pictures made itself.
    const written = await writtenText(form, sources);
    return turns.take(() => transform(form, written));
  }

  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    try {
      const { type, bytes } = await forms.take(() => answer(request));
      response.writeHead(200, { "content-type": type, "content-length": bytes.byteLength }).end(bytes);
    } catch (error) {
      request.resume();
      if (!(error instanceof ImageError)) {
        log.warn("images.binding_failed", { error });
        response.writeHead(500, { "content-type": "text/plain" }).end((error as Error).message);
        return;
      }
      const head = { "content-type": "text/plain; charset=utf-8", "cf-images-binding": `err=${error.number}` };
      response.writeHead(error.status, head).end(error.text);
    }
  };
}

async function infoView(form: FormData): Promise<object> {
  const { type, fileSize, width, height } = await infoOf(await imageOf(form.get("image")));
  return type === "image/svg+xml" ? { format: type } : { format: type, file_size: fileSize, width, height };
}

const TEXTS = new Set(["text_input", "draw_text"]);

/** Texts of the form, in their order. */
async function writtenText(form: FormData, sources: Sources): Promise<Picture[]> {
  const pictures: Picture[] = [];
  for (const [name, value] of form) if (TEXTS.has(name)) pictures.push(await textPicture(String(value), sources));
  return pictures;
}

async function transform(form: FormData, written: readonly Picture[]): Promise<File> {
  const text = (name: string): string | undefined => {
    const value = form.get(name);
    return typeof value === "string" ? value : undefined;
  };
  const steps = stepsOf(text("transforms") ?? "[]");
  const quality = text("output_quality");
  if (quality !== undefined && !/^([1-9]\d?|100)$/.test(quality)) throw new ImageError(9401, "quality: a whole number from 1 to 100");
  const background = text("background");
  const output = { format: text("output_format") ?? "", ...(quality && { quality: Number(quality) }), ...(background && { background }) };
  const anim = text("anim") !== "false" && /gif|webp/.test(output.format);
  // The canvas is number 0; overlays follow in the order of their parts.
  const pictures: Picture[] = [];
  const texts = written.values();
  for (const [name, value] of form) {
    if (TEXTS.has(name)) pictures.push(texts.next().value as Picture);
    else if (name === "image") pictures.push(await decode(await imageOf(value), { anim }));
    else if (name === "draw_image") pictures.push(await decode(await imageOf(value)));
  }
  const picture = (index: number): Picture => {
    const found = pictures[index];
    if (found === undefined) throw new ImageError(9401, `there is no image ${index}`);
    return found;
  };
  for (const step of steps) {
    const before = picture(step.image);
    pictures[step.image] =
      "drawn" in step ? await overlaid(before, picture(step.drawn), step.draw) : await transformed(before, step.transform);
  }
  return encoded(picture(0), output);
}

async function imageOf(value: globalThis.File | string | null): Promise<Buffer> {
  const bytes = typeof value === "string" ? Buffer.from(value) : value === null ? Buffer.alloc(0) : Buffer.from(await value.arrayBuffer());
  if (bytes.byteLength > REMOTE_MAX_BYTES) throw new ImageError(9402, "the image is larger than 70 MB");
  return bytes;
}

const json = (value: object): File => ({ type: "application/json", bytes: Buffer.from(JSON.stringify(value)) });
