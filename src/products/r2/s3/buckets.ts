/** Operations on buckets and their configuration. */
import type { Change } from "../../../kernel/api/audit.ts";
import { parseCors, parseCreateBucket, parseEncryption, parseLifecycle, S3Error, type XmlElement } from "../../../protocols/s3/index.ts";
import { createBucket, deleteBucket, deleteSetting, listBuckets, readSetting, writeSetting } from "../buckets.ts";
import { bucketChange } from "../changes.ts";
import type { CorsRule } from "../cors.ts";
import { checkCorsRules, fromS3Rule } from "../cors.ts";
import { r2Error } from "../errors.ts";
import { checkLifecycleRules, fromS3Lifecycle, type LifecycleRule, lifecycleRules, toS3Lifecycle } from "../lifecycle-rules.ts";
import { locations } from "../model.ts";
import { readText } from "./body.ts";
import { type BucketRequest, header, type S3Request } from "./request.ts";
import { sendEmpty, sendXml } from "./respond.ts";

const LIST_BUCKETS_MAX = 1000;

/** The account as S3 shows owners. */
export const owner = (accountId: string): XmlElement => [
  "Owner",
  [
    ["ID", accountId],
    ["DisplayName", accountId],
  ],
];

/** Paged by query or by R2's own headers, which win (docs/r2/api/s3/extensions, "ListBuckets"). */
export async function listBucketsOperation(c: S3Request): Promise<void> {
  const option = (name: string) => header(c, `cf-${name}`) ?? c.query.get(name);
  const maxKeys = option("max-keys") ?? option("max-buckets");
  const limit = maxKeys === undefined ? LIST_BUCKETS_MAX : Number(maxKeys);
  if (!Number.isInteger(limit) || limit < 0 || limit > LIST_BUCKETS_MAX) throw r2Error("invalidMaxKeys");
  const token = option("continuation-token");
  const startAfter = option("start-after");
  const prefix = option("prefix");
  const { buckets, truncated } = await listBuckets(c.r2, {
    jurisdiction: c.target.jurisdiction,
    prefix,
    startAfter: token === undefined ? startAfter : bucketOfToken(token),
    limit,
  });
  const next = truncated ? tokenOfBucket(buckets.at(-1)?.name ?? "") : undefined;
  const content: XmlElement[] = [
    [
      "Buckets",
      buckets.map(
        (bucket) =>
          [
            "Bucket",
            [
              ["CreationDate", isoDate(bucket.created)],
              ["Name", bucket.name],
            ],
          ] as const,
      ),
    ],
    owner(c.r2.accountId),
    ["Prefix", prefix],
    ["ContinuationToken", next],
  ];
  sendXml(c, "ListAllMyBucketsResult", content, {
    "cf-is-truncated": truncated ? "true" : undefined,
    "cf-next-continuation-token": next,
  });
}

const tokenOfBucket = (name: string): string => Buffer.from(`1${name}`).toString("base64url");

function bucketOfToken(token: string): string {
  const text = Buffer.from(token, "base64url").toString("latin1");
  if (!/^1[a-z0-9-]*$/.test(text)) throw r2Error("invalidArgument", "The continuation token provided is incorrect");
  return text.slice(1);
}

export const isoDate = (ms: number): string => new Date(ms).toISOString();

/** Notes a change in the audit log, before its maker learns that it was made. */
export const record = ({ r2, principal, request }: S3Request, change: Change): Promise<void> =>
  r2.audit.record({ principal, ip: request.socket.remoteAddress ?? "" }, [change]);

export async function createBucketOperation(c: S3Request): Promise<void> {
  const { location } = parseCreateBucket(await readText(c));
  const { target } = c;
  const name = target.bucket as string;
  await createBucket(c.r2, name, { jurisdiction: target.jurisdiction, location: locationHint(location) });
  await record(c, bucketChange("CreateBucket", name));
  sendEmpty(c, 200, { location: `/${name}` });
}

/** "auto" and its aliases mean no hint (docs/r2/platform/release-notes 2022-05-05). */
function locationHint(constraint: string | undefined): string | undefined {
  if (constraint === undefined || constraint === "auto" || constraint === "us-east-1") return undefined;
  const hint = locations.find((location) => location === constraint.toLowerCase());
  if (hint === undefined) {
    throw new S3Error({ status: 400, code: "InvalidLocationConstraint", message: "The specified location constraint is not valid." });
  }
  return hint;
}

export const headBucketOperation = (c: BucketRequest): void => sendEmpty(c, 200, { "x-amz-bucket-region": "auto" });

export async function deleteBucketOperation(c: BucketRequest): Promise<void> {
  await deleteBucket(c.r2, c.bucket);
  await record(c, bucketChange("DeleteBucket", c.bucket.name));
  sendEmpty(c, 204);
}

export const getBucketLocation = (c: BucketRequest): void => sendXml(c, "LocationConstraint", "auto");

// --- CORS --------------------------------------------------------------------------------------------------

export async function getBucketCors(c: BucketRequest): Promise<void> {
  const setting = await readSetting<{ rules: CorsRule[] }>(c.r2.meta, c.bucket.id, "cors");
  if (setting === undefined) throw r2Error("noCorsConfiguration");
  const rules = setting.rules.map(
    (rule): XmlElement => [
      "CORSRule",
      [
        ["ID", rule.id],
        ...rule.allowed.origins.map((origin): XmlElement => ["AllowedOrigin", origin]),
        ...rule.allowed.methods.map((method): XmlElement => ["AllowedMethod", method]),
        ...(rule.allowed.headers ?? []).map((name): XmlElement => ["AllowedHeader", name]),
        ...(rule.exposeHeaders ?? []).map((name): XmlElement => ["ExposeHeader", name]),
        ["MaxAgeSeconds", rule.maxAgeSeconds],
      ],
    ],
  );
  sendXml(c, "CORSConfiguration", rules);
}

export async function putBucketCors(c: BucketRequest): Promise<void> {
  const rules = parseCors(await readText(c)).map(fromS3Rule);
  checkCorsRules(rules);
  await writeSetting(c.r2, c.bucket, "cors", { rules });
  await record(c, bucketChange("PutBucketCors", c.bucket.name, { rules }));
  sendEmpty(c);
}

export async function deleteBucketCors(c: BucketRequest): Promise<void> {
  await deleteSetting(c.r2, c.bucket, "cors");
  await record(c, bucketChange("DeleteBucketCors", c.bucket.name));
  sendEmpty(c, 204);
}

// --- lifecycle ---------------------------------------------------------------------------------------------

export async function getBucketLifecycle(c: BucketRequest): Promise<void> {
  const setting = await readSetting<{ rules: LifecycleRule[] }>(c.r2.meta, c.bucket.id, "lifecycle");
  const rules = lifecycleRules(setting);
  if (rules.length === 0) {
    throw new S3Error({ status: 404, code: "NoSuchLifecycleConfiguration", message: "The lifecycle configuration does not exist." });
  }
  sendXml(c, "LifecycleConfiguration", rules.map(toS3Lifecycle));
}

export async function putBucketLifecycle(c: BucketRequest): Promise<void> {
  const rules = parseLifecycle(await readText(c)).map(fromS3Lifecycle);
  checkLifecycleRules(rules);
  await writeSetting(c.r2, c.bucket, "lifecycle", { rules });
  await record(c, bucketChange("PutBucketLifecycleConfiguration", c.bucket.name, { rules }));
  sendEmpty(c);
}

export async function deleteBucketLifecycle(c: BucketRequest): Promise<void> {
  await writeSetting(c.r2, c.bucket, "lifecycle", { rules: [] });
  await record(c, bucketChange("DeleteBucketLifecycleConfiguration", c.bucket.name));
  sendEmpty(c, 204);
}

// --- answers that are the same for every bucket ------------------------------------------------------------

export const getBucketEncryption = (c: BucketRequest): void =>
  sendXml(c, "ServerSideEncryptionConfiguration", [
    [
      "Rule",
      [
        ["ApplyServerSideEncryptionByDefault", [["SSEAlgorithm", "AES256"]]],
        ["BucketKeyEnabled", true],
      ],
    ],
  ]);

/** Only what is the case anyway may be asked for (docs/r2/platform/release-notes 2022-05-05). */
export async function putBucketEncryption(c: BucketRequest): Promise<void> {
  const { algorithm } = parseEncryption(await readText(c));
  if (algorithm !== "AES256") {
    throw new S3Error({ status: 501, code: "NotImplemented", message: `SSEAlgorithm ${algorithm} not implemented` });
  }
  sendEmpty(c);
}

export const deleteBucketEncryption = (c: BucketRequest): void => sendEmpty(c, 204);

export const getBucketAcl = (c: BucketRequest): void =>
  sendXml(c, "AccessControlPolicy", [
    owner(c.r2.accountId),
    [
      "AccessControlList",
      [
        [
          "Grant",
          [
            [
              "Grantee",
              [
                ["ID", c.r2.accountId],
                ["DisplayName", c.r2.accountId],
              ],
            ],
            ["Permission", "FULL_CONTROL"],
          ],
        ],
      ],
    ],
  ]);

export const getBucketVersioning = (c: BucketRequest): void => sendXml(c, "VersioningConfiguration", []);

const absent = (code: string, message: string) => (): never => {
  throw new S3Error({ status: 404, code, message });
};

export const getBucketTagging = absent("NoSuchTagSet", "The TagSet does not exist.");
export const getObjectLockConfiguration = absent(
  "ObjectLockConfigurationNotFoundError",
  "Object Lock configuration does not exist for this bucket.",
);
export const getBucketReplication = absent("ReplicationConfigurationNotFoundError", "The replication configuration was not found.");
