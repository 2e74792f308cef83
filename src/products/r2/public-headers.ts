/** Headers of an object for plain HTTP: its metadata and validators, nothing of S3. */
import type { StoredObject } from "./model.ts";

/** A value that a header can carry; others are left out. */
const usable = (value: string | undefined): value is string => value !== undefined && /^[\t\x20-\x7e]*$/.test(value);

export function httpHeaders(object: StoredObject): Headers {
  const { contentType, contentLanguage, contentDisposition, contentEncoding, cacheControl, cacheExpiry } = object.http;
  const headers = new Headers({
    etag: `"${object.etag}"`,
    "last-modified": new Date(object.uploaded).toUTCString(),
    "accept-ranges": "bytes",
    "content-type": usable(contentType) ? contentType : "application/octet-stream",
  });
  if (usable(contentLanguage)) headers.set("content-language", contentLanguage);
  if (usable(contentDisposition)) headers.set("content-disposition", contentDisposition);
  if (usable(contentEncoding)) headers.set("content-encoding", contentEncoding);
  if (usable(cacheControl)) headers.set("cache-control", cacheControl);
  if (cacheExpiry !== undefined) headers.set("expires", new Date(cacheExpiry).toUTCString());
  return headers;
}
