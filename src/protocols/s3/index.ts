/** The S3 REST protocol: operations, XML, checksums, ranges. Wire format only: no storage, no permissions. */
export * from "./bodies.ts";
export * from "./checksums.ts";
export * from "./detect.ts";
export * from "./errors.ts";
export { type ByteRange, invalidRange, parseCopyRange, parseRange } from "./ranges.ts";
export { decodeRfc2047, encodeRfc2047 } from "./rfc2047.ts";
export { XML_TYPE, type XmlContent, type XmlElement, xmlDocument, xmlError } from "./xml.ts";
