/**
 * Stream and media transformations as Workers see them (`StreamBinding` and `MediaBinding` in the types of Workers), by RPC. Names
 * of members are the binding's, where the REST API behind it has others. Trusted; what it may reach its service says.
 */
import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

interface Env {
  readonly PLATFORM: Fetcher;
}

type Json = Record<string, unknown>;

const BASE = "http://stream";

/** Numbers of the REST API, and what the binding calls them. */
const NAMES: Readonly<Record<number, string>> = {
  10003: "NotFoundError",
  10005: "BadRequestError",
  10006: "MaxFileSizeError",
  10008: "RateLimitedError",
  10010: "InvalidURLError",
  10011: "QuotaReachedError",
};

function failure(status: number, code: number, message: string): Error {
  const name = NAMES[code] ?? (status >= 500 ? "InternalError" : status === 404 ? "NotFoundError" : "StreamError");
  return Object.assign(new Error(message), { name, code, statusCode: status });
}

/** An operation of the REST API below `/stream`. */
async function ask<T>({ PLATFORM }: Env, method: string, path: string, body?: unknown, query: Json = {}): Promise<T> {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== null) parameters.set(name, String(value));
  return result(
    await PLATFORM.fetch(`${BASE}${path}?${parameters}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    }),
  );
}

async function result<T>(answer: Response): Promise<T> {
  const envelope = (await answer.json().catch(() => ({}))) as { result?: T; errors?: { code: number; message: string }[] };
  if (answer.ok) return envelope.result as T;
  const { code = 0, message = `the platform answered ${answer.status}` } = envelope.errors?.[0] ?? {};
  throw failure(answer.status, code, message);
}

/** A form with one file, which streams through. */
async function send<T>(
  { PLATFORM }: Env,
  method: string,
  path: string,
  input: ReadableStream<Uint8Array>,
  file: { readonly name: string; readonly type: string },
  fields: Json = {},
): Promise<T> {
  const boundary = crypto.randomUUID();
  const part = (name: string, more = ""): string => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${more}\r\n`;
  const head = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${part(name)}\r\n${value}\r\n`)
    .join("");
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const encoder = new TextEncoder();
  const write = async (text: string): Promise<void> => {
    const writer = writable.getWriter();
    await writer.write(encoder.encode(text));
    writer.releaseLock();
  };
  const writing = (async () => {
    await write(`${head}${part("file", `; filename="${file.name}"`)}Content-Type: ${file.type}\r\n\r\n`);
    await input.pipeTo(writable, { preventClose: true });
    await write(`\r\n--${boundary}--\r\n`);
    await writable.close();
  })();
  // A form that is refused is not read to its end: the answer says why.
  writing.catch(() => undefined);
  const headers = { "content-type": `multipart/form-data; boundary=${boundary}` };
  return result(await PLATFORM.fetch(`${BASE}${path}`, { method, body: readable, headers }));
}

const watermarkOf = (found: unknown): unknown => {
  if (found === null || found === undefined) return null;
  const { uid, ...rest } = found as Json;
  return { id: uid, ...rest };
};

function videoOf(found: Json): Json {
  const { uid, playback, watermark, liveInput = null, clippedFrom = null, ...rest } = found;
  const { hls, dash } = playback as { hls: string; dash: string };
  return {
    ...{ id: uid, ...rest, hlsPlaybackUrl: hls, dashPlaybackUrl: dash },
    ...{ watermark: watermarkOf(watermark), liveInputId: liveInput, clippedFromId: clippedFrom },
  };
}

const path = (...names: readonly unknown[]): string => names.map((name) => `/${encodeURIComponent(String(name))}`).join("");

class Downloads extends RpcTarget {
  readonly #env: Env;
  readonly #id: string;
  constructor(env: Env, id: string) {
    super();
    this.#env = env;
    this.#id = id;
  }
  async generate(type = "default"): Promise<unknown> {
    await ask(this.#env, "POST", path(this.#id, "downloads", type), {});
    return this.get();
  }
  get(): Promise<unknown> {
    return ask(this.#env, "GET", path(this.#id, "downloads"));
  }
  async delete(type = "default"): Promise<void> {
    await ask(this.#env, "DELETE", path(this.#id, "downloads", type));
  }
}

class Captions extends RpcTarget {
  readonly #env: Env;
  readonly #id: string;
  constructor(env: Env, id: string) {
    super();
    this.#env = env;
    this.#id = id;
  }
  upload(language: string, input: ReadableStream<Uint8Array>): Promise<unknown> {
    return send(this.#env, "PUT", path(this.#id, "captions", language), input, { name: "captions.vtt", type: "text/vtt" });
  }
  generate(language: string): Promise<unknown> {
    return ask(this.#env, "POST", `${path(this.#id, "captions", language)}/generate`, {});
  }
  async list(language?: string): Promise<unknown> {
    if (language === undefined) return ask(this.#env, "GET", path(this.#id, "captions"));
    return [await ask(this.#env, "GET", path(this.#id, "captions", language))];
  }
  async delete(language: string): Promise<void> {
    await ask(this.#env, "DELETE", path(this.#id, "captions", language));
  }
}

class Video extends RpcTarget {
  readonly #env: Env;
  readonly #id: string;
  constructor(env: Env, id: string) {
    super();
    this.#env = env;
    this.#id = id;
  }
  get id(): string {
    return this.#id;
  }
  get downloads(): Downloads {
    return new Downloads(this.#env, this.#id);
  }
  get captions(): Captions {
    return new Captions(this.#env, this.#id);
  }
  async details(): Promise<unknown> {
    return videoOf(await ask(this.#env, "GET", path(this.#id)));
  }
  async update(params: Json): Promise<unknown> {
    return videoOf(await ask(this.#env, "POST", path(this.#id), params));
  }
  async delete(): Promise<void> {
    await ask(this.#env, "DELETE", path(this.#id));
  }
  async generateToken(): Promise<string> {
    return (await ask<{ token: string }>(this.#env, "POST", `${path(this.#id)}/token`, {})).token;
  }
}

class Videos extends RpcTarget {
  readonly #env: Env;
  constructor(env: Env) {
    super();
    this.#env = env;
  }
  async list({ limit, before, after }: Json = {}): Promise<unknown> {
    return (await ask<Json[]>(this.#env, "GET", "", undefined, { limit, before, after })).map(videoOf);
  }
}

class Watermarks extends RpcTarget {
  readonly #env: Env;
  constructor(env: Env) {
    super();
    this.#env = env;
  }
  async generate(input: ReadableStream<Uint8Array> | string, params: Json = {}): Promise<unknown> {
    const made =
      typeof input === "string"
        ? await ask(this.#env, "POST", "/watermarks", { ...params, url: input })
        : await send(this.#env, "POST", "/watermarks", input, { name: "watermark.png", type: "image/png" }, params);
    return watermarkOf(made);
  }
  async list(): Promise<unknown> {
    return (await ask<Json[]>(this.#env, "GET", "/watermarks")).map(watermarkOf);
  }
  async get(id: string): Promise<unknown> {
    return watermarkOf(await ask(this.#env, "GET", path("watermarks", id)));
  }
  async delete(id: string): Promise<void> {
    await ask(this.#env, "DELETE", path("watermarks", id));
  }
}

export class Stream extends WorkerEntrypoint<Env> {
  video(id: string): Video {
    return new Video(this.env, String(id));
  }
  get videos(): Videos {
    return new Videos(this.env);
  }
  get watermarks(): Watermarks {
    return new Watermarks(this.env);
  }
  async upload(input: string | ReadableStream<Uint8Array>, params: Json = {}): Promise<unknown> {
    const { watermarkId, ...rest } = params;
    const watermark = watermarkId === undefined ? {} : { watermark: { uid: watermarkId } };
    if (typeof input === "string") return videoOf(await ask(this.env, "POST", "/copy", { url: input, ...rest, ...watermark }));
    // Documented: watermarks are not for uploads in one request.
    if (watermarkId !== undefined) throw failure(400, 10005, "Bad Request: watermarkId is for videos that are uploaded by URL");
    const made = await send<Json>(this.env, "POST", "", input, { name: "video.mp4", type: "video/mp4" });
    return videoOf(Object.keys(rest).length === 0 ? made : await ask(this.env, "POST", path(made.uid), rest));
  }
  async createDirectUpload({ watermark, ...params }: Json = {}): Promise<unknown> {
    const given = watermark === undefined ? {} : { watermark: { uid: (watermark as Json).id } };
    const { uid, ...made } = await ask<Json>(this.env, "POST", "/direct_upload", { ...params, ...given });
    return { ...made, id: uid, watermark: watermarkOf(made.watermark) };
  }
}

/** What comes out is made once, however it is asked for. */
class MediaResult extends RpcTarget {
  readonly #make: () => Promise<Response>;
  #made: Promise<Response> | undefined;
  constructor(make: () => Promise<Response>) {
    super();
    this.#make = make;
  }
  response(): Promise<Response> {
    this.#made ??= this.#make();
    return this.#made;
  }
  async media(): Promise<ReadableStream<Uint8Array> | null> {
    return (await this.response()).body;
  }
  async contentType(): Promise<string | null> {
    return (await this.response()).headers.get("content-type");
  }
}

class MediaTransformer extends RpcTarget {
  readonly #env: Env;
  readonly #media: ReadableStream<Uint8Array>;
  readonly #options: Json;
  constructor(env: Env, media: ReadableStream<Uint8Array>, options: Json = {}) {
    super();
    this.#env = env;
    this.#media = media;
    this.#options = options;
  }
  transform({ fit, width, height }: Json = {}): MediaTransformer {
    return new MediaTransformer(this.#env, this.#media, { ...this.#options, fit, width, height });
  }
  output({ mode, audio, time, duration, imageCount, format }: Json = {}): MediaResult {
    const options = { ...this.#options, mode, audio, time, duration, imageCount, format };
    return new MediaResult(async () => {
      const url = `${BASE}/?${new URLSearchParams({ options: JSON.stringify(options) })}`;
      const answer = await this.#env.PLATFORM.fetch(url, { method: "POST", body: this.#media });
      if (answer.ok) return answer;
      const { code, message } = (await answer.json()) as { code: number; message: string };
      throw Object.assign(new Error(`MEDIA_TRANSFORMATION_ERROR ${code}: ${message}`), { code });
    });
  }
}

export class Media extends WorkerEntrypoint<Env> {
  input(media: ReadableStream<Uint8Array>): MediaTransformer {
    return new MediaTransformer(this.env, media);
  }
}

export default Stream;
