/** Lifecycle rules of a bucket: their form in REST and S3, and what they say about an object (docs/r2/buckets/object-lifecycles). */
import { z } from "zod";
import { invalidArgument, type S3LifecycleRule, type XmlElement } from "../../protocols/s3/index.ts";
import { r2Error } from "./errors.ts";
import { RULES_MAX } from "./limits.ts";

const DAY_S = 86_400;

const conditionSchema = z.discriminatedUnion("type", [
  /** Seconds since the upload. */
  z.object({ type: z.literal("Age"), maxAge: z.number().int().nonnegative() }),
  z.object({ type: z.literal("Date"), date: z.string().refine((text) => !Number.isNaN(Date.parse(text)), "must be a date") }),
]);

export const lifecycleRuleSchema = z.object({
  id: z.string().min(1).max(255),
  enabled: z.boolean(),
  conditions: z.object({ prefix: z.string().optional() }).optional(),
  deleteObjectsTransition: z.object({ condition: conditionSchema }).optional(),
  abortMultipartUploadsTransition: z.object({ condition: conditionSchema }).optional(),
  storageClassTransitions: z.array(z.object({ condition: conditionSchema, storageClass: z.literal("InfrequentAccess") })).optional(),
});

export const lifecycleSchema = z.object({ rules: z.array(lifecycleRuleSchema).default([]) });

export type LifecycleRule = z.infer<typeof lifecycleRuleSchema>;
export type LifecycleCondition = z.infer<typeof conditionSchema>;

/** What a bucket has before anybody sets rules. */
export const DEFAULT_RULE: LifecycleRule = {
  id: "Default Multipart Abort Rule",
  enabled: true,
  conditions: { prefix: "" },
  abortMultipartUploadsTransition: { condition: { type: "Age", maxAge: 7 * DAY_S } },
};

export const lifecycleRules = (setting: { rules: LifecycleRule[] } | undefined): readonly LifecycleRule[] =>
  setting?.rules ?? [DEFAULT_RULE];

/** Throws `r2.invalidConfiguration` for what the schema cannot say. */
export function checkLifecycleRules(rules: readonly LifecycleRule[]): void {
  if (rules.length > RULES_MAX) throw r2Error("invalidConfiguration", `A lifecycle policy has at most ${RULES_MAX} rules.`);
  if (new Set(rules.map((rule) => rule.id)).size < rules.length) {
    throw r2Error("invalidConfiguration", "Every lifecycle rule must have an id of its own.");
  }
}

export const rulePrefix = (rule: LifecycleRule): string => rule.conditions?.prefix ?? "";

/** When the condition is met for something of that age, in milliseconds since the epoch. */
export const dueAt = (condition: LifecycleCondition, created: number): number =>
  condition.type === "Age" ? created + condition.maxAge * 1000 : Date.parse(condition.date);

/** When and by which rule an object will be deleted; the earliest wins. */
export function expirationOf(
  rules: readonly LifecycleRule[],
  object: { readonly key: string; readonly uploaded: number },
): { at: number; ruleId: string } | undefined {
  let first: { at: number; ruleId: string } | undefined;
  for (const rule of rules) {
    if (!rule.enabled || rule.deleteObjectsTransition === undefined || !object.key.startsWith(rulePrefix(rule))) continue;
    const at = dueAt(rule.deleteObjectsTransition.condition, object.uploaded);
    if (first === undefined || at < first.at) first = { at, ruleId: rule.id };
  }
  return first;
}

const fromMoment = (when: { days: number } | { date: string }): LifecycleCondition =>
  "days" in when ? { type: "Age", maxAge: when.days * DAY_S } : { type: "Date", date: when.date };

export function fromS3Lifecycle(rule: S3LifecycleRule, index: number): LifecycleRule {
  return {
    id: rule.id ?? `rule-${index + 1}`,
    enabled: rule.enabled,
    conditions: { prefix: rule.prefix },
    ...(rule.expiration && { deleteObjectsTransition: { condition: fromMoment(rule.expiration) } }),
    ...(rule.abortDays !== undefined && {
      abortMultipartUploadsTransition: { condition: { type: "Age", maxAge: rule.abortDays * DAY_S } },
    }),
    ...(rule.transitions.length > 0 && {
      storageClassTransitions: rule.transitions.map(({ when, storageClass }) => {
        if (storageClass !== "STANDARD_IA") throw invalidArgument(`Storage class ${storageClass} is not valid for a transition.`);
        return { condition: fromMoment(when), storageClass: "InfrequentAccess" as const };
      }),
    }),
  };
}

const toMoment = (condition: LifecycleCondition): XmlElement =>
  condition.type === "Age" ? ["Days", Math.ceil(condition.maxAge / DAY_S)] : ["Date", new Date(condition.date).toISOString()];

export function toS3Lifecycle(rule: LifecycleRule): XmlElement {
  const { deleteObjectsTransition: expire, abortMultipartUploadsTransition: abort, storageClassTransitions: transitions = [] } = rule;
  const days = abort && (abort.condition.type === "Age" ? Math.ceil(abort.condition.maxAge / DAY_S) : 0);
  return [
    "Rule",
    [
      ["ID", rule.id],
      ["Status", rule.enabled ? "Enabled" : "Disabled"],
      ["Filter", [["Prefix", rulePrefix(rule)]]],
      ["Expiration", expire && [toMoment(expire.condition)]],
      ...transitions.map(({ condition }): XmlElement => ["Transition", [toMoment(condition), ["StorageClass", "STANDARD_IA"]]]),
      ["AbortIncompleteMultipartUpload", days === undefined ? undefined : [["DaysAfterInitiation", days]]],
    ],
  ];
}
