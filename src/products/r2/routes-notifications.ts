/** REST of event notifications: /accounts/{account}/event_notifications/r2/{bucket}/configuration (wrangler, SDK). */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { parseJson, parseWith } from "../../kernel/api/body.ts";
import type { QueueSender } from "../../kernel/capabilities.ts";
import { platformError } from "../../kernel/errors.ts";
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { R2 } from "./context.ts";
import { r2Error } from "./errors.ts";
import { type NotificationRule, notificationsSchema } from "./notification-rules.ts";
import { bucketOf, route } from "./rest.ts";

const BASE = "/accounts/:account/event_notifications/r2/:bucket/configuration";
const QUEUE = `${BASE}/queues/:queue`;

const deletion = z.looseObject({ ruleIds: z.array(z.string()).optional() });

const DELETION_MAX_BYTES = 64 * 1024;

const ruleView = ({ queueId: _queueId, ...rule }: NotificationRule) => rule;

export function notificationRoutes(r2: R2, queues: QueueSender): Route[] {
  const nameOf = (queueId: string): string => queues.find(queueId)?.name ?? "";
  /** The queue in the path, for callers who may write to queues themselves. */
  function queueOf(context: RequestContext): { readonly id: string; readonly name: string } {
    if (!queues.allows(context.principal)) throw platformError("forbidden");
    const queue = queues.find(context.params.queue ?? "");
    if (queue === undefined) throw r2Error("queueNotFound");
    return queue;
  }
  return [
    route(r2, "r2.notifications.list", "GET", BASE, "read", async (context) => {
      const bucket = await bucketOf(r2, context);
      const byQueue = Map.groupBy(r2.notifications.rules(bucket.id), ({ queueId }) => queueId);
      return {
        bucketName: bucket.name,
        queues: [...byQueue].map(([queueId, rules]) => ({ queueId, queueName: nameOf(queueId), rules: rules.map(ruleView) })),
      };
    }),
    route(r2, "r2.notifications.get", "GET", QUEUE, "read", async (context) => {
      const bucket = await bucketOf(r2, context);
      const queueId = context.params.queue ?? "";
      const rules = r2.notifications.rules(bucket.id).filter((rule) => rule.queueId === queueId);
      return { queueId, queueName: nameOf(queueId), rules: rules.map(ruleView) };
    }),
    route(r2, "r2.notifications.put", "PUT", QUEUE, "write", async (context) => {
      const bucket = await bucketOf(r2, context);
      const queue = queueOf(context);
      const { rules } = await context.json(notificationsSchema);
      const createdAt = new Date(r2.clock.now()).toISOString();
      await r2.notifications.add(
        bucket,
        rules.map(({ actions, prefix, suffix, description }) => ({
          ruleId: randomBytes(16).toString("hex"),
          queueId: queue.id,
          actions,
          prefix: prefix ?? "",
          suffix: suffix ?? "",
          ...(description && { description }),
          createdAt,
        })),
      );
      return {};
    }),
    route(r2, "r2.notifications.delete", "DELETE", QUEUE, "write", async (context) => {
      const bucket = await bucketOf(r2, context);
      const bytes = await context.bytes(DELETION_MAX_BYTES);
      const given = bytes.byteLength === 0 ? {} : parseWith(deletion, parseJson(Buffer.from(bytes).toString("utf8")));
      // Of a queue that is gone, too: its rules must not stay for ever.
      await r2.notifications.remove(bucket, context.params.queue ?? "", given.ruleIds);
      return {};
    }),
  ];
}
