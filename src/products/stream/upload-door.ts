/**
 * Where creators upload by themselves, without a token: the URL is the permission, made for one video and good for one
 * upload until its end. `POST /{uid}` takes a form, `HEAD` and `PATCH /{uid}` a resumable upload (tus 1.0.0). Pages of any
 * origin may use it. The API's own resumable uploads are the same (`receiveChunk`).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { bodyChunks } from "../../kernel/api/body.ts";
import { failureOf, success } from "../../kernel/api/envelope.ts";
import type { KernelSlice } from "../../kernel/product.ts";
import { streamError } from "./errors.ts";
import type { Intake } from "./intake.ts";
import { CHUNK } from "./limits.ts";
import type { Video, Videos } from "./videos.ts";
import type { Views } from "./views.ts";

const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "POST, HEAD, PATCH, OPTIONS",
  "access-control-allow-headers": "*",
  "access-control-expose-headers": "Location, Upload-Offset, Upload-Length, Tus-Resumable, Tus-Version, Stream-Media-Id",
  "access-control-max-age": "86400",
};
export const TUS = { "tus-resumable": "1.0.0", "tus-version": "1.0.0", "tus-extension": "creation" };

type TusVideo = Video & { readonly source: { readonly kind: "tus"; readonly length: number } };

export interface TusDoor {
  /** Where a resumable upload stands. */
  head(uid: string): Promise<Response>;
  patch(uid: string, headers: Headers, body: AsyncIterable<Uint8Array> | null): Promise<Response>;
}

export function tusDoor(kernel: KernelSlice, videos: Videos, intake: Intake): TusDoor {
  async function find(uid: string): Promise<Video> {
    const video = await videos.find(uid);
    if (video === undefined) throw streamError("uploadGone");
    return video;
  }

  function pending(video: Video): TusVideo {
    if (video.state !== "pendingupload" || video.source?.kind !== "tus") throw streamError("uploadGone");
    if (video.expires !== null && video.expires < kernel.clock.now()) throw streamError("uploadGone");
    return video as TusVideo;
  }

  return {
    async head(uid) {
      const video = await find(uid);
      // A client that did not hear of the last chunk's success asks once more.
      const done = video.state !== "pendingupload" && video.source?.kind !== "upload";
      const length = done ? video.size : pending(video).source.length;
      const offset = done ? video.size : await intake.offset(uid);
      const headers = {
        ...TUS,
        "upload-offset": String(offset),
        "upload-length": String(length),
        "cache-control": "no-store",
        "stream-media-id": uid,
      };
      return new Response(null, { status: 200, headers });
    },
    async patch(uid, headers, body) {
      const idleTimeoutMs = kernel.config["gateway.body_idle_timeout_ms"];
      const chunks = bodyChunks(body, { maxBytes: CHUNK.max, idleTimeoutMs });
      const looked = async (): Promise<{ video: TusVideo; offset: number }> => {
        const video = pending(await find(uid));
        if (headers.get("content-type") !== "application/offset+octet-stream")
          throw streamError("badRequest", "Bad Request: the content type must be application/offset+octet-stream");
        const offset = Number(headers.get("upload-offset") ?? Number.NaN);
        if (!Number.isSafeInteger(offset) || offset < 0)
          throw streamError("badRequest", "Bad Request: Upload-Offset must be a number of bytes");
        const said = Number(headers.get("content-length") ?? Number.NaN);
        const last = offset + said >= video.source.length;
        if (said > CHUNK.max) throw streamError("tooLarge", "Request Entity Too Large: a chunk has at most 209,715,200 bytes");
        if (!Number.isNaN(said) && !last && (said < CHUNK.min || said % CHUNK.multiple !== 0))
          throw streamError("badRequest", "Bad Request: a chunk has at least 5,242,880 bytes, and a multiple of 256 KiB");
        return { video, offset };
      };
      const { video, offset } = await looked().catch(async (error: unknown) => {
        // Read all the same: a client whose body is left lying loses its connection.
        for await (const _ of chunks);
        throw error;
      });
      const at = await intake.append(video, offset, chunks);
      return new Response(null, { status: 204, headers: { ...TUS, "upload-offset": String(at), "stream-media-id": uid } });
    },
  };
}

export function uploadDoor(kernel: KernelSlice, videos: Videos, intake: Intake, tus: TusDoor, views: Views) {
  async function receive(request: IncomingMessage): Promise<Response> {
    const uid = /^\/(?:tus\/)?([0-9a-f]{32})\/?(?:\?|$)/.exec(request.url ?? "")?.[1];
    if (uid === undefined) throw streamError("uploadGone");
    const headers = new Headers(Object.entries(request.headers).map(([name, value]): [string, string] => [name, String(value)]));
    if (request.method === "HEAD") return tus.head(uid);
    if (request.method === "PATCH") return tus.patch(uid, headers, request);
    if (request.method !== "POST") throw streamError("uploadGone");
    // Looked at before the body is read: a stranger gets nothing sent here.
    const video = await videos.find(uid);
    const gone = video?.state !== "pendingupload" || video.source?.kind !== "upload" || (video.expires ?? 0) < kernel.clock.now();
    if (gone || video === undefined) throw streamError("uploadGone");
    const stored = await intake.form(request, headers.get("content-type"), async ({ file }) => {
      const named = video.details.meta.name === undefined && file !== undefined && file.name !== "";
      if (named) await videos.change(uid, { details: { meta: { ...video.details.meta, filename: file.name, name: file.name } } });
      return video;
    });
    return success(views.video(stored));
  }

  return {
    async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
      if (request.method === "OPTIONS") {
        request.resume();
        return void response.writeHead(204, { ...CORS, ...TUS, "tus-max-size": String(CHUNK.max) }).end();
      }
      const answer = await receive(request).catch((error: unknown) => failureOf(error, "stream.upload", kernel.log));
      if (!request.complete) request.resume();
      const body = Buffer.from(await answer.arrayBuffer());
      response.writeHead(answer.status, { ...Object.fromEntries(answer.headers), ...CORS, "content-length": body.byteLength });
      response.end(request.method === "HEAD" ? undefined : body);
    },
  };
}
