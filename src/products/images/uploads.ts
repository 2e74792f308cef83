/**
 * Where creators upload by themselves: `POST /{account hash}/{id}` on the upload host, without a token. The URL is the
 * permission: it was made for one draft, is good for one upload, and ends with the draft's time (docs: Images, Direct
 * creator upload). Pages of any origin may use it.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { failureOf, success } from "../../kernel/api/envelope.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { imagesError } from "./errors.ts";
import { uploadForm } from "./form.ts";
import type { HostedImage, HostedImages } from "./hosted.ts";
import { imageIdOf } from "./image-path.ts";
import type { Views } from "./views.ts";

const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "POST, OPTIONS",
  "access-control-allow-headers": "*",
  "access-control-max-age": "86400",
};

export interface UploadOutcome {
  readonly id: string;
  readonly image?: HostedImage;
  readonly error?: unknown;
}

/** `ended` hears of every upload that had a draft, good or bad. */
export function creatorUploads(kernel: KernelSlice, hosted: HostedImages, views: Views, ended: (outcome: UploadOutcome) => Promise<void>) {
  /** What it makes of that does not change how the upload ended. */
  const tell = (outcome: UploadOutcome): Promise<void> =>
    ended(outcome).catch((error: unknown) => kernel.log.warn("images.notice_failed", { error }));

  async function receive(request: IncomingMessage): Promise<Response> {
    const [, hash, ...rest] = (request.url as string).split("?")[0]?.split("/") ?? [];
    const id = imageIdOf(rest);
    if (request.method !== "POST" || hash !== views.hash || id === undefined) throw imagesError("uploadGone");
    // Looked at before the body is read: a stranger gets nothing sent here.
    const draft = await hosted.find(id);
    if (draft === undefined || draft.file !== undefined) throw imagesError("uploadGone");
    let image: HostedImage;
    try {
      const idle = kernel.config["gateway.body_idle_timeout_ms"];
      const { upload } = await uploadForm(request, request.headers["content-type"] ?? null, idle);
      if (upload === undefined) throw imagesError("badRequest", "The form has no file");
      image = await hosted.fill(id, upload);
    } catch (error) {
      await tell({ id, error });
      throw error;
    }
    await tell({ id, image });
    return success(views.image(image));
  }

  return {
    async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
      if (request.method === "OPTIONS") {
        request.resume();
        return void response.writeHead(204, CORS).end();
      }
      const answer = await receive(request).catch((error: unknown) => failureOf(error, "images.directUpload", kernel.log));
      if (!request.complete) request.resume();
      const body = await answer.text();
      response
        .writeHead(answer.status, { ...CORS, "content-type": "application/json", "content-length": Buffer.byteLength(body) })
        .end(body);
    },
  };
}
