/**
 * Reads that go on to the Sippy source when the bucket has no such object. What is read whole is served while it is
 * copied; for a part, the part is served and the whole copied beside it. A copy becomes visible when all of it is there,
 * and only while the key is still free: a write that came meanwhile stays. Looking at metadata copies nothing.
 */
import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { BlobRange } from "../../kernel/blobs/blobs.ts";
import { PlatformError } from "../../kernel/errors.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import { keyIdentity } from "./limits.ts";
import type { Bucket, StoredObject } from "./model.ts";
import { getObject, headObject, newVersion, putObject } from "./objects.ts";
import type { SippySource, SourceObject } from "./sippy-source.ts";
import type { SsecKey } from "./ssec.ts";

/** `headObject`, and for a bucket with Sippy the source's metadata. */
export async function headThrough(r2: R2, bucket: Bucket, name: string): Promise<StoredObject | undefined> {
  const found = await headObject(r2, bucket, name);
  const source = found === undefined ? r2.sippy.source(bucket.id) : undefined;
  if (source === undefined) return found;
  const object = await asked(r2, bucket, source.head(name));
  return object && foreignObject(bucket, name, object);
}

/** `getObject`, and for a bucket with Sippy the source's object, which is copied. `metadataOnly` reads no byte of it. */
export async function getThrough(
  r2: R2,
  bucket: Bucket,
  name: string,
  choose: (object: StoredObject) => BlobRange | undefined,
  options: { readonly key?: SsecKey | undefined; readonly metadataOnly?: boolean } = {},
): ReturnType<typeof getObject> {
  const found = await getObject(r2, bucket, name, choose, options.key);
  const source = found === undefined && options.key === undefined ? r2.sippy.source(bucket.id) : undefined;
  if (source === undefined) return found;
  if (options.metadataOnly) {
    const known = await asked(r2, bucket, source.head(name));
    if (known === undefined) return undefined;
    const object = foreignObject(bucket, name, known);
    const range = choose(object);
    return range === undefined ? { object, body: undefined } : { object, range, body: Readable.from([]) };
  }
  const answer = await asked(r2, bucket, source.get(name));
  if (answer === undefined) return undefined;
  const { body: whole } = answer;
  try {
    const object = foreignObject(bucket, name, answer.object);
    const range = choose(object);
    if (range === undefined) {
      whole.destroy();
      return { object, body: undefined };
    }
    if (range.offset === 0 && range.length === object.size) return { object, range, body: serveAndCopy(r2, bucket, name, answer) };
    const body = await servePart(r2, bucket, source, name, range);
    if (body === undefined) {
      whole.destroy();
      return undefined;
    }
    if (!startCopy(r2, bucket, name, answer.object, whole)) whole.destroy();
    return { object, range, body };
  } catch (error) {
    whole.destroy();
    throw error;
  }
}

/** The source's answer; whatever is wrong there is the source's fault, not the caller's. */
async function asked<T>(r2: R2, bucket: Bucket, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    r2.log.warn("r2.sippy_source_failed", { bucket: bucket.name, error });
    throw r2Error("serviceUnavailable", "The source bucket of Sippy cannot be read.", { cause: error });
  }
}

/** An object of the source as one of ours that is not stored. */
function foreignObject(bucket: Bucket, name: string, { size, etag, modified, custom }: SourceObject): StoredObject {
  return {
    bucketId: bucket.id,
    key: keyIdentity(name),
    name,
    version: newVersion(),
    size,
    etag,
    uploaded: modified,
    storageClass: bucket.storageClass,
    http: {},
    custom,
    checksums: { digests: {} },
    blob: null,
    uploadId: null,
    partSize: 0,
    partCount: 0,
    ssec: null,
  };
}

async function servePart(r2: R2, bucket: Bucket, source: SippySource, name: string, range: BlobRange): Promise<Readable | undefined> {
  if (range.length === 0) return Readable.from([]);
  return (await asked(r2, bucket, source.get(name, range)))?.body;
}

/** Copies what is left of a stream; false when no copy can be made now, and then the stream is untouched. */
function startCopy(r2: R2, bucket: Bucket, name: string, object: SourceObject, chunks: Readable, tee?: PassThrough): boolean {
  return r2.sippy.copy(bucket.id, keyIdentity(name), async (signal) => {
    const end = () => void chunks.destroy(new Error("the platform stops"));
    signal.addEventListener("abort", end, { once: true });
    try {
      await putObject(
        r2,
        bucket,
        name,
        { chunks: tee === undefined ? chunks : teed(chunks, tee), length: object.size },
        { http: {}, custom: object.custom, condition: { etagDoesNotMatch: [{ type: "wildcard" }] } },
      );
    } catch (error) {
      const written = error instanceof PlatformError && error.code === "r2.preconditionFailed";
      if (!written) r2.log.warn("r2.sippy_copy_failed", { bucket: bucket.name, key: name, error });
      if (!chunks.destroyed && tee === undefined) chunks.destroy();
    } finally {
      signal.removeEventListener("abort", end);
    }
  });
}

function serveAndCopy(r2: R2, bucket: Bucket, name: string, { object, body }: { object: SourceObject; body: Readable }): Readable {
  const client = new PassThrough();
  // Whoever reads hears of a failure; if nobody does any more, it is no event of the process.
  client.on("error", () => undefined);
  return startCopy(r2, bucket, name, object, body, client) ? client : body;
}

/**
 * The chunks, each also given to the client, at the pace of the slower. A client that goes away no longer counts; when the
 * copy is given up, the client still gets the rest.
 */
async function* teed(source: Readable, client: PassThrough): AsyncGenerator<Buffer> {
  let complete = false;
  try {
    for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      // A copy of its own: whoever is first to be done with a chunk gives its memory back.
      if (!client.destroyed && !client.write(Buffer.from(chunk))) await writable(client);
      yield chunk;
    }
    complete = true;
    client.end();
  } catch (error) {
    complete = true;
    client.destroy(error as Error);
    throw error;
  } finally {
    if (!complete) pipeline(source, client).catch(() => undefined);
  }
}

function writable(client: PassThrough): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      client.off("drain", done).off("close", done);
      resolve();
    };
    client.on("drain", done).on("close", done);
  });
}
