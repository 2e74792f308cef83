/** The binding's writes: put, delete and the steps of a multipart upload. */
import type { ServerResponse } from "node:http";
import { toCondition, toSsecKey, type WireCondition, type WireSsec } from "./binding-reads.ts";
import { headResponse, sendJson } from "./binding-wire.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import type { Body } from "./ingest.ts";
import { type Bucket, type Digests, type HttpMetadata, type ObjectMetadata, type StorageClass, storageClasses } from "./model.ts";
import { abortUpload, createUpload, uploadPart } from "./multipart.ts";
import { completeUpload } from "./multipart-complete.ts";
import { deleteObjects, putObject } from "./objects.ts";

interface WireMetadata {
  readonly object?: string;
  readonly customFields?: readonly { readonly k?: string; readonly v?: string }[];
  readonly httpFields?: Omit<HttpMetadata, "cacheExpiry"> & { readonly cacheExpiry?: string | number };
  readonly storageClass?: string;
  readonly ssec?: WireSsec;
}

export type WriteRequest =
  | (WireMetadata & {
      readonly method: "put";
      readonly onlyIf?: WireCondition;
      /** Base64, the others hex. */
      readonly md5?: string;
      readonly sha1?: string;
      readonly sha256?: string;
      readonly sha384?: string;
      readonly sha512?: string;
    })
  | { readonly method: "delete"; readonly object?: string; readonly objects?: readonly string[] }
  | (WireMetadata & { readonly method: "createMultipartUpload" })
  | {
      readonly method: "uploadPart";
      readonly object?: string;
      readonly uploadId?: string;
      readonly partNumber?: number;
      readonly ssec?: WireSsec;
    }
  | {
      readonly method: "completeMultipartUpload";
      readonly object?: string;
      readonly uploadId?: string;
      readonly parts?: readonly { readonly etag: string; readonly part: number }[];
    }
  | { readonly method: "abortMultipartUpload"; readonly object?: string; readonly uploadId?: string };

export async function writeBinding(r2: R2, bucket: Bucket, request: WriteRequest, body: Body, response: ServerResponse): Promise<void> {
  const name = request.object ?? "";
  switch (request.method) {
    case "put":
      return put(r2, bucket, request, body, response);
    case "delete": {
      const { locked } = await deleteObjects(r2, bucket, request.objects ?? [name]);
      if (locked.length > 0) throw r2Error("objectLocked");
      return sendNothing(response);
    }
    case "createMultipartUpload": {
      const { uploadId } = await createUpload(r2, bucket, name, { ...metadata(request), ssecKey: toSsecKey(request.ssec) });
      return sendJson(response, { uploadId });
    }
    case "uploadPart": {
      const { uploadId = "", partNumber = 0 } = request;
      const part = await uploadPart(r2, bucket, name, uploadId, partNumber, body, { ssecKey: toSsecKey(request.ssec) });
      return sendJson(response, { etag: part.etag });
    }
    case "completeMultipartUpload": {
      const parts = (request.parts ?? []).map(({ part, etag }) => ({ number: part, etag }));
      return sendJson(response, headResponse(await completeUpload(r2, bucket, name, request.uploadId ?? "", parts)));
    }
    case "abortMultipartUpload":
      await abortUpload(r2, bucket, name, request.uploadId ?? "");
      return sendNothing(response);
    default:
      throw r2Error("invalidArgument", "Metadata missing or invalid");
  }
}

const sendNothing = (response: ServerResponse): void => void response.writeHead(200, { "content-length": 0 }).end();

const HASHES = [
  ["md5", "MD5"],
  ["sha1", "SHA-1"],
  ["sha256", "SHA-256"],
  ["sha384", "SHA-384"],
  ["sha512", "SHA-512"],
] as const;

async function put(r2: R2, bucket: Bucket, request: WriteRequest & { method: "put" }, body: Body, response: ServerResponse): Promise<void> {
  const given = HASHES.flatMap(([field, title]) => {
    const value = request[field];
    if (value === undefined) return [];
    return [{ field, title, hex: Buffer.from(value, field === "md5" ? "base64" : "hex").toString("hex") }];
  });
  const object = await putObject(r2, bucket, request.object ?? "", body, {
    ...metadata(request),
    condition: toCondition(request.onlyIf),
    ssecKey: toSsecKey(request.ssec),
    digests: given.map(({ field }) => field),
    verify: (digests: Digests) => {
      for (const { field, title, hex } of given) {
        if (digests[field] === hex) continue;
        throw r2Error(
          "badDigest",
          `The ${title} checksum you specified did not match what we received.\nYou provided a ${title} checksum with value: ${hex}\nActual ${title} was: ${digests[field]}`,
        );
      }
      return undefined;
    },
  });
  sendJson(response, headResponse(object));
}

function metadata(request: WireMetadata): ObjectMetadata {
  const { cacheExpiry, ...http } = request.httpFields ?? {};
  const storageClass = request.storageClass || undefined;
  if (storageClass !== undefined && !storageClasses.includes(storageClass as StorageClass)) throw r2Error("invalidStorageClass");
  return {
    http: { ...http, ...(cacheExpiry !== undefined && { cacheExpiry: Number(cacheExpiry) }) },
    custom: Object.fromEntries((request.customFields ?? []).map(({ k = "", v = "" }) => [k, v])),
    ...(storageClass !== undefined && { storageClass: storageClass as StorageClass }),
  };
}
