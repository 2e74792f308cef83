/** What of Queues goes into the audit log: docs/queues/platform/audit-logs. */
import type { Change } from "../../kernel/api/audit.ts";
import type { Queue } from "./model.ts";

const TYPES = {
  CreateQueue: "create",
  DeleteQueue: "delete",
  UpdateQueue: "update",
  AttachConsumer: "create",
  RemoveConsumer: "delete",
  UpdateConsumerSettings: "update",
} as const satisfies Readonly<Record<string, Change["type"]>>;

export const changeOf = (queue: Queue, info: keyof typeof TYPES, newValue: Readonly<Record<string, unknown>> = {}): Change => ({
  info,
  type: TYPES[info],
  resource: { type: "queues.queue", id: queue.id },
  newValue: { queue_name: queue.name, ...newValue },
});
