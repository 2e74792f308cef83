/**
 * The XML bodies of requests as typed values. Throws MalformedXML for whatever is not the documented form;
 * values are checked for type and form here, for meaning by who stores them.
 */
import { invalidArgument, malformedXml } from "./errors.ts";
import { children, childText, onlyChildren, parseXml, type XmlNode } from "./xml.ts";

/** Largest XML body: 10,000 parts with a checksum each, or 1,000 longest keys, escaped. */
export const XML_BODY_MAX_BYTES = 8 * 1024 * 1024;

/** Keys of one DeleteObjects. */
export const DELETE_KEYS_MAX = 1000;

export interface CompletedPart {
  readonly partNumber: number;
  readonly etag: string;
  /** Checksums by element name, as sent: "ChecksumCRC32" and so on. */
  readonly checksums: Readonly<Record<string, string>>;
}

const required = <T>(value: T | undefined): T => {
  if (value === undefined) throw malformedXml();
  return value;
};

/** Parts in the order sent; quotes around an ETag are optional (MinIO's client leaves them out). */
export function parseCompleteMultipartUpload(text: string): CompletedPart[] {
  const parts = children(parseXml(text, "CompleteMultipartUpload"), "Part").map((part) => {
    const number = Number(required(childText(part, "PartNumber")));
    if (!Number.isInteger(number)) throw malformedXml();
    const checksums: Record<string, string> = {};
    for (const name of ["ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256"]) {
      const value = childText(part, name);
      if (value !== undefined) checksums[name] = value;
    }
    const etag = required(childText(part, "ETag")).trim().replace(/^"|"$/g, "");
    return { partNumber: number, etag, checksums };
  });
  if (parts.length === 0) throw malformedXml();
  return parts;
}

/** `quiet` is checked and then without effect, as on R2: every key is reported. */
export function parseDelete(text: string): { keys: string[]; quiet: boolean } {
  const root = parseXml(text, "Delete");
  const keys = children(root, "Object").map((object) => {
    if (childText(object, "VersionId") !== undefined) throw invalidArgument("VersionId");
    return required(childText(object, "Key"));
  });
  if (keys.length === 0 || keys.length > DELETE_KEYS_MAX) throw malformedXml();
  const quiet = childText(root, "Quiet") ?? "false";
  if (quiet !== "true" && quiet !== "false") throw malformedXml();
  return { keys, quiet: quiet === "true" };
}

/** The location constraint of CreateBucket; undefined for an empty body or none. */
export function parseCreateBucket(text: string): { location: string | undefined } {
  if (text.trim() === "") return { location: undefined };
  const root = parseXml(text, "CreateBucketConfiguration");
  return { location: childText(root, "LocationConstraint")?.trim() || undefined };
}

export interface S3CorsRule {
  readonly id: string | undefined;
  readonly origins: readonly string[];
  readonly methods: readonly string[];
  readonly headers: readonly string[];
  readonly exposeHeaders: readonly string[];
  readonly maxAgeSeconds: number | undefined;
}

const texts = (node: XmlNode, name: string): string[] =>
  children(node, name).map((child) => {
    if (typeof child !== "string") throw malformedXml();
    return child;
  });

/** Rejects unknown elements (docs/r2/platform/release-notes 2022-11-30). */
export function parseCors(text: string): S3CorsRule[] {
  const root = parseXml(text, "CORSConfiguration");
  onlyChildren(root, ["CORSRule"]);
  const rules = children(root, "CORSRule").map((rule) => {
    onlyChildren(rule, ["ID", "AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader", "MaxAgeSeconds"]);
    const age = childText(rule, "MaxAgeSeconds");
    if (age !== undefined && !/^\d+$/.test(age)) throw malformedXml();
    return {
      id: childText(rule, "ID"),
      origins: texts(rule, "AllowedOrigin"),
      methods: texts(rule, "AllowedMethod"),
      headers: texts(rule, "AllowedHeader"),
      exposeHeaders: texts(rule, "ExposeHeader"),
      maxAgeSeconds: age === undefined ? undefined : Number(age),
    };
  });
  if (rules.length === 0 || rules.some((rule) => rule.origins.length === 0 || rule.methods.length === 0)) throw malformedXml();
  return rules;
}

export interface S3LifecycleRule {
  readonly id: string | undefined;
  readonly enabled: boolean;
  readonly prefix: string;
  readonly expiration: { readonly days: number } | { readonly date: string } | undefined;
  readonly transitions: readonly { readonly when: { readonly days: number } | { readonly date: string }; readonly storageClass: string }[];
  readonly abortDays: number | undefined;
}

function days(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) throw malformedXml();
  return Number(text);
}

function moment(node: XmlNode): { days: number } | { date: string } {
  const [count, date] = [days(childText(node, "Days")), childText(node, "Date")];
  if ((count === undefined) === (date === undefined)) throw malformedXml();
  if (count !== undefined) return { days: count };
  if (Number.isNaN(Date.parse(date as string))) throw malformedXml();
  return { date: new Date(date as string).toISOString() };
}

/** Filters other than by prefix do not exist on R2 and are malformed here. */
export function parseLifecycle(text: string): S3LifecycleRule[] {
  const root = parseXml(text, "LifecycleConfiguration");
  onlyChildren(root, ["Rule"]);
  const rules = children(root, "Rule").map((rule) => {
    onlyChildren(rule, ["ID", "Status", "Prefix", "Filter", "Expiration", "Transition", "AbortIncompleteMultipartUpload"]);
    const status = childText(rule, "Status");
    if (status !== "Enabled" && status !== "Disabled") throw malformedXml();
    const [filter] = children(rule, "Filter");
    if (filter !== undefined) onlyChildren(filter, ["Prefix"]);
    const [expiration] = children(rule, "Expiration");
    const [abort] = children(rule, "AbortIncompleteMultipartUpload");
    return {
      id: childText(rule, "ID"),
      enabled: status === "Enabled",
      prefix: (filter && childText(filter, "Prefix")) ?? childText(rule, "Prefix") ?? "",
      expiration: expiration === undefined ? undefined : moment(expiration),
      transitions: children(rule, "Transition").map((transition) => ({
        when: moment(transition),
        storageClass: required(childText(transition, "StorageClass")),
      })),
      abortDays: abort === undefined ? undefined : required(days(childText(abort, "DaysAfterInitiation"))),
    };
  });
  if (rules.length === 0) throw malformedXml();
  return rules;
}

/** The default encryption of a bucket; which algorithms there are is the caller's to say. */
export function parseEncryption(text: string): { algorithm: string } {
  const root = parseXml(text, "ServerSideEncryptionConfiguration");
  const [rule, second] = children(root, "Rule");
  if (rule === undefined || second !== undefined) throw malformedXml();
  const [byDefault] = children(rule, "ApplyServerSideEncryptionByDefault");
  return { algorithm: required(byDefault && childText(byDefault, "SSEAlgorithm")) };
}
