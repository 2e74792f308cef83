/** REST of rollouts, as wrangler's deploy begins them. */
import type { RequestContext, Route } from "../../kernel/product.ts";
import type { Applications } from "./applications.ts";
import type { Instances } from "./instances.ts";
import type { References } from "./references.ts";
import { newRolloutSchema, type Rollout, type Rollouts, rolloutActionSchema } from "./rollouts.ts";
import { READ, ROOT, WRITE } from "./routes.ts";

const ROLLOUTS = `${ROOT}/applications/:id/rollouts`;

export interface RolloutDeps {
  readonly applications: Applications;
  readonly instances: Instances;
  readonly references: References;
  readonly rollouts: Rollouts;
}

export function rolloutRoutes({ applications, instances, references, rollouts }: RolloutDeps): Route[] {
  const application = (c: RequestContext) => applications.get(c.params.id as string);
  const rolloutId = (c: RequestContext): string => c.params.rollout as string;

  function view(rollout: Rollout) {
    const live = instances.live(rollout.applicationId);
    const updated = live.filter(({ version }) => version >= rollout.targetVersion).length;
    return {
      id: rollout.id,
      created_at: new Date(rollout.createdAt).toISOString(),
      last_updated_at: new Date(rollout.updatedAt).toISOString(),
      description: rollout.description,
      kind: rollout.kind,
      strategy: "rolling",
      status: rollout.status,
      current_version: rollout.previousVersion,
      target_version: rollout.targetVersion,
      target_configuration: applications.find(rollout.applicationId)?.configuration ?? {},
      steps: rollout.steps.map((percentage, i) => ({
        id: i + 1,
        step_size: { percentage },
        description: `Step ${i + 1} of ${rollout.steps.length} - rollout at ${percentage}% of instances`,
        status: i < rollout.step ? "completed" : i === rollout.step && rollout.status === "progressing" ? "progressing" : "pending",
      })),
      progress: { total_steps: rollout.steps.length, current_step: rollout.step, updated_instances: updated, total_instances: live.length },
      health: { instances: { healthy: live.length, failed: 0, starting: 0, scheduling: 0 } },
    };
  }

  return [
    {
      op: "containers.rollouts.list",
      method: "GET",
      path: ROLLOUTS,
      permission: READ,
      handle: async (c) => (await rollouts.list(application(c).id)).map(view),
    },
    {
      op: "containers.rollouts.create",
      method: "POST",
      path: ROLLOUTS,
      permission: WRITE,
      async handle(c) {
        const target = application(c);
        const given = await c.json(newRolloutSchema);
        if (given.target_configuration.image !== undefined) await references.check(given.target_configuration.image);
        const rollout = await rollouts.create(target, given);
        c.audit({ type: "create", info: "CreateContainerRollout", resource: { type: "container_rollout", id: rollout.id } });
        return view(rollout);
      },
    },
    {
      op: "containers.rollouts.get",
      method: "GET",
      path: `${ROLLOUTS}/:rollout`,
      permission: READ,
      handle: async (c) => view(await rollouts.get(application(c).id, rolloutId(c))),
    },
    {
      op: "containers.rollouts.update",
      method: "POST",
      path: `${ROLLOUTS}/:rollout`,
      permission: WRITE,
      async handle(c) {
        const target = application(c);
        const { action } = await c.json(rolloutActionSchema);
        const rollout = await rollouts.act(target, rolloutId(c), action);
        c.audit({
          type: "update",
          info: "UpdateContainerRollout",
          resource: { type: "container_rollout", id: rollout.id },
          newValue: { action },
        });
        return view(rollout);
      },
    },
    {
      op: "containers.rollouts.delete",
      method: "DELETE",
      path: `${ROLLOUTS}/:rollout`,
      permission: WRITE,
      async handle(c) {
        await rollouts.remove(application(c), rolloutId(c));
        c.audit({ type: "delete", info: "DeleteContainerRollout", resource: { type: "container_rollout", id: rolloutId(c) } });
        return {};
      },
    },
  ];
}
