/**
 * Behind the class of the binding `images`: passes its forms on to the platform, and has the methods of `env.IMAGES.hosted`,
 * which the class calls by RPC (`HostedImagesBinding` in the types of Workers). Trusted; user code reaches it by the class alone.
 */
import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

interface Env {
  readonly PLATFORM: Fetcher;
  readonly HOSTED: Fetcher;
}

const URL_BASE = "http://images";

/** A call of the platform; its errors are thrown with their number, as the class throws its own. */
async function call(hosted: Fetcher, name: string, options: unknown, body?: BodyInit | null): Promise<Response> {
  const url = `${URL_BASE}/${name}?${new URLSearchParams({ options: JSON.stringify(options ?? {}) })}`;
  const response = await hosted.fetch(url, { method: "POST", ...(body !== undefined && { body }) });
  if (response.ok) return response;
  const { code, message } = (await response.json()) as { code: number; message: string };
  throw Object.assign(new Error(`IMAGES_HOSTED_ERROR ${code}: ${message}`), { code });
}

class Image extends RpcTarget {
  readonly #hosted: Fetcher;
  readonly #id: string;

  constructor(hosted: Fetcher, id: string) {
    super();
    this.#hosted = hosted;
    this.#id = id;
  }

  async details(): Promise<unknown> {
    return (await call(this.#hosted, "details", { id: this.#id })).json();
  }

  async bytes(): Promise<ReadableStream | null> {
    const response = await call(this.#hosted, "bytes", { id: this.#id });
    return response.status === 204 ? null : response.body;
  }

  async signedUrl(options: object): Promise<unknown> {
    return (await call(this.#hosted, "signed-url", { ...options, id: this.#id })).json();
  }

  async update(options: object): Promise<unknown> {
    return (await call(this.#hosted, "update", { ...options, id: this.#id })).json();
  }

  async delete(): Promise<unknown> {
    return (await call(this.#hosted, "delete", { id: this.#id })).json();
  }
}

export default class Images extends WorkerEntrypoint<Env> {
  override fetch(request: Request): Promise<Response> {
    return this.env.PLATFORM.fetch(request);
  }

  image(id: string): Image {
    return new Image(this.env.HOSTED, String(id));
  }

  async upload(image: ReadableStream<Uint8Array> | ArrayBuffer, options?: object): Promise<unknown> {
    return (await call(this.env.HOSTED, "upload", options, image)).json();
  }

  async list(options?: object): Promise<unknown> {
    return (await call(this.env.HOSTED, "list", options)).json();
  }

  async createDirectUpload(options?: object): Promise<unknown> {
    return (await call(this.env.HOSTED, "direct-upload", options)).json();
  }
}
