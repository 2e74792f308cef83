/** Objects of R2 and tables of its data catalog. Interfaces only. */

import type { Readable } from "node:stream";
import type { Principal } from "../api/tokens.ts";

/** Object storage for other products: buckets of the account, without credentials of their own. */
export interface Objects {
  bucketExists(bucket: string): Promise<boolean>;
  /** Adds the file as an object (it is moved). Durable and visible when the promise resolves. */
  putFile(bucket: string, key: string, path: string, contentType: string): Promise<ObjectInfo>;
  put(
    bucket: string,
    key: string,
    bytes: Uint8Array,
    contentType: string,
    options?: { onlyIfAbsent?: boolean },
  ): Promise<ObjectInfo | null>;
  head(bucket: string, key: string): Promise<ObjectInfo | null>;
  /** Undefined when there is no such object. */
  bytes(bucket: string, key: string): Promise<Uint8Array | undefined>;
  read(bucket: string, key: string, range?: { offset: number; length: number }): Promise<Readable | undefined>;
  /** Objects as files on this machine, for DuckDB: all at once, because a query may read thousands. */
  localFiles(bucket: string, keys: readonly string[]): Promise<LocalFiles>;
  /** Keys in byte order under a prefix, after `startAfter`, at most `limit`. */
  list(bucket: string, prefix: string, options?: { startAfter?: string; limit?: number }): Promise<ObjectInfo[]>;
  delete(bucket: string, keys: readonly string[]): Promise<void>;
  /**
   * Names a judge of buckets whose objects are not to be changed by hand: while `managed` says so of a bucket, REST
   * writes of clients that ask first are refused with a code of their own (10081), and go through when they insist.
   */
  guard(managed: (bucket: string) => Promise<boolean>): void;
  /**
   * Short-lived S3 keys with at most the principal's rights on one bucket, for vended credentials.
   * Rights "read" or "write"; a prefix narrows them.
   */
  vend(
    principal: Principal,
    bucket: string,
    rights: "read" | "write",
    options?: { prefix?: string; ttlSeconds?: number },
  ): Promise<S3Credentials>;
}

/** Files that stay as they are until `release`, which must be called. */
export interface LocalFiles {
  /** In the order of the keys; undefined where there is no such object. */
  readonly files: readonly ({ readonly path: string; readonly size: number } | undefined)[];
  release(): Promise<void>;
}

export interface ObjectInfo {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  readonly uploadedAt: number;
  /** What its uploader has noted of it. */
  readonly customMetadata: Readonly<Record<string, string>>;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/**
 * Iceberg tables of a bucket's catalog. Table metadata is the JSON of the Iceberg specification
 * (`src/protocols/iceberg/metadata.ts` has its types; it is `unknown` here so that capabilities stay free of formats).
 */
export interface Tables {
  /** True when the bucket has an active catalog. */
  enabled(bucket: string): Promise<boolean>;
  /** Namespace paths ("a.b" is ["a", "b"]); children of `parent`, or the top level. */
  namespaces(bucket: string, parent?: readonly string[]): Promise<string[][]>;
  /** Undefined when the namespace does not exist. */
  tables(bucket: string, namespace: readonly string[]): Promise<string[] | undefined>;
  /** Current metadata, or undefined. Always the newest commit. */
  load(bucket: string, namespace: readonly string[], table: string): Promise<LoadedTable | undefined>;
  /** Creates the namespace if it is missing, then the table. Rejects with `catalog.tableExists` when there is one. */
  create(bucket: string, namespace: readonly string[], table: string, definition: NewTable): Promise<LoadedTable>;
  /**
   * Applies Iceberg updates if every requirement holds, as `POST …/tables/{t}` does; rejects with
   * `catalog.commitFailed` (409) otherwise. Visible to all readers when the promise resolves.
   */
  commit(
    bucket: string,
    namespace: readonly string[],
    table: string,
    requirements: readonly unknown[],
    updates: readonly unknown[],
  ): Promise<LoadedTable>;
}

export interface LoadedTable {
  readonly metadataLocation: string;
  /** `TableMetadata` of `src/protocols/iceberg/metadata.ts`. */
  readonly metadata: unknown;
}

export interface NewTable {
  /** Iceberg `Schema` JSON. */
  readonly schema: unknown;
  /** Iceberg `PartitionSpec` JSON. */
  readonly partitionSpec?: unknown;
  readonly properties?: Readonly<Record<string, string>>;
}
