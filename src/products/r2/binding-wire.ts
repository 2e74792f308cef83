/** Values of the binding's protocol: how an object and an answer look to workerd's classes. */
import type { ServerResponse } from "node:http";
import type { StoredObject } from "./model.ts";

/** Thrown by a read whose condition failed: the answer carries the object's metadata all the same. */
export class ConditionFailed extends Error {
  readonly object: StoredObject;
  constructor(object: StoredObject) {
    super("precondition failed");
    this.object = object;
  }
}

/** An answer that is metadata alone. */
export function sendJson(response: ServerResponse, value: unknown, status = 200, headers: Record<string, string> = {}): void {
  const body = Buffer.from(JSON.stringify(value));
  response
    .writeHead(status, {
      ...headers,
      "cf-r2-metadata-size": body.length,
      "content-type": "application/json",
      "content-length": body.length,
    })
    .end(body);
}

const WIRE_DIGESTS = ["md5", "sha1", "sha256", "sha384", "sha512"] as const;

/** An object as workerd's classes read it. Numbers are decimal text where they may pass 2^53 on their side. */
export function headResponse(
  object: StoredObject,
  options: { range?: { offset: number; length: number }; http?: boolean; custom?: boolean } = {},
): Record<string, unknown> {
  const { http = true, custom = true, range } = options;
  const checksums = WIRE_DIGESTS.flatMap((name, i) => {
    const hex = object.checksums.digests[name];
    return hex === undefined ? [] : [[String(i), hex] as const];
  });
  return {
    name: object.name,
    version: object.version,
    size: String(object.size),
    etag: object.etag,
    uploaded: String(object.uploaded),
    storageClass: object.storageClass,
    checksums: Object.fromEntries(checksums),
    ...(range && { range: { offset: String(range.offset), length: String(range.length) } }),
    ...(http && {
      httpFields: { ...object.http, ...(object.http.cacheExpiry !== undefined && { cacheExpiry: String(object.http.cacheExpiry) }) },
    }),
    ...(custom && { customFields: Object.entries(object.custom).map(([k, v]) => ({ k, v })) }),
    ...(object.ssec && { ssec: { algorithm: "AES256", keyMd5: object.ssec.keyMd5 } }),
  };
}
