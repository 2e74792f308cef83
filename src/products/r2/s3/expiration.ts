/** The header `x-amz-expiration`: which lifecycle rule will delete an object, and when. */
import { readSetting } from "../buckets.ts";
import type { R2 } from "../context.ts";
import { expirationOf, type LifecycleRule } from "../lifecycle-rules.ts";
import type { Bucket, StoredObject } from "../model.ts";

export async function expirationHeader(r2: R2, bucket: Bucket, object: StoredObject): Promise<string | undefined> {
  const setting = await readSetting<{ rules: LifecycleRule[] }>(r2.meta, bucket.id, "lifecycle");
  const expiration = setting && expirationOf(setting.rules, object);
  if (expiration === undefined) return undefined;
  return `expiry-date="${new Date(expiration.at).toUTCString()}", rule-id="${encodeURIComponent(expiration.ruleId)}"`;
}
