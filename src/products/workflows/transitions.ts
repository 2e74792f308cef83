/**
 * What becomes of instances, told to whoever subscribed to it (docs/queues/event-subscriptions): the message is part of the
 * commit that makes the change. Without a subscription the change is a commit of its own, which others may share.
 */
import type { QueueSender } from "../../kernel/capabilities.ts";
import type { MetaStore, MetaTransaction } from "../../kernel/meta/meta.ts";
import type { Workflow } from "./model.ts";

export const TRANSITIONS = ["queued", "started", "paused", "errored", "terminated", "completed"] as const;
export type Transition = (typeof TRANSITIONS)[number];

export interface Transitions {
  /** Makes the change; `write` says whether there was one. */
  commit(
    workflow: Workflow,
    instanceId: string,
    versionId: string,
    transition: Transition,
    write: (tx: MetaTransaction) => Promise<boolean>,
  ): Promise<boolean>;
}

const SOURCE = "workflows.workflow";
const eventOf = (transition: Transition): string => `instance.${transition}`;

export function openTransitions(meta: MetaStore, queues: Pick<QueueSender, "announce" | "hears" | "addEventSource">): Transitions {
  queues.addEventSource(SOURCE, TRANSITIONS.map(eventOf));
  return {
    async commit(workflow, instanceId, versionId, transition, write) {
      const source = { type: SOURCE, workflow_name: workflow.name };
      const event = eventOf(transition);
      let announced: (() => void) | undefined;
      const changed = queues.hears(source, event)
        ? await meta.transaction(async (tx) => {
            const changes = await write(tx);
            if (changes) announced = await queues.announce(tx, source, event, { versionId, instanceId });
            return changes;
          })
        : await write(meta);
      announced?.();
      return changed;
    },
  };
}
