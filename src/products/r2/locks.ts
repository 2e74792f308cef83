/** Bucket locks: which objects may not be deleted or overwritten yet (docs/r2/buckets/bucket-locks). */
import { r2Error } from "./errors.ts";

export type LockCondition =
  | { readonly type: "Age"; readonly maxAgeSeconds: number }
  | { readonly type: "Date"; readonly date: string }
  | { readonly type: "Indefinite" };

export interface LockRule {
  readonly id: string;
  readonly enabled: boolean;
  readonly prefix?: string | undefined;
  readonly condition: LockCondition;
}

/** True when any rule still holds the object, so the strictest decides. `now` and `uploaded` in milliseconds. */
export function isLocked(rules: readonly LockRule[], key: string, uploaded: number, now: number): boolean {
  return rules.some((rule) => rule.enabled && key.startsWith(rule.prefix ?? "") && holds(rule.condition, uploaded, now));
}

function holds(condition: LockCondition, uploaded: number, now: number): boolean {
  switch (condition.type) {
    case "Age":
      return now < uploaded + condition.maxAgeSeconds * 1000;
    case "Date":
      return now < Date.parse(condition.date);
    case "Indefinite":
      return true;
  }
}

/** Rules in the stored setting; none when there is no setting. */
export const lockRules = (setting: string | null | undefined): readonly LockRule[] =>
  setting == null ? [] : (JSON.parse(setting) as { rules: LockRule[] }).rules;

/** Throws `r2.objectLocked`. */
export function checkUnlocked(setting: string | null, key: string, uploaded: number, now: number): void {
  if (isLocked(lockRules(setting), key, uploaded, now)) throw r2Error("objectLocked");
}
