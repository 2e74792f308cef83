/** What R2 keeps about buckets and objects, as values. Rows are read into these in one place, `rows.ts`. */
import type { BlobId } from "../../kernel/blobs/blobs.ts";
import type { ChecksumAlgorithm } from "../../protocols/s3/index.ts";

export const jurisdictions = ["default", "eu", "us", "fedramp", "fedramp-high"] as const;
export type Jurisdiction = (typeof jurisdictions)[number];

/** Names in the REST API and the binding; S3 writes STANDARD and STANDARD_IA. */
export const storageClasses = ["Standard", "InfrequentAccess"] as const;
export type StorageClass = (typeof storageClasses)[number];

export const locations = ["wnam", "enam", "weur", "eeur", "apac", "oc"] as const;

export interface Bucket {
  /** Random; a bucket that is deleted and created again is another bucket. */
  readonly id: string;
  readonly name: string;
  readonly jurisdiction: Jurisdiction;
  readonly location: string | null;
  readonly storageClass: StorageClass;
  /** Milliseconds since the epoch. */
  readonly created: number;
}

export interface HttpMetadata {
  readonly contentType?: string;
  readonly contentLanguage?: string;
  readonly contentDisposition?: string;
  readonly contentEncoding?: string;
  readonly cacheControl?: string;
  /** Milliseconds since the epoch. */
  readonly cacheExpiry?: number;
}

export type CustomMetadata = Readonly<Record<string, string>>;

/** Digests of the whole object in hex. MD5 is there for every object that was not uploaded in parts. */
export type DigestName = "md5" | "sha1" | "sha256" | "sha384" | "sha512" | "crc32" | "crc32c" | "crc64nvme";
export type Digests = Readonly<Partial<Record<DigestName, string>>>;

/** The checksum that the S3 API shows. Composite ones are over the parts' checksums: `base64-N`. */
export interface S3Checksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly type: "FULL_OBJECT" | "COMPOSITE";
  readonly value: string;
}

export interface Checksums {
  readonly digests: Digests;
  readonly s3?: S3Checksum;
}

/** Encryption with the customer's key: the key itself is never kept. */
export interface SsecMark {
  /** MD5 of the key in hex: tells whether a key is the right one. */
  readonly keyMd5: string;
  /** Initial counter block of AES-256-CTR in hex. */
  readonly iv: string;
}

export interface StoredObject {
  readonly bucketId: string;
  /** NFC form: the object's identity (docs/r2/reference/unicode-interoperability). */
  readonly key: string;
  /** The key as it was last spelled. */
  readonly name: string;
  readonly version: string;
  /** Bytes. */
  readonly size: number;
  /** Without quotes. */
  readonly etag: string;
  /** Milliseconds since the epoch. */
  readonly uploaded: number;
  readonly storageClass: StorageClass;
  readonly http: HttpMetadata;
  readonly custom: CustomMetadata;
  readonly checksums: Checksums;
  /** Null when the object is empty, inline or in parts. */
  readonly blob: BlobId | null;
  /** Names the parts in `r2_parts`; null when the object is one blob. */
  readonly uploadId: string | null;
  /** Size in bytes of every part but the last; 0 without parts. */
  readonly partSize: number;
  readonly partCount: number;
  readonly ssec: SsecMark | null;
}

/** An object with what is needed to read it. */
export interface ReadableObject extends StoredObject {
  /** The bytes of a small object, as stored (encrypted under the customer's key). */
  readonly inline: Uint8Array | null;
}

/** What a writer says about a new object. */
export interface ObjectMetadata {
  readonly http: HttpMetadata;
  readonly custom: CustomMetadata;
  /** Absent: the bucket's default. */
  readonly storageClass?: StorageClass;
}
