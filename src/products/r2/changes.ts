/** What of R2 goes into the audit log. Access to objects does not: docs/r2/platform/audit-logs. */
import type { Change } from "../../kernel/api/audit.ts";

const TYPES = {
  CreateBucket: "create",
  DeleteBucket: "delete",
  AddCustomDomain: "create",
  RemoveCustomDomain: "delete",
  ChangeBucketVisibility: "update",
  PutBucketStorageClass: "update",
  PutBucketLifecycleConfiguration: "update",
  DeleteBucketLifecycleConfiguration: "delete",
  PutBucketCors: "update",
  DeleteBucketCors: "delete",
} as const satisfies Readonly<Record<string, Change["type"]>>;

export const bucketChange = (info: keyof typeof TYPES, bucket: string, newValue: Readonly<Record<string, unknown>> = {}): Change => ({
  info,
  type: TYPES[info],
  resource: { type: "r2.bucket", id: bucket },
  zone: "r2.cloudflarestorage.com",
  newValue,
});
