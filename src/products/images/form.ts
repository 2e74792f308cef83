/** Forms that upload images: `multipart/form-data` with `file` or `url`, and what is said of the image. */
import { parseJson, readBody } from "../../kernel/api/body.ts";
import { imagesError } from "./errors.ts";
import type { Description, Upload } from "./hosted.ts";
import { HOSTED_MAX_BYTES } from "./limits.ts";

/** What a form may have besides its file. */
const REST_MAX_BYTES = 1024 * 1024;

export interface UploadForm extends Description {
  readonly upload?: Upload | undefined;
  readonly url?: string | undefined;
  readonly expiry?: string | undefined;
}

/** Throws `images.notForm` for a body that is none, `images.tooLarge` for one that cannot be an image's. */
export async function uploadForm(
  body: AsyncIterable<Uint8Array> | null,
  contentType: string | null,
  idleTimeoutMs: number,
): Promise<UploadForm> {
  const limits = { maxBytes: HOSTED_MAX_BYTES + REST_MAX_BYTES, idleTimeoutMs };
  const bytes = await readBody(body, limits).catch((error: unknown) => {
    throw (error as { code?: string }).code === "platform.bodyTooLarge" ? imagesError("tooLarge") : error;
  });
  // Read first: a client whose body is left lying loses its connection.
  if (!/^multipart\/form-data\s*;/i.test(contentType ?? "")) throw imagesError("notForm");
  const form = await new Response(new Uint8Array(bytes), { headers: { "content-type": contentType as string } })
    .formData()
    .catch((cause: unknown) => {
      throw imagesError("badRequest", "The form cannot be read", { cause });
    });
  return formOf(form);
}

async function formOf(form: FormData): Promise<UploadForm> {
  const text = (name: string): string | undefined => {
    const value = form.get(name);
    return typeof value === "string" ? value : undefined;
  };
  const file = form.get("file");
  const signed = text("requireSignedURLs");
  if (signed !== undefined && signed !== "true" && signed !== "false") throw imagesError("badRequest", "requireSignedURLs: true or false");
  return {
    ...{ id: text("id"), url: text("url"), creator: text("creator"), expiry: text("expiry"), metadata: metadataOf(form, text("metadata")) },
    requireSignedURLs: signed === undefined ? undefined : signed === "true",
    upload: file instanceof File ? { bytes: Buffer.from(await file.arrayBuffer()), filename: file.name } : undefined,
  };
}

/** JSON under `metadata` or, as SDKs send it, a field for each member: `metadata[key]`. */
function metadataOf(form: FormData, json: string | undefined): unknown {
  if (json !== undefined) return parseJson(json);
  const members = [...form].flatMap(([name, value]): [string[], string][] => {
    const path = /^metadata((?:\[[^\]]+\])+)$/.exec(name)?.[1];
    return path === undefined || typeof value !== "string" ? [] : [[path.slice(1, -1).split("]["), value]];
  });
  if (members.length === 0) return undefined;
  const metadata: Record<string, unknown> = Object.create(null);
  for (const [path, value] of members) {
    let at = metadata;
    for (const name of path.slice(0, -1)) {
      if (typeof at[name] !== "object") at[name] = Object.create(null);
      at = at[name] as Record<string, unknown>;
    }
    at[path.at(-1) as string] = value;
  }
  return { ...metadata };
}
