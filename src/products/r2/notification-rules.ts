/** Event notification rules (docs/r2/buckets/event-notifications): which changes of a bucket's objects go to which queue. */
import { z } from "zod";
import { r2Error } from "./errors.ts";

export const actions = ["PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject", "LifecycleDeletion"] as const;
export type Action = (typeof actions)[number];

/** Documented number of rules of a bucket. */
export const NOTIFICATION_RULES_MAX = 100;

export interface NotificationRule {
  readonly ruleId: string;
  readonly queueId: string;
  readonly actions: readonly Action[];
  /** Empty: every object. */
  readonly prefix: string;
  readonly suffix: string;
  readonly description?: string | undefined;
  readonly createdAt: string;
}

export const notificationsSchema = z.object({
  rules: z
    .array(
      z.object({
        actions: z.array(z.enum(actions)).min(1),
        prefix: z.string().max(1024).nullish(),
        suffix: z.string().max(1024).nullish(),
        description: z.string().max(1024).nullish(),
      }),
    )
    .min(1),
});

export const matches = (rule: NotificationRule, action: Action, key: string): boolean =>
  rule.actions.includes(action) && key.startsWith(rule.prefix) && key.endsWith(rule.suffix);

/** Whether one event could match both. */
function overlap(a: NotificationRule, b: NotificationRule): boolean {
  return (
    a.actions.some((action) => b.actions.includes(action)) &&
    (a.prefix.startsWith(b.prefix) || b.prefix.startsWith(a.prefix)) &&
    (a.suffix.endsWith(b.suffix) || b.suffix.endsWith(a.suffix))
  );
}

/** Throws `r2.notificationOverlap`, `r2.tooManyNotificationRules`. */
export function checkNotificationRules(rules: readonly NotificationRule[]): void {
  if (rules.length > NOTIFICATION_RULES_MAX) throw r2Error("tooManyNotificationRules");
  rules.forEach((rule, i) => {
    const other = rules.slice(0, i).find((before) => overlap(before, rule));
    if (other !== undefined) {
      const of = ({ prefix, suffix, actions: on }: NotificationRule) => `${on.join(", ")} with prefix "${prefix}" and suffix "${suffix}"`;
      throw r2Error("notificationOverlap", `Event notification rules overlap: ${of(rule)} conflicts with ${of(other)}.`);
    }
  });
}
